//! Servers: four processes of the platform, and what they share.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::nats::{Nats, free_port};
use crate::platform::{BINARY, CLEARED, End, Platform};
use crate::schema::Schema;

/// A container is one.
pub(crate) const PROCESSES_OF_AN_INSTANCE: usize = 1;
/// The roles, in the order of their start.
const ROLES: [&str; 4] = ["projector", "gateway", "worker", "edge"];
/// What every language is built and run in: Debian with Python.
const IMAGE: &str = "switchback-test/debian:latest";
const BASES: [&str; 9] = ["node", "python", "go", "go-run", "rust", "rust-run", "java", "java-run", "other"];

/// What the processes share.
#[derive(Default)]
pub(crate) struct Stage {
    engines: Option<Engines>,
}

struct Engines {
    nats: Nats,
    schema: Schema,
}

/// The processes, by their names.
pub(crate) struct Server {
    pub(crate) processes: BTreeMap<String, Child>,
    pub(crate) api: String,
    pub(crate) edge: SocketAddr,
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` sets it"))
}

/// The client of the Docker Engine, for what a test looks at and cleans up.
fn docker(arguments: &[&str]) -> String {
    let url = setting("SWITCHBACK_TEST_DOCKER");
    let output = Command::new("/usr/bin/docker").args(["-H", &url]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts every role; nothing when one did not come up.
    pub(crate) fn start(
        &mut self,
        directory: &Path,
        settings: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Option<Server> {
        if self.engines.is_none() {
            let nats = Nats::start(&directory.join("nats"));
            self.engines = Some(Engines { nats, schema: Schema::create() });
            self.write_settings(directory);
        }
        let mut processes = BTreeMap::new();
        let (mut api, mut edge) = (None, None);
        for role in ROLES {
            let (process, ready) = self.start_role(directory, role, role, settings, environment)?;
            processes.insert(role.to_owned(), process);
            api = ready["api"].as_str().map(str::to_owned).or(api);
            edge = ready["edge"].as_str().map(|edge| edge.parse().unwrap()).or(edge);
        }
        Some(Server { processes, api: api?, edge: edge? })
    }

    fn write_settings(&self, directory: &Path) {
        let engines = self.engines.as_ref().unwrap();
        let [_, log, _, monitor] = engines.nats.settings();
        let docker = setting("SWITCHBACK_TEST_DOCKER").replace("unix://", "docker://");
        let id = uuid::Uuid::now_v7().simple();
        let bases: Vec<String> = BASES.iter().map(|base| format!("\"{base}={IMAGE}\"")).collect();
        let text = format!(
            "log = \"{log}\"\nlog-monitor = \"{monitor}\"\nread = \"{}\"\nmaster-key = \"{}\"\n\
             runtime = \"{docker}\"\nregistry = \"oci://{}/test-{id}\"\nlisten = \"127.0.0.1:0\"\n\
             edge = \"127.0.0.1:{}\"\noperations = \"127.0.0.1:0\"\nlease = \"2s\"\n\
             owner-token = \"{}\"\nbase-image = [{}, \
             \"static=switchback-test/busybox:latest\"]\n",
            engines.schema.url(),
            directory.join("master.key").display(),
            setting("SWITCHBACK_TEST_REGISTRY"),
            free_port(),
            directory.join("owner.token").display(),
            bases.join(", "),
        );
        fs::write(directory.join("switchback.settings.toml"), text).unwrap();
        let key = directory.join("master.key");
        fs::write(&key, "5a".repeat(32)).unwrap();
        let only_ours: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(key, only_ours).unwrap();
    }

    /// Starts one process of a role, with data of its own.
    pub(crate) fn start_role(
        &self,
        directory: &Path,
        role: &str,
        name: &str,
        settings: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Option<(Child, Value)> {
        let log = directory.join(format!("{name}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["serve", "--json", "--role", role, "--config"]);
        command.arg(directory.join("switchback.settings.toml")).arg("--data").arg(directory.join(name));
        command.args(settings);
        CLEARED.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(environment);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        match serde_json::from_str::<Value>(&line) {
            Ok(ready) => Some((process, ready)),
            Err(_) => {
                process.wait().unwrap();
                None
            }
        }
    }

    /// What the command line is given besides.
    pub(crate) fn client_environment(&self, directory: &Path) -> BTreeMap<String, String> {
        let token = fs::read_to_string(directory.join("owner.token")).unwrap_or_default();
        [("SWITCHBACK_TOKEN".to_owned(), token.trim().to_owned())].into()
    }

    pub(crate) fn said(&self, directory: &Path) -> String {
        let logs = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
        let mut logs: Vec<PathBuf> =
            logs.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect();
        logs.sort();
        let told = logs
            .iter()
            .map(|log| format!("--- {}\n{}", log.display(), fs::read_to_string(log).unwrap_or_default()));
        told.collect()
    }

    pub(crate) fn end(&mut self, mut server: Server, how: End) {
        for name in ["edge", "worker", "projector", "gateway"] {
            if let Some(process) = server.processes.remove(name) {
                end(process, how);
            }
        }
        server.processes.into_values().for_each(|process| end(process, how));
    }

    /// The containers of this installation that run.
    pub(crate) fn processes(&self, directory: &Path) -> Vec<String> {
        let Some(label) = label(directory) else { return vec![] };
        let listed =
            docker(&["ps", "--no-trunc", "--filter", &label, "--format", "instance/{{.Names}} {{.Command}}"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Instances go on when the platform stops, so that nothing is left is for the test to see to.
    pub(crate) fn left(&self, directory: &Path) -> Vec<String> {
        let Some(label) = label(directory) else { return vec![] };
        let ids = |what: &[&str]| -> Vec<String> {
            let listed = docker(&[what, &["--filter", &label, "--quiet"]].concat());
            listed.lines().map(str::to_owned).collect()
        };
        for id in ids(&["ps", "--all"]) {
            docker(&["rm", "--force", "--volumes", &id]);
        }
        for id in ids(&["network", "ls"]) {
            docker(&["network", "rm", &id]);
        }
        for id in ids(&["image", "ls", "--all"]) {
            docker(&["image", "rm", "--force", &id]);
        }
        ids(&["ps", "--all"])
    }

    /// The NATS server.
    pub(crate) fn nats(&mut self) -> &mut Nats {
        &mut self.engines.as_mut().unwrap().nats
    }
}

fn label(directory: &Path) -> Option<String> {
    let text = fs::read_to_string(directory.join("projector/installation.json")).ok()?;
    let id = serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
    Some(format!("label=dev.switchback.installation={id}"))
}

/// Ends a process.
pub(crate) fn end(mut process: Child, how: End) {
    let pid = rustix::process::Pid::from_child(&process);
    let signal = match how {
        End::Interrupt => rustix::process::Signal::INT,
        End::Kill => rustix::process::Signal::KILL,
    };
    let _ = rustix::process::kill_process(pid, signal);
    process.wait().unwrap();
}

impl Platform {
    /// Where builds take place.
    pub(crate) fn builds(&self) -> PathBuf {
        self.path("worker/builds")
    }

    /// Everything that is kept in files, the engines' included.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        ["nats", "gateway", "projector", "worker", "edge"].map(|name| self.path(name)).into()
    }

    /// One process, which is not ended by the platform then.
    pub(crate) fn take_process(&mut self, name: &str) -> Option<Child> {
        self.server.as_mut().expect("the platform runs").processes.remove(name)
    }

    /// Ends one process.
    pub(crate) fn end_role(&mut self, name: &str, how: End) {
        if let Some(process) = self.take_process(name) {
            end(process, how);
        }
    }

    /// Starts one process of a role, on the data of its name. What it said that it is ready with.
    pub(crate) fn start_role(&mut self, role: &str, name: &str, environment: &[(&str, &str)]) -> Value {
        let environment = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let directory = self.path("");
        let started = self.stage.start_role(&directory, role, name, &[], &environment.collect());
        let (process, ready) =
            started.unwrap_or_else(|| panic!("{name} did not start: {}", self.server_log()));
        let server = self.server.as_mut().expect("the platform runs");
        server.processes.insert(name.to_owned(), process);
        ready
    }
}
