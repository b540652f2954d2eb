//! The private `PostgreSQL` cluster: the embedded default when no URL is configured.
//!
//! It lies under the data folder, is made once, started on demand and stopped by its last user. Any number of processes may
//! use it at the same time: each holds a shared lock while it does. A process that dies leaves a server behind, running or
//! dead; the next one picks it up either way.
//!
//! Promises: no TCP port is opened; the socket lies in a folder only the server's user may enter; `fsync` stays on. When
//! root's data folder cannot be entered by the server's user, the cluster lies elsewhere ([`Cluster::folder`] says where, as
//! does a note in the data folder); it can be rebuilt from the archive at any time.
//!
//! All calls block: run them off the async threads.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::programs::Programs;
use crate::error::{Error, Kind, OrFail, Result};

/// The superuser of the cluster; signing in needs no password, reaching the socket needs the right user.
pub(crate) const USER: &str = "tillvault";
/// The database of the replica.
pub(crate) const DATABASE: &str = "tillvault";
/// Part of the socket's name.
pub(crate) const PORT: u16 = 5432;

/// How long to wait for another process that is starting or stopping the server.
const PATIENCE: Duration = Duration::from_secs(120);
/// The server's log is started afresh above this size.
const LOG_LIMIT: u64 = 4_000_000;

/// Above the largest process id Linux gives out.
const IMPOSSIBLE_PROCESS: u32 = 1 << 22;

/// Appended once to the server's configuration: small, local, and safe against power cuts.
const SETTINGS: &str = "
# tillvault: a private server for one replica.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 20
shared_buffers = 64MB
work_mem = 16MB
maintenance_work_mem = 64MB
max_wal_size = 512MB
wal_level = minimal
max_wal_senders = 0
timezone = 'UTC'
log_timezone = 'UTC'
";

/// A share in the private cluster. Leaving it stops the server when nobody else uses it.
#[derive(Debug)]
pub(crate) struct Cluster {
    programs: Programs,
    folder: PathBuf,
    socket: PathBuf,
    in_use: File,
    left: bool,
}

impl Cluster {
    /// Joins the cluster of a data folder; makes and starts it where needed.
    ///
    /// # Errors
    /// `Config` for a wrong `bin`; `Replica` when the programs are missing, the folder is not usable, or the server does not
    /// start (the message names its log).
    pub(crate) fn join(data: &Path, bin: Option<&Path>) -> Result<Self> {
        let home = home(data);
        fs::create_dir_all(&home)
            .or_fail(Kind::Replica, || format!("cannot make the folder {} for PostgreSQL", home.display()))?;
        let home = fs::canonicalize(&home).or_fail(Kind::Replica, || format!("cannot enter {}", home.display()))?;
        let name = blake3::hash(home.as_os_str().as_encoded_bytes()).to_hex()[..16].to_owned();
        let folder = place(&Programs::find(bin, None)?, &home, &name)?;
        let starting = lock_file(&folder, "start.lock")?;
        wait_for_lock(&starting, &folder)?;
        let in_use = lock_file(&folder, "use.lock")?;
        in_use.lock_shared().or_fail(Kind::Replica, || format!("cannot lock {}", folder.display()))?;
        let programs = Programs::find(bin, made_by(&folder.join("cluster"))?)?;
        // Until the end of this function there is nothing to leave: the lock on starting is held, and dropping suffices.
        let mut cluster = Self { programs, folder, socket: PathBuf::new(), in_use, left: true };
        cluster.make()?;
        cluster.socket = match cluster.running() {
            Some(socket) => socket,
            None => cluster.start(&name)?,
        };
        cluster.left = false;
        Ok(cluster)
    }

