//! PROPFIND: files, staging folders, the trash bin; whole or by page.

use std::fmt::Write as _;

use quick_xml::{NsReader, events::Event, name::ResolveResult};

use super::{
    Hrefs, Server,
    answer::{Answer, bad_request, escape, header, not_found, with_body},
    serve::Head,
    state::{Node, State},
};

const DAV: &str = "DAV:";
const OC: &str = "http://owncloud.org/ns";
const NC: &str = "http://nextcloud.org/ns";

/// A property: namespace and local name.
type Property = (String, String);

/// What is listed.
struct Resource {
    /// Decoded, from the server's root.
    path: String,
    folder: bool,
    values: Vec<((&'static str, &'static str), String)>,
}

pub(super) fn http_date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The properties asked for; empty for all that are usual.
fn wanted(body: &[u8]) -> Result<Vec<Property>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let (mut depth, mut found) = (0, Vec::new());
    loop {
        match reader.read_resolved_event().map_err(|error| error.to_string())? {
            (namespace, Event::Start(start)) => {
                depth += 1;
                if depth == 3 {
                    let ResolveResult::Bound(namespace) = namespace else {
                        return Err("a property without a namespace".into());
                    };
                    let name = String::from_utf8_lossy(start.local_name().as_ref().as_bytes()).into_owned();
                    found.push((String::from_utf8_lossy(namespace.as_ref().as_bytes()).into_owned(), name));
                }
            }
            (_, Event::End(_)) => depth -= 1,
            (_, Event::Eof) => return Ok(found),
            _ => {}
        }
    }
}

/// A path as this server writes it.
fn href(server: &Server, path: &str, folder: bool) -> String {
    let mut text = String::new();
    let style = server.options.hrefs;
    for byte in path.bytes() {
        let raw = byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) || byte == b':';
        let raw = raw || style == Hrefs::Raw && b"+!$'()*,;=@".contains(&byte);
        match (raw, style) {
            (true, _) => text.push(byte as char),
            (false, Hrefs::UpperHex) => write!(text, "%{byte:02X}").unwrap(),
            (false, _) => write!(text, "%{byte:02x}").unwrap(),
        }
    }
    if folder && !text.ends_with('/') {
        text.push('/');
    }
    match style {
        Hrefs::Absolute => format!("https://cloud.example{text}"),
        _ => text,
    }
}

fn render(server: &Server, resource: &Resource, wanted: &[Property]) -> String {
    let (mut found, mut missing) = (String::new(), String::new());
    let name = |namespace: &str, local: &str| match namespace {
        DAV => format!("d:{local}"),
        OC => format!("oc:{local}"),
        NC => format!("nc:{local}"),
        _ => format!("x:{local} xmlns:x=\"{}\"", escape(namespace)),
    };
    let usual = ["resourcetype", "getcontentlength", "getetag", "getlastmodified", "quota-used-bytes"];
    let all: Vec<Property>;
    let wanted = if wanted.is_empty() {
        let given = resource.values.iter().filter(|((space, local), _)| *space == DAV && usual.contains(local));
        all = given.map(|((space, local), _)| ((*space).to_owned(), (*local).to_owned())).collect();
        &all
    } else {
        wanted
    };
    for (space, local) in wanted {
        let value = resource.values.iter().find(|((has_space, has), _)| has_space == space && has == local);
        let tag = name(space, local);
        match value {
            Some((_, value)) if value.is_empty() => write!(found, "<{tag}/>").unwrap(),
            Some((_, value)) => {
                write!(found, "<{tag}>{value}</{}>", tag.split(' ').next().unwrap_or_default()).unwrap();
            }
            None => write!(missing, "<{tag}/>").unwrap(),
        }
    }
    let mut text = format!("<d:response><d:href>{}</d:href>", href(server, &resource.path, resource.folder));
    let block = |props: &str, status: &str| {
        format!("<d:propstat><d:prop>{props}</d:prop><d:status>HTTP/1.1 {status}</d:status></d:propstat>")
    };
    text.push_str(&block(&found, "200 OK"));
    if !missing.is_empty() {
        text.push_str(&block(&missing, "404 Not Found"));
    }
    text + "</d:response>"
}

fn multistatus(responses: &[String]) -> Answer {
    let mut text = format!(
        "<?xml version=\"1.0\"?>\n<d:multistatus xmlns:d=\"{DAV}\" xmlns:s=\"http://sabredav.org/ns\" xmlns:oc=\"{OC}\" xmlns:nc=\"{NC}\">"
    );
    responses.iter().for_each(|response| text.push_str(response));
    with_body(207, "application/xml; charset=utf-8", text + "</d:multistatus>\n")
}

