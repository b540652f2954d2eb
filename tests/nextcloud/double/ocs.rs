//! What is asked beside the files: status, capabilities, the user, app passwords, sign-in by browser.

use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    Server,
    answer::{Answer, bare, header, json as json_answer, proxy, with_body},
    serve::{Head, take},
};

/// Whether a path is answered without a sign-in.
pub(super) fn is_open(path: &str) -> bool {
    matches!(path, "/status.php" | "/login/v2" | "/index.php/login/v2" | "/login/v2/poll")
        || path.starts_with("/.well-known/")
        || path.starts_with("/login/v2/flow/")
}

pub(super) async fn open(server: &Server, head: &Head, body: Incoming) -> Answer {
    let sent = take(server, head, body, None).await.data;
    let here = format!("{}{}", server.origin, server.options.base);
    match (head.method.as_str(), head.path.as_str()) {
        ("GET", "/status.php") => json_answer(200, &status(server)),
        (method, path) if path.starts_with("/.well-known/") => {
            if path.ends_with("/webdav") && method == "PROPFIND" {
                return bare(405);
            }
            header(bare(301), "location", &format!("{here}/remote.php/dav/"))
        }
        ("POST", "/index.php/login/v2" | "/login/v2") => {
            let token = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
            let device = head.header("user-agent").unwrap_or_default().to_owned();
            let flow = super::state::Flow { confirmed: false, device };
            server.state().flows.insert(token.clone(), flow);
            let answer = json!({
                "poll": {"token": token, "endpoint": format!("{here}/login/v2/poll")},
                "login": format!("{here}/login/v2/flow/{:032x}", rand::random::<u128>()),
            });
            json_answer(200, &answer)
        }
        ("POST", "/login/v2/poll") => poll(server, &sent, &here),
        ("GET", path) if path.starts_with("/login/v2/flow/") => {
            with_body(200, "text/html; charset=utf-8", "<html><body>Connect to your account</body></html>")
        }
        _ => proxy(404, "Not Found"),
    }
}

/// Once only, and only after the user has said yes.
fn poll(server: &Server, sent: &[u8], here: &str) -> Answer {
    let token =
        url::form_urlencoded::parse(sent).find(|(name, _)| name == "token").map(|(_, value)| value.into_owned());
    let mut state = server.state();
    let Some(token) = token.filter(|token| state.flows.get(token).is_some_and(|flow| flow.confirmed)) else {
        return json_answer(404, &json!([]));
    };
    state.flows.remove(&token);
    let password = new_password();
    state.accounts.push((server.options.login.clone(), password.clone()));
    state.app_passwords.push(password.clone());
    json_answer(200, &json!({"server": here, "loginName": server.options.login, "appPassword": password}))
}

fn new_password() -> String {
    let word = || format!("{:05x}", rand::random::<u32>() & 0xf_ffff);
    [word(), word(), word(), word(), word()].join("-")
}

fn version(server: &Server) -> String {
    format!("{}.0.6", server.options.version)
}

fn status(server: &Server) -> Value {
    json!({
        "installed": true,
        "maintenance": server.state().maintenance,
        "needsDbUpgrade": false,
        "version": format!("{}.2", version(server)),
        "versionstring": version(server),
        "edition": "",
        "productname": "Nextcloud",
        "extendedSupport": false,
    })
}

fn ocs(status: u16, data: &Value) -> Answer {
    let (word, code) = if status < 300 { ("ok", 200) } else { ("failure", status) };
    let meta = json!({"status": word, "statuscode": code, "message": if status < 300 { "OK" } else { "" }});
    json_answer(status, &json!({"ocs": {"meta": meta, "data": data}}))
}

/// `password`: what the user signed in with, if at all.
pub(super) fn answer(server: &Server, head: &Head, password: Option<&str>) -> Answer {
    if head.header("ocs-apirequest") != Some("true") {
        return json_answer(412, &json!({"message": "CSRF check failed"}));
    }
    if server.state().maintenance {
        return header(ocs(503, &json!([])), "x-nextcloud-maintenance-mode", "1");
    }
    let path = head.path.strip_prefix("/ocs/v2.php").or(head.path.strip_prefix("/ocs/v1.php")).unwrap_or_default();
    if (head.method.as_str(), path) == ("GET", "/cloud/capabilities") {
        return ocs(200, &capabilities(server, password.is_some()));
    }
    let Some(password) = password else { return ocs(401, &json!([])) };
    if server.state().disabled {
        return ocs(503, &json!({"message": "Account disabled"}));
    }
    match (head.method.as_str(), path) {
        ("GET", "/cloud/user") => ocs(200, &user(server)),
        ("GET", "/core/getapppassword") => app_password(server, password),
        ("DELETE", "/core/apppassword") => {
            let mut state = server.state();
            if !state.app_passwords.iter().any(|known| known == password) {
                return ocs(403, &json!([]));
            }
            state.accounts.retain(|(_, known)| known != password);
            state.app_passwords.retain(|known| known != password);
            ocs(200, &json!([]))
        }
        _ => ocs(404, &json!([])),
    }
}

/// A real password gives an app password; an app password gives none.
fn app_password(server: &Server, password: &str) -> Answer {
    let mut state = server.state();
    if state.app_passwords.iter().any(|known| known == password) {
        return ocs(403, &json!([]));
    }
    let new = new_password();
    state.accounts.push((server.options.login.clone(), new.clone()));
    state.app_passwords.push(new.clone());
    ocs(200, &json!({"apppassword": new}))
}

fn user(server: &Server) -> Value {
    let state = server.state();
    let used = state.used();
    let free = state.free();
    let quota = json!({
        "free": server.options.quota_told.or(free.map(|free| i64::try_from(free).unwrap())).unwrap_or(-3),
        "used": used,
        "total": state.quota.map_or(-3, |quota| i64::try_from(quota).unwrap()),
        "relative": 0,
        "quota": state.quota.map_or(-3, |quota| i64::try_from(quota).unwrap()),
    });
    json!({
        "enabled": true,
        "id": server.options.uid,
        "displayname": "The Kitchen",
        "email": "kitchen@example.com",
        "quota": quota,
    })
}

fn capabilities(server: &Server, signed_in: bool) -> Value {
    let options = &server.options;
    let delay = u64::from(server.state().failed_logins) * 200;
    let mut all = json!({
        "bruteforce": {"delay": delay, "allow-listed": false},
        "core": {"pollinterval": 60, "webdav-root": "remote.php/webdav"},
    });
    if signed_in {
        all["dav"] = json!({"chunking": "1.0", "bulkupload": "1.0"});
        all["checksums"] = Value::Null;
        let mut files = json!({"bigfilechunking": true, "undelete": options.trash, "versioning": true});
        if options.version >= 30 {
            files["forbidden_filename_characters"] = json!(["\\", "/"]);
            files["forbidden_filename_extensions"] = json!([".part", ".filepart"]);
            files["forbidden_filenames"] = json!([".htaccess"]);
        } else {
            files["blacklisted_files"] = json!([".htaccess"]);
        }
        if options.version >= 31 {
            files["chunked_upload"] = json!({"max_size": 104_857_600, "max_parallel_count": 5});
        }
        all["files"] = files;
    }
    let version = json!({
        "major": options.version, "minor": 0, "micro": 6, "string": version(server), "edition": "", "extendedSupport": false,
    });
    json!({"version": version, "capabilities": all})
}