    /// The folder that holds the cluster.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the server's socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Gives up the share; the last user stops the server.
    ///
    /// # Errors
    /// `Replica` when the server does not stop.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.leave_once()
    }

    fn leave_once(&mut self) -> Result<()> {
        if self.left {
            return Ok(());
        }
        self.left = true;
        let starting = lock_file(&self.folder, "start.lock")?;
        wait_for_lock(&starting, &self.folder)?;
        let failed = || format!("cannot unlock {}", self.folder.display());
        self.in_use.unlock().or_fail(Kind::Replica, failed)?;
        match self.in_use.try_lock() {
            Ok(()) if self.running().is_some() => self.stop(),
            Ok(()) | Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(cause)) => Err(cause).or_fail(Kind::Replica, failed),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    /// Makes the cluster's files, once. A half-made one is never mistaken for a whole one.
    fn make(&self) -> Result<()> {
        if self.data().join("PG_VERSION").is_file() {
            return Ok(());
        }
        let half = self.folder.join("half-made");
        let failed = || format!("cannot make the PostgreSQL cluster in {}", self.folder.display());
        if half.exists() {
            fs::remove_dir_all(&half).or_fail(Kind::Replica, failed)?;
        }
        let mut initdb = self.programs.command("initdb", &self.folder);
        initdb.args(["--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject"]);
        initdb.arg(format!("--username={USER}")).arg("-D").arg(&half);
        run(&mut initdb, failed)?;
        let mut settings =
            File::options().append(true).open(half.join("postgresql.conf")).or_fail(Kind::Replica, failed)?;
        settings.write_all(SETTINGS.as_bytes()).or_fail(Kind::Replica, failed)?;
        settings.sync_all().or_fail(Kind::Replica, failed)?;
        fs::rename(&half, self.data()).or_fail(Kind::Replica, failed)
    }

    /// The socket folder of the server that runs on this cluster, if one answers there.
    fn running(&self) -> Option<PathBuf> {
        // Line 5 of postmaster.pid is the first socket folder.
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let socket = PathBuf::from(text.lines().nth(4)?.trim());
        UnixStream::connect(socket.join(format!(".s.PGSQL.{PORT}"))).ok().map(|_| socket)
    }

    fn start(&self, name: &str) -> Result<PathBuf> {
        let socket = self.socket_folder(name)?;
        self.disown_dead_server()?;
        let log = self.folder.join("postgres.log");
        if fs::metadata(&log).is_ok_and(|log| log.len() > LOG_LIMIT) {
            // Only a log; when it cannot be removed it grows on.
            let _ = fs::remove_file(&log);
        }
        let mut start = self.programs.command("pg_ctl", &self.folder);
        start.args(["start", "--wait", "--timeout=90", "--silent"]);
        start.arg("-D").arg(self.data()).arg("-l").arg(&log);
        // Both values are made of plain characters (see socket_folder), so the shell pg_ctl uses cannot misread them.
        start.arg("-o").arg(format!("-p {PORT} -c unix_socket_directories={}", socket.display()));
        run(&mut start, || format!("the private PostgreSQL server does not start; its log is {}", log.display()))?;
        Ok(socket)
    }

    /// Helps `PostgreSQL` see that the server before has died when nobody has collected its process (a zombie, as in
    /// containers whose first process does not). Only the process id is replaced, by one that cannot exist: whether orphans
    /// of that server still use its memory is checked by `PostgreSQL` from the other lines.
    fn disown_dead_server(&self) -> Result<()> {
        let file = self.data().join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
        let Some((process, rest)) = text.split_once('\n') else { return Ok(()) };
        if state(process).is_some_and(|state| state == 'Z') {
            fs::write(&file, format!("{IMPOSSIBLE_PROCESS}\n{rest}"))
                .or_fail(Kind::Replica, || format!("cannot correct {}", file.display()))?;
        }
        Ok(())
    }

    fn stop(&self) -> Result<()> {
        let process = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let mut stop = self.programs.command("pg_ctl", &self.folder);
        stop.args(["stop", "--mode=fast", "--wait", "--timeout=90", "--silent"]).arg("-D").arg(self.data());
        run(&mut stop, || format!("the private PostgreSQL server in {} does not stop", self.folder.display()))?;
        // pg_ctl waits for the server's note to go, which is shortly before the server itself does.
        let process = process.lines().next().unwrap_or_default();
        let began = Instant::now();
        while state(process).is_some_and(|state| state != 'Z') && began.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(5));
        }
        // An empty folder in /tmp; it is made again when needed.
        let _ = fs::remove_dir(&self.socket);
        Ok(())
    }

    /// A short folder for the socket (its path is limited to 107 bytes), which only the server's user may enter.
    fn socket_folder(&self, name: &str) -> Result<PathBuf> {
        let uid = self.programs.uid()?;
        let runtime = PathBuf::from(format!("/run/user/{uid}"));
        let usable = self.programs.user().is_none() && fs::metadata(&runtime).is_ok_and(|found| found.uid() == uid);
        let base = if usable { runtime } else { "/tmp".into() };
        let folder = base.join(format!("tillvault-{name}"));
        let failed = || format!("cannot make the folder {} for PostgreSQL's socket", folder.display());
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(cause).or_fail(Kind::Replica, failed);
            }
            Ok(()) => own(&folder, &self.programs)?,
            Err(_) => {}
        }
        let found = fs::symlink_metadata(&folder).or_fail(Kind::Replica, failed)?;
        if !found.is_dir() || found.uid() != uid || found.mode() & 0o077 != 0 {
            return Err(Error::new(
                Kind::Replica,
                format!("{} belongs to somebody else or is open to others", folder.display()),
            )
            .hint("remove it; tillvault makes it again with the right owner"));
        }
        Ok(folder)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A failure leaves a running server, which the next run picks up.
        let _ = self.leave_once();
    }
}

