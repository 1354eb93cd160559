//! A platform for one test, and the command line against it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_switchback");
/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A platform that runs.
pub(crate) struct Platform {
    directory: TempDir,
    server: Option<Server>,
    settings: Vec<String>,
    environment: BTreeMap<String, String>,
}

struct Server {
    process: Child,
    api: String,
    edge: SocketAddr,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As Ctrl-C does.
    Interrupt,
    /// As nothing can prevent.
    Kill,
}

impl Platform {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::with(&[], &[])
    }

    /// Starts one with more arguments and more environment.
    pub(crate) fn with(settings: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut platform = Self {
            directory: tempfile::Builder::new().prefix("sb-it-").tempdir().unwrap(),
            server: None,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            environment: environment
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        platform.start_again();
        platform
    }

    /// Starts it again on the same data.
    pub(crate) fn start_again(&mut self) {
        assert!(self.try_start(), "the platform did not start: {}", self.server_log());
    }

    /// Starts it again; whether it came up (it may have been told to die before).
    pub(crate) fn try_start(&mut self) -> bool {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("server.log")).unwrap();
        let mut command = Command::new(BINARY);
        command.arg("up").arg("--json").arg("--data").arg(self.data()).args(["--listen", "127.0.0.1:0"]);
        command.args(["--edge", "127.0.0.1:0"]).args(&self.settings);
        self.set_environment(&mut command);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            process.wait().unwrap();
            return false;
        };
        let api = ready["api"].as_str().unwrap().to_owned();
        let edge = ready["edge"].as_str().unwrap().parse().unwrap();
        self.server = Some(Server { process, api, edge });
        true
    }

    fn set_environment(&self, command: &mut Command) {
        command.env("XDG_CONFIG_HOME", self.path("config")).env("HOME", self.path("home"));
        for name in ["SWITCHBACK_URL", "SWITCHBACK_TOKEN", "SWITCHBACK_PROJECT", "SWITCHBACK_CRASH"] {
            command.env_remove(name);
        }
        command.envs(&self.environment);
    }

    /// Sets a variable of the environment for the next start.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.environment.insert(name.to_owned(), value.to_owned()),
            None => self.environment.remove(name),
        };
    }

    /// A path in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// What the server said.
    pub(crate) fn server_log(&self) -> String {
        fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the platform runs")
    }

    /// Where the API is.
    pub(crate) fn api(&self) -> &str {
        &self.server().api
    }

    /// Where the edge is.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.server().edge
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.server().process.id()
    }

    /// Runs the command line, in a directory.
    pub(crate) fn run_in(&self, directory: &Path, arguments: &[&str]) -> Output {
        self.command_in(directory, arguments).output().unwrap()
    }

    /// The command line, to be started.
    pub(crate) fn command_in(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(directory).stdin(Stdio::null());
        self.set_environment(&mut command);
        command.env("SWITCHBACK_URL", self.api());
        command
    }

    /// Runs the command line.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_in(self.directory.path(), arguments)
    }

    /// Runs the command line with `--json`, which must succeed, and gives the last document it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output), self.server_log());
        last_json(&output)
    }

    /// Runs the command line, which must fail with this exit code; what it said on standard error.
    pub(crate) fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Deploys a directory as service `web` of project `shop`; the result.
    pub(crate) fn deploy(&self, source: &Path) -> Value {
        self.json(&["deploy", source.to_str().unwrap(), "-p", "shop", "-s", "web", "-y"])
    }

    /// Asks the edge for a page of the service `web` of project `shop`.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.get_from("web.shop.localhost", path)
    }

    /// Asks the edge for a page of a hostname.
    pub(crate) fn get_from(&self, hostname: &str, path: &str) -> (u16, String) {
        get(self.edge(), hostname, path)
    }

    /// Ends the process.
    pub(crate) fn end(&mut self, how: End) {
        let Some(mut server) = self.server.take() else { return };
        let pid = rustix::process::Pid::from_child(&server.process);
        let signal = match how {
            End::Interrupt => rustix::process::Signal::INT,
            End::Kill => rustix::process::Signal::KILL,
        };
        let _ = rustix::process::kill_process(pid, signal);
        server.process.wait().unwrap();
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait_for_end(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        eventually("the platform ends", || server.process.try_wait().unwrap().is_some());
    }

    /// The processes of this installation, by their mark: `instance/…`, `build/…`.
    pub(crate) fn processes(&self) -> Vec<String> {
        let Ok(text) = fs::read_to_string(self.data().join("installation.json")) else { return vec![] };
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
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.server_log());
        }
        self.end(End::Interrupt);
        let left = self.processes();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes are left: {left:?}");
        }
    }
}

/// Asks for a page with HTTP/1.1; status and body.
pub(crate) fn get(address: SocketAddr, hostname: &str, path: &str) -> (u16, String) {
    use std::io::Write;
    let Ok(mut connection) = std::net::TcpStream::connect(address) else { return (0, String::new()) };
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {hostname}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = vec![];
    let _ = connection.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Asks the API for what needs no token.
pub(crate) fn get_api(platform: &Platform, path: &str) -> (u16, String) {
    let address = platform.api().strip_prefix("http://").unwrap();
    get(address.parse().unwrap(), address, path)
}

/// Both outputs of a command.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The last JSON document on standard output.
pub(crate) fn last_json(output: &Output) -> Value {
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(&out).unwrap_or_else(|_| {
        let last = out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("no JSON ({error}): {}", text(output)))
    })
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
