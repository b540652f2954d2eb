//! Upload speed: objects like chunks (they cannot be compressed), by each uploader in turns.

use std::{
    fs,
    path::{Path as FilePath, PathBuf},
    process::Command,
    time::Instant,
};

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use rand::RngExt as _;
use tillvault::store::{Remote, proof::ReadBack, upload::Stored};
use url::Url;

use crate::{
    double::{Double, Options},
    measure::{self, Took, median},
    peers::{self, PASSWORD, USER},
    requests::remote,
};

const FILES: usize = 12;
const BYTES: usize = 16_000_000;
const ROUNDS: usize = 3;
/// Uploads side by side.
const SIDE_BY_SIDE: usize = 4;

/// Who uploads, and with how many side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Curl(usize),
    /// And reads everything back and hashes it.
    CurlReadBack(usize),
    Rclone(usize),
    /// Without reading back where the server computes no hash.
    Vault(usize),
    VaultReadBack(usize),
}

impl Who {
    fn name(self) -> String {
        match self {
            Self::Curl(n) => format!("curl -T, {n} at once"),
            Self::CurlReadBack(n) => format!("curl -T, then curl and sha256sum, {n} at once"),
            Self::Rclone(n) => format!("rclone copy, {n} at once"),
            Self::Vault(n) => format!("tillvault, {n} at once, by length or the server's hash"),
            Self::VaultReadBack(n) => format!("tillvault, {n} at once, read back"),
        }
    }
}

/// Files and where they go.
struct Job {
    files: Vec<PathBuf>,
    scratch: PathBuf,
    url: Url,
    remote: Remote,
    /// The server computes hashes: nothing has to be read back, and curl asks for the hash, too.
    hashes: bool,
}

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let files = make_files(folder.path());
    println!("\n## Upload, {FILES} files of {} MB, medians of {ROUNDS} rounds in turns", BYTES / 1_000_000);
    let apache = peers::apache();
    measure_server("apache2 mod_dav", apache.url(), false, &files, folder.path());
    drop(apache);
    let rclone = peers::rclone();
    measure_server("rclone serve webdav", rclone.url(), false, &files, folder.path());
    drop(rclone);
    // On threads of its own, as a server is.
    let threads = tokio::runtime::Runtime::new().unwrap();
    let double = threads.block_on(Double::start(Options::default()));
    let url = double.folder("speed/");
    measure_server("Nextcloud double", &url, true, &files, folder.path());
}

fn make_files(folder: &FilePath) -> Vec<PathBuf> {
    let mut random = rand::rng();
    let make = |number| {
        let file = folder.join(format!("{number:02}.parquet"));
        let mut bytes = vec![0_u8; BYTES];
        random.fill(&mut bytes[..]);
        fs::write(&file, bytes).unwrap();
        file
    };
    (0..FILES).map(make).collect()
}

fn measure_server(server: &str, url: &Url, hashes: bool, files: &[PathBuf], scratch: &FilePath) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let remote = remote(url);
    let profile = runtime.block_on(remote.probe()).unwrap();
    assert_eq!(profile.received_hash, hashes, "{profile:?}");
    let job = Job { files: files.to_vec(), scratch: scratch.to_owned(), url: url.clone(), remote, hashes };
    let mut all = vec![Who::Curl(1), Who::Vault(1), Who::Curl(SIDE_BY_SIDE), Who::Vault(SIDE_BY_SIDE)];
    all.push(Who::Rclone(SIDE_BY_SIDE));
    if !hashes {
        all.extend([Who::CurlReadBack(SIDE_BY_SIDE), Who::VaultReadBack(SIDE_BY_SIDE)]);
    }
    let mut took: Vec<Vec<Took>> = all.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        for (who, took) in all.iter().zip(&mut took) {
            let folder = format!("round{round}");
            curl(&["-X", "MKCOL", job.url.join(&folder).unwrap().as_str()]);
            took.push(job.upload(*who, &folder, &runtime));
            curl(&["-X", "DELETE", job.url.join(&format!("{folder}/")).unwrap().as_str()]);
        }
    }

    let speed = |took: &[Took]| (FILES * BYTES) as f64 / 1e6 / median(took.iter().map(|took| took.wall).collect());
    println!("\n### {server}\n\n| uploader | MB/s | rounds | its CPU s |\n|---|---|---|---|");
    for (who, took) in all.iter().zip(&took) {
        let rounds: Vec<String> = took.iter().map(|took| format!("{:.0}", speed(&[*took]))).collect();
        let cpu = Took::median(took).cpu;
        // The double works in this process: its CPU is not told from ours.
        let cpu = if hashes && matches!(who, Who::Vault(_)) { "-".to_owned() } else { format!("{cpu:.2}") };
        println!("| {} | {:.0} | {} | {cpu} |", who.name(), speed(took), rounds.join(" "));
    }
    println!();
    let of = |who: Who| all.iter().position(|other| *other == who).map(|at| speed(&took[at]));
    let n = SIDE_BY_SIDE;
    for (ours, theirs) in [
        (Who::Vault(1), Who::Curl(1)),
        (Who::Vault(n), Who::Curl(n)),
        (Who::Vault(n), Who::Curl(1)),
        (Who::Vault(n), Who::Rclone(n)),
        (Who::VaultReadBack(n), Who::CurlReadBack(n)),
        (Who::VaultReadBack(n), Who::Curl(n)),
    ] {
        if let (Some(a), Some(b)) = (of(ours), of(theirs)) {
            println!("- {} / {}: {:.2}", ours.name(), theirs.name(), a / b);
        }
    }
}