/// Where the private cluster of a data folder belongs.
pub(crate) fn home(data: &Path) -> PathBuf {
    data.join("postgres")
}

/// The folder that holds cluster, locks and log: `home`, or another one when root's `home` is out of the server's reach.
fn place(programs: &Programs, home: &Path, name: &str) -> Result<PathBuf> {
    own(home, programs)?;
    let Some(user) = programs.user() else { return Ok(home.to_owned()) };
    if programs.reaches(home) {
        return Ok(home.to_owned());
    }
    let base = if home.starts_with("/tmp") { "/tmp" } else { "/var/lib/tillvault" };
    let folder = Path::new(base).join(format!("replica-{name}"));
    let unreachable = || {
        format!(
            "PostgreSQL runs as user {}, who can enter neither {} nor {}",
            user.name,
            home.display(),
            folder.display()
        )
    };
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&folder).or_fail(Kind::Replica, unreachable)?;
    own(&folder, programs)?;
    if !programs.reaches(&folder) {
        return Err(Error::new(Kind::Replica, unreachable()).hint(format!(
            "set the data folder to one that every user may enter, for example below /srv, or run tillvault as an ordinary user (not root); `namei -l {}` shows who may enter what",
            home.display()
        )));
    }
    let note = format!(
        "The PostgreSQL cluster of this data folder lies in\n{}\nbecause the user {} may not enter this folder.\nIt can be removed at any time: `tillvault load` builds it again from the archive.\n",
        folder.display(),
        user.name
    );
    fs::write(home.join("README.txt"), note)
        .or_fail(Kind::Replica, || format!("cannot write into {}", home.display()))?;
    Ok(folder)
}

/// Gives a folder to the server's user and closes it to others.
fn own(folder: &Path, programs: &Programs) -> Result<()> {
    let failed = || format!("cannot give {} to PostgreSQL's user", folder.display());
    if let Some(user) = programs.user() {
        chown(folder, Some(user.uid), Some(user.gid)).or_fail(Kind::Replica, failed)?;
    }
    let mut mode = fs::metadata(folder).or_fail(Kind::Replica, failed)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o700);
    fs::set_permissions(folder, mode).or_fail(Kind::Replica, failed)
}

/// State of a process as the kernel names it (`Z`: ended, not collected by its parent); `None` when there is no such process.
fn state(process: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.trim())).ok()?;
    // The state follows the program's name, which stands in brackets.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Major version a cluster was made by, if it is there.
fn made_by(cluster: &Path) -> Result<Option<u32>> {
    let file = cluster.join("PG_VERSION");
    if !file.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).or_fail(Kind::Replica, || format!("cannot read {}", file.display()))?;
    text.trim().parse().map(Some).or_fail(Kind::Replica, || format!("{} holds no version", file.display()))
}

fn lock_file(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(name);
    File::options().create(true).truncate(false).write(true).open(&path).map_err(|cause| {
        Error::new(Kind::Replica, format!("cannot open {}", path.display()))
            .caused_by(cause)
            .hint("the data folder belongs to another user; run tillvault always as the same one")
    })
}

fn wait_for_lock(file: &File, folder: &Path) -> Result<()> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(cause)) => {
                return Err(cause).or_fail(Kind::Replica, || format!("cannot lock {}", folder.display()));
            }
            Err(TryLockError::WouldBlock) if began.elapsed() > PATIENCE => {
                return Err(Error::new(
                    Kind::Replica,
                    format!(
                        "another process has been starting or stopping PostgreSQL in {} for too long",
                        folder.display()
                    ),
                )
                .temporary());
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Runs one of `PostgreSQL`'s programs to its end; what it says becomes the cause of a failure.
fn run(command: &mut Command, failed: impl Fn() -> String) -> Result<()> {
    // A file, not a pipe: the server inherits it and would keep a pipe open for good.
    let said = tempfile::tempfile().or_fail(Kind::Replica, &failed)?;
    let handle = || said.try_clone().map(Stdio::from);
    let status = command
        .stdout(handle().or_fail(Kind::Replica, &failed)?)
        .stderr(handle().or_fail(Kind::Replica, &failed)?)
        .status()
        .or_fail(Kind::Replica, &failed)?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    let mut said = said;
    // What the program said is a help, no more.
    let _ = std::io::Seek::rewind(&mut said).and_then(|()| std::io::Read::read_to_string(&mut said, &mut text));
    Err(Error::new(Kind::Replica, failed()).caused_by(format!("{status}: {}", text.trim())))
}
