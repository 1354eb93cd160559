//! A platform for one test, and the command line against it.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{Server, Stage};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_switchback");
/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A platform that runs.
pub(crate) struct Platform {
    directory: TempDir,
    pub(crate) server: Option<Server>,
    /// What the server is, and what it stands on.
    pub(crate) stage: Stage,
    settings: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// What no test takes over from whoever runs it.
pub(crate) const CLEARED: [&str; 5] =
    ["SWITCHBACK_URL", "SWITCHBACK_TOKEN", "SWITCHBACK_PROJECT", "SWITCHBACK_CRASH", "SWITCHBACK_CONFIG"];

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
            stage: Stage::new(),
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
        let environment = self.server_environment();
        self.server = self.stage.start(self.directory.path(), &self.settings, &environment);
        self.server.is_some()
    }

    fn server_environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.environment.clone();
        environment.insert("XDG_CONFIG_HOME".into(), self.path("config").display().to_string());
        environment.insert("HOME".into(), self.path("home").display().to_string());
        environment
    }

    fn set_environment(&self, command: &mut Command) {
        for name in CLEARED {
            command.env_remove(name);
        }
        command.envs(self.server_environment()).envs(self.stage.client_environment(self.directory.path()));
    }

    /// A path in the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the server said.
    pub(crate) fn server_log(&self) -> String {
        self.stage.said(self.directory.path())
    }

    pub(crate) fn server(&self) -> &Server {
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
        if let Some(server) = self.server.take() {
            self.stage.end(server, how);
        }
    }

    /// What runs of this installation's applications and builds, by names.
    pub(crate) fn processes(&self) -> Vec<String> {
        self.stage.processes(self.directory.path())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.server_log());
        }
        self.end(End::Interrupt);
        let left = self.stage.left(self.directory.path());
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
