//! The embedded default: one process, everything in files, applications as processes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::platform::{BINARY, CLEARED, End, Platform, eventually, get};

/// The program and its supervisor.
pub(crate) const PROCESSES_OF_AN_INSTANCE: usize = 2;

/// It stands on nothing.
pub(crate) struct Stage;

/// The process.
pub(crate) struct Server {
    process: Child,
    pub(crate) api: String,
    pub(crate) edge: SocketAddr,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Starts it; nothing when it did not come up.
    pub(crate) fn start(
        &mut self,
        directory: &Path,
        settings: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Option<Server> {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(directory.join("server.log")).unwrap();
        let mut command = Command::new(BINARY);
        command.arg("up").arg("--json").arg("--data").arg(directory.join("data"));
        command.args(["--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0"]).args(settings);
        CLEARED.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(environment);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            process.wait().unwrap();
            return None;
        };
        let api = ready["api"].as_str().unwrap().to_owned();
        let edge = ready["edge"].as_str().unwrap().parse().unwrap();
        Some(Server { process, api, edge })
    }

    /// What the command line is given besides: it was signed in.
    pub(crate) fn client_environment(&self, _directory: &Path) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    pub(crate) fn said(&self, directory: &Path) -> String {
        fs::read_to_string(directory.join("server.log")).unwrap_or_default()
    }

    pub(crate) fn end(&mut self, mut server: Server, how: End) {
        let pid = rustix::process::Pid::from_child(&server.process);
        let signal = match how {
            End::Interrupt => rustix::process::Signal::INT,
            End::Kill => rustix::process::Signal::KILL,
        };
        let _ = rustix::process::kill_process(pid, signal);
        server.process.wait().unwrap();
    }

    /// The processes of this installation, by their mark: `instance/…`, `build/…`.
    pub(crate) fn processes(&self, directory: &Path) -> Vec<String> {
        let Ok(text) = fs::read_to_string(directory.join("data/installation.json")) else { return vec![] };
        let id = serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
        let mut found = vec![];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
            let mark = format!("SWITCHBACK_PROCESS={id}/");
            let variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            let cmdline = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let name = String::from_utf8_lossy(&cmdline).replace('\0', " ");
            found.extend(variables.filter_map(|v| Some(format!("{} {name}", v.strip_prefix(&mark)?))));
        }
        found
    }

    /// What is left when the platform has stopped.
    pub(crate) fn left(&self, directory: &Path) -> Vec<String> {
        self.processes(directory)
    }
}

impl Platform {
    /// Sets a variable of the environment for the next start.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.environment.insert(name.to_owned(), value.to_owned()),
            None => self.environment.remove(name),
        };
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Where builds take place.
    pub(crate) fn builds(&self) -> PathBuf {
        self.data().join("builds")
    }

    /// Everything that is kept in files.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        vec![self.data()]
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.server().process.id()
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait_for_end(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        eventually("the platform ends", || server.process.try_wait().unwrap().is_some());
    }
}

/// Asks the API for what needs no token.
pub(crate) fn get_api(platform: &Platform, path: &str) -> (u16, String) {
    let address = platform.api().strip_prefix("http://").unwrap();
    get(address.parse().unwrap(), address, path)
}
