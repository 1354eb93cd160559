//! A NATS server of a test's own, to be killed and started again.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::platform::eventually;

/// A server that syncs before it answers; killed when it is dropped.
pub(crate) struct Nats {
    process: Option<Child>,
    command: Command,
    client: u16,
    monitor: u16,
}

impl Nats {
    /// One with its data in a directory.
    pub(crate) fn start(directory: &Path) -> Self {
        let program = std::env::var("SWITCHBACK_NATS_SERVER")
            .expect("SWITCHBACK_NATS_SERVER is not set: `cargo xtask test` installs the server and sets it");
        let (client, monitor) = (free_port(), free_port());
        let mut command = Command::new(program);
        command.arg("-c").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/engines/nats.conf"));
        command.env("NATS_NAME", "one").env("NATS_STORE", directory);
        command.env("NATS_LISTEN", format!("127.0.0.1:{client}"));
        command.env("NATS_MONITOR", format!("127.0.0.1:{monitor}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut nats = Self { process: None, command, client, monitor };
        nats.start_again();
        nats
    }

    /// Starts it on the data that it had.
    pub(crate) fn start_again(&mut self) {
        self.process = Some(self.command.spawn().unwrap());
        eventually("NATS answers", || TcpStream::connect(("127.0.0.1", self.client)).is_ok());
    }

    /// Ends it, as nothing can prevent.
    pub(crate) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// The settings of a platform that has its log here.
    pub(crate) fn settings(&self) -> [String; 4] {
        let log = format!("nats://127.0.0.1:{}", self.client);
        let monitor = format!("http://127.0.0.1:{}", self.monitor);
        ["--log".to_owned(), log, "--log-monitor".to_owned(), monitor]
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
