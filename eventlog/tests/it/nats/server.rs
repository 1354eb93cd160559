//! NATS servers of a test's own, to be stopped, killed and started again.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::nats::engine;

const LIMIT: Duration = Duration::from_secs(30);

/// A server, killed when it is dropped.
pub(crate) struct Server {
    child: Option<Child>,
    command: Command,
    client: u16,
    monitor: u16,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One of the configurations that the project keeps.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/engines").join(name)
}

impl Server {
    /// One server that syncs before it answers, with its data in a directory.
    pub(crate) fn lone(dir: &Path) -> Self {
        Self::start("lone", &kept("nats.conf"), dir, &[])
    }

    /// One server with a configuration of the test's.
    pub(crate) fn with(configuration: &Path, dir: &Path) -> Self {
        Self::start("lone", configuration, dir, &[])
    }

    /// Three servers that are a cluster.
    pub(crate) fn three(dir: &Path) -> Vec<Self> {
        let routes = [free_port(), free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let names = ["NATS_ROUTE_A", "NATS_ROUTE_B", "NATS_ROUTE_C"];
        let all = names.into_iter().zip(&routes).map(|(name, route)| (name, format!("nats://{route}")));
        let all: Vec<_> = all.collect();
        let servers = routes.iter().enumerate().map(|(number, route)| {
            let mut values = all.clone();
            values.push(("NATS_ROUTE", route.clone()));
            let name = format!("s{number}");
            Self::start(&name, &kept("nats-cluster.conf"), &dir.join(&name), &values)
        });
        servers.collect()
    }

    fn start(name: &str, configuration: &Path, dir: &Path, values: &[(&str, String)]) -> Self {
        let (client, monitor) = (free_port(), free_port());
        let mut command = Command::new(engine("SWITCHBACK_NATS_SERVER"));
        command.arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("NATS_NAME", name).env("NATS_STORE", dir);
        command.env("NATS_LISTEN", format!("127.0.0.1:{client}"));
        command.env("NATS_MONITOR", format!("127.0.0.1:{monitor}"));
        command.envs(values.iter().map(|(key, value)| (key, value)));
        let mut server = Self { child: None, command, client, monitor };
        server.start_again();
        server
    }

    /// Starts it on the data it had.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none());
        self.child = Some(self.command.spawn().unwrap());
        let begin = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.client)).is_err() {
            assert!(begin.elapsed() < LIMIT, "the server does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it where it is, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.client)
    }

    pub(crate) fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}