/// Runs curl as the user, quietly.
fn curl(arguments: &[&str]) {
    let status = Command::new("curl")
        .args(["-sS", "-f", "-o", "/dev/null", "-u", &format!("{USER}:{PASSWORD}")])
        .args(arguments)
        .status();
    assert!(status.unwrap().success(), "curl {arguments:?}");
}

impl Job {
    fn upload(&self, who: Who, folder: &str, runtime: &tokio::runtime::Runtime) -> Took {
        match who {
            Who::Curl(n) => self.run("curl", &self.curl_arguments(n, folder)),
            Who::CurlReadBack(n) => {
                let sent = self.run("curl", &self.curl_arguments(n, folder));
                let read = self.run("sh", &["-c".into(), self.read_back_script(n, folder)]);
                Took { wall: sent.wall + read.wall, cpu: sent.cpu + read.cpu, ..sent }
            }
            Who::Rclone(n) => self.run("rclone", &self.rclone_arguments(n, folder)),
            Who::Vault(n) => self.vault(n, folder, ReadBack { up_to: 0 }, runtime),
            Who::VaultReadBack(n) => self.vault(n, folder, ReadBack::ALL, runtime),
        }
    }

    fn run(&self, program: &str, arguments: &[String]) -> Took {
        let result = measure::run(FilePath::new(program), arguments, &self.scratch);
        result.unwrap_or_else(|error| panic!("{program}: {error}")).1
    }

    fn address(&self, folder: &str, file: &FilePath) -> String {
        let name = file.file_name().unwrap().to_str().unwrap();
        self.url.join(&format!("{folder}/{name}")).unwrap().into()
    }

    fn curl_arguments(&self, n: usize, folder: &str) -> Vec<String> {
        let mut arguments: Vec<String> = ["-sS", "-f", "-u"].map(str::to_owned).into();
        arguments.push(format!("{USER}:{PASSWORD}"));
        if self.hashes {
            arguments.extend(["-H".to_owned(), "X-Hash: sha256".into()]);
        }
        if n > 1 {
            arguments.extend(["-Z".to_owned(), "--parallel-immediate".into(), "--parallel-max".into(), n.to_string()]);
        }
        for file in &self.files {
            arguments.extend(["-o".to_owned(), "/dev/null".into()]);
            arguments.extend(["-T".to_owned(), file.to_str().unwrap().to_owned(), self.address(folder, file)]);
        }
        arguments
    }

    /// Reads everything back, `n` at once, and compares hashes.
    fn read_back_script(&self, n: usize, folder: &str) -> String {
        let names = self.files.iter().map(|file| self.address(folder, file)).collect::<Vec<_>>().join("\\n");
        let one = format!("curl -sS -f -u {USER}:{PASSWORD} \"$0\" | sha256sum");
        format!("printf '{names}\\n' | xargs -P {n} -n 1 sh -c '{one}'")
    }

    fn rclone_arguments(&self, n: usize, folder: &str) -> Vec<String> {
        let obscured = Command::new("rclone").args(["obscure", PASSWORD]).output().unwrap();
        let mut arguments: Vec<String> =
            ["copy", "--config", "/dev/null", "--include", "*.parquet"].map(str::to_owned).into();
        arguments.extend(["--transfers".to_owned(), n.to_string(), "--webdav-vendor".into(), "other".into()]);
        arguments.extend(["--webdav-url".to_owned(), self.url.to_string(), "--webdav-user".into(), USER.into()]);
        arguments.extend(["--webdav-pass".to_owned(), String::from_utf8(obscured.stdout).unwrap().trim().to_owned()]);
        arguments.extend([self.scratch.to_str().unwrap().to_owned(), format!(":webdav:{folder}")]);
        arguments
    }

    fn vault(&self, n: usize, folder: &str, read_back: ReadBack, runtime: &tokio::runtime::Runtime) -> Took {
        let mut remote = self.remote.clone();
        remote.read_back = read_back;
        let (started, cpu) = (Instant::now(), measure::own_cpu());
        runtime.block_on(async {
            let uploads = self.files.iter().map(|file| {
                let name = file.file_name().unwrap().to_str().unwrap();
                let (remote, path) = (&remote, Path::from(format!("{folder}/{name}")));
                async move {
                    let bytes = tokio::fs::read(file).await.unwrap();
                    remote.put_new(&path, bytes.into()).await.map(|stored| assert_eq!(stored, Stored::Uploaded))
                }
            });
            futures::stream::iter(uploads).buffer_unordered(n).try_collect::<Vec<()>>().await.unwrap();
        });
        let cpu = measure::own_cpu() - cpu;
        Took { wall: started.elapsed().as_secs_f64(), cpu, peak: f64::NAN, server: 0.0 }
    }
}
