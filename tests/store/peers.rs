//! Other people's WebDAV servers, as `scripts/setup.sh --tests` installs them: each test starts its own on loopback, in a folder of
//! its own, and it ends with the test.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use url::Url;

pub(crate) const USER: &str = "kitchen";
pub(crate) const PASSWORD: &str = "app-password";

/// A server in a process of its own. Dropping it ends it.
pub(crate) struct Peer {
    child: Child,
    url: Url,
    _folder: TempDir,
}

impl Peer {
    /// The served folder.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The only error is that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that a server of another user may write to.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let served = folder.path().join("served");
    fs::create_dir(&served).unwrap();
    fs::set_permissions(&served, fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// Tells how to get what is missing, instead of leaving a test out.
fn missing(what: &str, error: &std::io::Error) -> ! {
    panic!("cannot start {what} ({error}): run scripts/setup.sh --tests")
}

fn is_up(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Apache's `mod_dav`: the strictest generic server.
pub(crate) fn apache() -> Peer {
    for _ in 0..3 {
        if let Some(peer) = try_apache(free_port()) {
            return peer;
        }
        // Somebody took the port in between.
    }
    panic!("apache2 did not start");
}

fn try_apache(port: u16) -> Option<Peer> {
    let folder = open_folder();
    let root = folder.path().display();
    let modules = [
        ("mpm_event", "mpm_event"),
        ("authn_core", "authn_core"),
        ("authn_file", "authn_file"),
        ("authz_core", "authz_core"),
        ("authz_user", "authz_user"),
        ("auth_basic", "auth_basic"),
        ("dav", "dav"),
        ("dav_fs", "dav_fs"),
    ];
    let modules: String = modules
        .map(|(name, file)| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{file}.so\n"))
        .concat();
    // As root it will not serve; Debian's own user for this may not exist where only the program is installed.
    let user = if is_root() { "User nobody\nGroup nogroup\n" } else { "" };
    let config = format!(
        "{modules}{user}ServerRoot {root}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {root}/pid\nErrorLog {root}/error.log\n\
         Mutex sem default\nDavLockDB {root}/locks\nDocumentRoot {root}/served\nStartServers 1\nThreadsPerChild 16\n\
         <Directory {root}/served>\nDav On\nAuthType Basic\nAuthName test\nAuthUserFile {root}/users\nRequire valid-user\n</Directory>\n"
    );
    fs::write(folder.path().join("apache.conf"), config).unwrap();
    // Apache takes SHA-1, too, and no tool is needed for it; here it is only a password of this test.
    fs::write(folder.path().join("users"), format!("{USER}:{{SHA}}{PASSWORD_SHA1}\n")).unwrap();
    let child = Command::new("/usr/sbin/apache2")
        .args(["-X", "-f"])
        .arg(folder.path().join("apache.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.path().join("stderr")).unwrap())
        .spawn()
        .unwrap_or_else(|error| missing("apache2", &error));
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let mut peer = Peer { child, url, _folder: folder };
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(status) = peer.child.try_wait().unwrap() {
            let read = |name: &str| fs::read_to_string(peer._folder.path().join(name)).unwrap_or_default();
            let said = read("stderr") + &read("error.log");
            assert!(said.contains("Address already in use"), "apache2 ended ({status}): {said}");
            return None;
        }
        if is_up(port) {
            return Some(peer);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("apache2 does not listen");
}

/// Base64 of the SHA-1 of [`PASSWORD`].
const PASSWORD_SHA1: &str = "WiFYXD38J5ev5GNPoVDZlvTvW14=";

/// The Python that scripts/setup.sh makes for the tests.
fn python() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/venv/bin/python"))
}

const WSGIDAV: &str = r#"
import os, sys, threading
from cheroot import wsgi
from wsgidav.wsgidav_app import WsgiDAVApp
root, user, password = sys.argv[1:]
def end_with_the_test():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=end_with_the_test, daemon=True).start()
app = WsgiDAVApp({
    "provider_mapping": {"/": root},
    "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
    "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
    "lock_storage": True,
    "property_manager": True,
    "verbose": 0,
    "logging": {"enable": False},
})
server = wsgi.Server(("127.0.0.1", 0), app)
server.prepare()
print(server.bind_addr[1], flush=True)
server.serve()
"#;

/// `WsgiDAV` over cheroot: answers 201 to uploads that were cut.
pub(crate) fn wsgidav() -> Peer {
    let folder = open_folder();
    let mut command = python();
    command.args(["-c", WSGIDAV]).arg(folder.path().join("served")).args([USER, PASSWORD]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.path().join("stderr")).unwrap());
    let mut child = command.spawn().unwrap_or_else(|error| missing("wsgidav", &error));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said = || fs::read_to_string(folder.path().join("stderr")).unwrap_or_default();
    let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("wsgidav: {line}{}", said()));
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    Peer { child, url, _folder: folder }
}

/// `rclone serve webdav`: ignores conditions.
pub(crate) fn rclone() -> Peer {
    let folder = open_folder();
    let mut command = Command::new("rclone");
    command.args([
        "serve",
        "webdav",
        "--addr",
        "127.0.0.1:0",
        "--user",
        USER,
        "--pass",
        PASSWORD,
        "--config",
        "/dev/null",
    ]);
    command.args(["--dir-cache-time", "0s", "--log-level", "NOTICE"]);
    command.arg(folder.path().join("served")).env("HOME", folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| missing("rclone", &error));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find(|line| line.contains("http://127.0.0.1:")).expect("rclone says where it listens");
    // It would stop at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    let start = said.find("http://").unwrap();
    let address = said[start..].split([' ', ']']).next().unwrap();
    Peer { child, url: Url::parse(address).unwrap(), _folder: folder }
}
