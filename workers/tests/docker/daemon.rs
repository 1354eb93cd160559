//! A Docker Engine of a test's own, to be stopped, killed and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bollard::{ClientVersion, Docker};
use futures::StreamExt;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::engine::{BUSYBOX, LIMIT, TestEngine};

/// Below the networks that the engines of `xtask` take.
const NETWORKS: std::ops::Range<u8> = 40..100;
const STOP_LIMIT: Duration = Duration::from_secs(30);

static NEXT: AtomicU8 = AtomicU8::new(0);
/// One at a time: two that start at once get in each other's way in the host's firewall.
static ONLY: Mutex<()> = Mutex::const_new(());

pub(crate) struct Daemon {
    directory: TempDir,
    group: String,
    number: u8,
    child: Child,
    _only: MutexGuard<'static, ()>,
}

impl Daemon {
    /// Starts one, with the image of the other engine.
    pub(crate) async fn start(images_of: &TestEngine) -> Self {
        let only = ONLY.lock().await;
        let directory = tempfile::tempdir().unwrap();
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = format!("sbt{}-{nth}", std::process::id());
        let taken = output("/usr/sbin/ip", &["-4", "address", "show"]);
        let begin = usize::try_from(std::process::id()).unwrap() + usize::from(nth) * 7;
        let mut numbers = NETWORKS.cycle().skip(begin % NETWORKS.len()).take(NETWORKS.len());
        let number = numbers.find(|number| !taken.contains(&format!(" 10.{number}."))).expect("a network");
        let child = spawn(directory.path(), &group, number);
        let daemon = Self { directory, group, number, child, _only: only };
        daemon.answers().await;
        let image: Vec<_> = images_of.client.export_image(BUSYBOX).map(Result::unwrap).collect().await;
        let body = bollard::body_full(image.concat().into());
        let options = bollard::query_parameters::ImportImageOptions::default();
        let mut loading = daemon.client().import_image(options, body, None);
        while let Some(line) = loading.next().await {
            line.unwrap();
        }
        daemon
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    fn client(&self) -> Docker {
        let version = ClientVersion { major_version: 1, minor_version: 41 };
        Docker::connect_with_unix(self.socket().to_str().unwrap(), 60, &version).unwrap()
    }

    async fn answers(&self) {
        let answers = async {
            while !self.socket().exists() || self.client().ping().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(LIMIT, answers).await.is_err() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            let last = log.lines().rev().take(30).collect::<Vec<_>>();
            panic!("the engine does not answer, and said at last, backwards:\n{}", last.join("\n"));
        }
    }

    /// Stops it as an operator does, and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.end("-TERM");
        self.child = spawn(self.directory.path(), &self.group, self.number);
        self.answers().await;
    }

    /// Kills it, and starts it again. Its containers are in nobody's hands in between.
    pub(crate) async fn kill_and_start(&mut self) {
        self.end("-KILL");
        // The kernel ends its own server with it; a daemon that starts before that waits for it in vain.
        let note = self.directory.path().join("exec/containerd/containerd.pid");
        let server = std::fs::read_to_string(&note).unwrap();
        let status = PathBuf::from(format!("/proc/{}/status", server.trim()));
        let begin = Instant::now();
        while std::fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ")) {
            assert!(begin.elapsed() < STOP_LIMIT, "its server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::remove_file(note).unwrap();
        let _ = std::fs::remove_file(self.directory.path().join("pid"));
        self.child = spawn(self.directory.path(), &self.group, self.number);
        self.answers().await;
    }

    fn end(&mut self, signal: &str) {
        output("kill", &[signal, &self.child.id().to_string()]);
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < STOP_LIMIT, "the engine does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn spawn(directory: &Path, group: &str, number: u8) -> Child {
    let daemon = std::env::var("SWITCHBACK_DOCKERD")
        .expect("SWITCHBACK_DOCKERD names the daemon's program; `cargo xtask test` knows it");
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--", &daemon]);
    for (flag, file) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
        command.arg(flag).arg(directory.join(file));
    }
    command.arg(format!("--host=unix://{}", directory.join("docker.sock").display()));
    // No network of its own: its rules in the host's firewall would outlive it.
    command.args(["--bridge=none", "--shutdown-timeout=3"]);
    // What is in its containers is known by this, whatever becomes of the daemon.
    command.arg(format!("--cgroup-parent=/{group}"));
    command.arg(format!("--default-address-pool=base=10.{number}.128.0/17,size=24"));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().expect("the daemon starts")
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Whatever of it fails, the rest is done.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).output();
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.kill_what_is_left();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        let mut ours: Vec<PathBuf> =
            points.filter(|point| point.starts_with(self.directory.path())).collect();
        ours.reverse();
        for point in ours {
            let _ = Command::new("umount").arg("--lazy").arg(point).output();
        }
        self.remove_interfaces();
    }
}

impl Daemon {
    /// Its servers, and whatever is in its containers, when it did not come to end them itself.
    fn kill_what_is_left(&self) {
        let folder = format!("{}/", self.directory.path().display());
        let group = format!("/{}/", self.group);
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let read = |file: &str| std::fs::read(process.path().join(file)).unwrap_or_default();
            let (arguments, groups) = (read("cmdline"), read("cgroup"));
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            let is_server = arguments.split('\0').next().is_some_and(|name| name.contains("containerd"));
            if is_server && arguments.contains(&folder) || String::from_utf8_lossy(&groups).contains(&group) {
                let id = process.file_name();
                let _ = Command::new("kill").arg("-KILL").arg(&id).output();
            }
        }
    }

    /// The bridges of networks that nobody has removed.
    fn remove_interfaces(&self) {
        let Ok(listed) = Command::new("/usr/sbin/ip").args(["-4", "-o", "address", "show"]).output() else {
            return;
        };
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let ours = listed.lines().filter(|line| line.contains(&format!(" 10.{}.", self.number)));
        for bridge in ours.filter_map(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("/usr/sbin/ip").args(["link", "delete", bridge]).output();
        }
    }
}