fn resource(server: &Server, state: &State, path: &str, node: &Node) -> Resource {
    let uid = &server.options.uid;
    let full = format!("{}/remote.php/dav/files/{uid}/{path}", server.options.base);
    let (values, folder) = match node {
        Node::File(file) => {
            let mut values = vec![
                ((DAV, "resourcetype"), String::new()),
                ((DAV, "getcontentlength"), file.size.to_string()),
                ((DAV, "getcontenttype"), "application/octet-stream".into()),
                ((DAV, "getetag"), format!("&quot;{}&quot;", file.etag)),
                ((DAV, "getlastmodified"), http_date(file.modified)),
                ((OC, "fileid"), file.id.to_string()),
                ((OC, "id"), format!("{:08}ocdouble", file.id)),
                ((OC, "size"), file.size.to_string()),
                ((OC, "permissions"), "RGDNVW".into()),
                ((NC, "upload_time"), file.modified.to_string()),
            ];
            if let Some(checksum) = &file.checksum {
                values.push(((OC, "checksums"), format!("<oc:checksum>{}</oc:checksum>", escape(checksum))));
            }
            (values, false)
        }
        Node::Folder(folder) => {
            let size: u64 =
                state.below(path).map(|(_, node)| if let Node::File(file) = node { file.size } else { 0 }).sum();
            let children = state.children(path);
            let files = children.iter().filter(|(_, node)| matches!(node, Node::File(_))).count();
            let free = server.options.quota_told.unwrap_or_else(|| match state.free() {
                Some(free) => i64::try_from(free).unwrap(),
                None => -3,
            });
            let values = vec![
                ((DAV, "resourcetype"), "<d:collection/>".into()),
                ((DAV, "getetag"), format!("&quot;{}&quot;", folder.etag)),
                ((DAV, "getlastmodified"), http_date(folder.modified)),
                ((DAV, "quota-used-bytes"), state.used().to_string()),
                ((DAV, "quota-available-bytes"), free.to_string()),
                ((OC, "fileid"), folder.id.to_string()),
                ((OC, "id"), format!("{:08}ocdouble", folder.id)),
                ((OC, "size"), size.to_string()),
                ((OC, "permissions"), "RGDNVCK".into()),
                ((NC, "contained-file-count"), files.to_string()),
                ((NC, "contained-folder-count"), (children.len() - files).to_string()),
            ];
            (values, true)
        }
    };
    Resource { path: full, folder, values }
}

/// Another user's folder shows nothing of itself.
pub(super) fn foreign_folder(server: &Server, head: &Head) -> Answer {
    let path = format!("{}{}", server.options.base, head.path);
    let nothing = Resource { path, folder: true, values: vec![((DAV, "resourcetype"), "<d:collection/>".into())] };
    multistatus(&[render(server, &nothing, &[])])
}

pub(super) fn propfind(server: &Server, head: &Head, path: &str, body: &[u8]) -> Answer {
    let wanted = match wanted(body) {
        Ok(wanted) => wanted,
        Err(why) => return bad_request(&why),
    };
    let mut state = server.state();
    let Some(node) = state.nodes.get(path) else { return not_found(&format!("/{path}")) };
    let is_file = matches!(node, Node::File(_));
    let mut listed = vec![(path, node)];
    match head.header("depth") {
        _ if is_file => {}
        Some("0") => {}
        Some("infinity") => listed.extend(state.below(path)),
        _ => listed.extend(state.children(path)),
    }
    let responses = || -> Vec<String> {
        let one = |(path, node): &(&str, &Node)| render(server, &resource(server, &state, path, node), &wanted);
        listed.iter().map(one).collect()
    };
    let pages = server.options.version >= 31
        && !is_file
        && head.header("x-nc-paginate") == Some("true")
        && head.path.starts_with("/remote.php/dav/");
    if !pages {
        return multistatus(&responses());
    }
    let number = |name: &str| head.header(name).and_then(|value| value.parse::<usize>().ok());
    let count = number("x-nc-paginate-count").unwrap_or(100).max(1);
    if let Some(token) = head.header("x-nc-paginate-token") {
        // An unknown token is answered as if nobody had asked for pages.
        let Some(all) = state.pages.get(token) else { return multistatus(&responses()) };
        let from = number("x-nc-paginate-offset").unwrap_or(0).min(all.len());
        let page = multistatus(&all[from..(from + count).min(all.len())]);
        return paged(page, token, all.len());
    }
    let all = responses();
    let token = format!("{:032x}", rand::random::<u128>());
    let page = multistatus(&all[..count.min(all.len())]);
    let total = all.len();
    state.pages.insert(token.clone(), all);
    paged(page, &token, total)
}

