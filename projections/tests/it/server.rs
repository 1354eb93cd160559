//! `PostgreSQL` servers of a test's own: a primary and its streaming replica, which can be stopped and
//! started.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);
/// Where distributions keep its programs, a folder for each version.
const FOLDER: &str = "/usr/lib/postgresql";
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "full_page_writes=off",
    "dynamic_shared_memory_type=mmap",
    "shared_buffers=16MB",
    "max_connections=60",
    "listen_addresses=127.0.0.1",
    "wal_receiver_status_interval=1",
];

/// A server. Stopped at the end, whatever comes of the test.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Server {
    pub(crate) async fn primary() -> Self {
        let folder = folder();
        program("initdb", |command| {
            let arguments = ["--no-sync", "--auth=trust", "--no-locale", "--encoding=UTF8"];
            command.args(arguments).args(["--username", "switchback", "-D"]).arg(data(&folder))
        });
        let mut server = Self { folder, port: free_port(), process: None };
        server.start().await;
        server
    }

    /// A copy that follows this one.
    pub(crate) async fn replica(&self) -> Self {
        let folder = folder();
        let from = format!("host=127.0.0.1 port={} user=switchback", self.port);
        program("pg_basebackup", |command| {
            command.args(["--no-sync", "-c", "fast", "-R", "-d", &from, "-D"]).arg(data(&folder))
        });
        let mut server = Self { folder, port: free_port(), process: None };
        server.start().await;
        server
    }

    pub(crate) async fn start(&mut self) {
        let mut command = as_user("postgres");
        command.arg("-D").arg(data(&self.folder)).args(["-p", &self.port.to_string()]);
        command.arg("-k").arg(self.folder.path());
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.process = Some(process.unwrap());
        let answers = async {
            while PgConnection::connect(&self.url()).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(LIMIT, answers).await.is_err() {
            panic!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap());
        }
    }

    /// As after a crash: nothing is said to anybody.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let mut stop = as_user("pg_ctl");
            stop.arg("-D").arg(data(&self.folder)).args(["stop", "--silent", "-m", "immediate"]);
            let _ = stop.status();
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://switchback@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) async fn execute(&self, statement: &'static str) {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn data(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("data")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A folder of whoever runs the server.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    if let Some((user, group)) = user() {
        chown(folder.path(), Some(user), Some(group)).unwrap();
    }
    folder
}

fn program(name: &str, with: impl FnOnce(&mut Command) -> &mut Command) {
    let mut command = as_user(name);
    let output = with(&mut command).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The server refuses to run as root.
fn as_user(name: &str) -> Command {
    let program = programs().join(name);
    let mut command = match user() {
        None => Command::new(program),
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]);
            command.arg("--").arg(program);
            command
        }
    };
    command.current_dir("/");
    command
}

/// Who runs it, when we are root.
fn user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let known = fs::read_to_string("/etc/passwd").unwrap();
    let of = |wanted: &str| {
        let line = known.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2).map(|id| id.parse::<u32>());
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    Some(["postgres", "nobody"].into_iter().find_map(of).expect("there is nobody to run PostgreSQL as"))
}

/// The folder of the programs, the newest where there are several.
fn programs() -> PathBuf {
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let versions = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let folders = versions.map(|version| (version, Path::new(FOLDER).join(version.to_string()).join("bin")));
    let newest = folders.filter(|(_, folder)| folder.join("pg_basebackup").exists()).max();
    newest.unwrap_or_else(|| panic!("there is no PostgreSQL in {FOLDER}: `cargo xtask test` installs it")).1
}