fn paged(answer: Answer, token: &str, total: usize) -> Answer {
    let answer = header(header(answer, "x-nc-paginate", "true"), "x-nc-paginate-token", token);
    header(answer, "x-nc-paginate-total", &total.to_string())
}

/// One staging folder: itself, its parts, and the file to be, whose length nobody should trust.
pub(super) fn staging(server: &Server, head: &Head, id: &str) -> Answer {
    let state = server.state();
    let Some(staging) = state.uploads.get(id) else { return not_found(&format!("uploads/{id}")) };
    let top = format!("{}/remote.php/dav/uploads/{}/{id}", server.options.base, server.options.uid);
    let folder = Resource {
        path: top.clone(),
        folder: true,
        values: vec![
            ((DAV, "resourcetype"), "<d:collection/>".into()),
            ((DAV, "getlastmodified"), http_date(state.now())),
        ],
    };
    let file = |name: &str, length: u64, etag: &str| Resource {
        path: format!("{top}/{name}"),
        folder: false,
        values: vec![
            ((DAV, "resourcetype"), String::new()),
            ((DAV, "getcontentlength"), length.to_string()),
            ((DAV, "getetag"), format!("&quot;{etag}&quot;")),
            ((DAV, "getlastmodified"), http_date(state.now())),
        ],
    };
    let mut all = vec![folder];
    if head.header("depth") != Some("0") {
        let sum: u64 = staging.parts.values().map(|part| part.data.len() as u64).sum();
        all.push(file(
            ".file",
            if staging.multipart { staging.taken } else { sum },
            "d41d8cd98f00b204e9800998ecf8427e",
        ));
        all.extend(staging.parts.iter().map(|(name, part)| file(name, part.data.len() as u64, &part.etag)));
    }
    multistatus(&all.iter().map(|one| render(server, one, &[])).collect::<Vec<_>>())
}

/// The folder of all staging folders.
pub(super) fn all_staging(server: &Server, head: &Head) -> Answer {
    if head.method != "PROPFIND" {
        return super::answer::not_allowed("Only staging folders can be made here");
    }
    let state = server.state();
    let top = format!("{}/remote.php/dav/uploads/{}", server.options.base, server.options.uid);
    let folder = |path: String| Resource {
        path,
        folder: true,
        values: vec![
            ((DAV, "resourcetype"), "<d:collection/>".into()),
            ((DAV, "getlastmodified"), http_date(state.now())),
        ],
    };
    let ids = state.uploads.keys().map(|id| folder(format!("{top}/{id}")));
    let all: Vec<String> = [folder(top.clone())].into_iter().chain(ids).map(|one| render(server, &one, &[])).collect();
    multistatus(&all[..if head.header("depth") == Some("0") { 1 } else { all.len() }])
}

/// The trash bin; `DELETE` empties it.
pub(super) fn trash(server: &Server, head: &Head) -> Answer {
    let mut state = server.state();
    let top = format!("{}/remote.php/dav/trashbin/{}/trash", server.options.base, server.options.uid);
    match head.method.as_str() {
        "DELETE" => {
            state.trash.clear();
            super::answer::bare(204)
        }
        "PROPFIND" => {
            let mut all = vec![Resource {
                path: top.clone(),
                folder: true,
                values: vec![((DAV, "resourcetype"), "<d:collection/>".into())],
            }];
            all.extend(state.trash.iter().map(|trashed| {
                let name = trashed.from.rsplit('/').next().unwrap_or_default();
                Resource {
                    path: format!("{top}/{name}.d{}", trashed.deleted),
                    folder: false,
                    values: vec![
                        ((DAV, "resourcetype"), String::new()),
                        ((DAV, "getcontentlength"), trashed.bytes.to_string()),
                        ((OC, "size"), trashed.bytes.to_string()),
                        ((NC, "trashbin-filename"), escape(name)),
                        ((NC, "trashbin-original-location"), escape(&trashed.from)),
                        ((NC, "trashbin-deletion-time"), trashed.deleted.to_string()),
                    ],
                }
            }));
            let names =
                [(DAV, "resourcetype"), (DAV, "getcontentlength"), (OC, "size"), (NC, "trashbin-original-location")];
            let names: Vec<Property> = names.map(|(space, name)| (space.to_owned(), name.to_owned())).into();
            multistatus(&all.iter().map(|one| render(server, one, &names)).collect::<Vec<_>>())
        }
        _ => super::answer::not_allowed("The trash bin is only read and emptied here"),
    }
}
