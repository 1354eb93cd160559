//! A platform of the bench's own, and its API.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eventlog::error::BoxError;
use reqwest::{Client, Method};
use serde_json::Value;
use uuid::Uuid;

/// A platform that runs; interrupted when it is dropped.
pub(crate) struct Server {
    /// One, or one for each role.
    processes: Vec<Child>,
    /// How long it took from its start until it said that it was ready.
    pub(crate) ready_after: Duration,
    pub(crate) edge: SocketAddr,
    pub(crate) api: Api,
    directory: PathBuf,
    binary: PathBuf,
}

/// Its API, as its owner.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    token: String,
}

impl Server {
    /// Starts one with its data and its user's home in a directory.
    pub(crate) fn start(binary: &Path, directory: &Path, settings: &[&str]) -> Result<Self, BoxError> {
        let began = Instant::now();
        let mut command = command(binary, directory);
        command.args(["up", "--json", "--listen", "127.0.0.1:0", "--edge", "127.0.0.1:0", "--data"]);
        command.arg(directory.join("data")).args(settings).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().ok_or("its output")?).read_line(&mut line)?;
        let ready_after = began.elapsed();
        let ready: Value = serde_json::from_str(&line)?;
        let base = ready["api"].as_str().ok_or("where its API is")?.to_owned();
        let credentials = std::fs::read(directory.join("config/switchback/credentials.json"))?;
        let credentials: Value = serde_json::from_slice(&credentials)?;
        let tokens = credentials["tokens"].as_object().ok_or("its tokens")?;
        let token = tokens.iter().find(|(server, _)| base.starts_with(server.trim_end_matches('/')));
        let token = token.and_then(|(_, token)| token.as_str()).ok_or("its token")?.to_owned();
        let api = Api { client: Client::builder().build()?, base: format!("{base}/api/v1"), token };
        let edge = ready["edge"].as_str().ok_or("where its edge is")?.parse()?;
        let (directory, binary) = (directory.to_owned(), binary.to_owned());
        Ok(Self { processes: vec![process], ready_after, edge, api, directory, binary })
    }

    /// Starts each role in a process of its own, with settings of a file, which names the owner's token.
    pub(crate) fn start_roles(binary: &Path, directory: &Path, settings: &str) -> Result<Self, BoxError> {
        let (began, file) = (Instant::now(), directory.join("settings.toml"));
        std::fs::write(&file, settings)?;
        let (mut processes, mut api, mut edge) = (vec![], None, None);
        for role in ["projector", "gateway", "worker", "edge"] {
            let mut command = command(binary, directory);
            command.args(["serve", "--json", "--role", role, "--config"]).arg(&file);
            command.arg("--data").arg(directory.join(role)).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut process = command.spawn()?;
            let mut line = String::new();
            BufReader::new(process.stdout.as_mut().ok_or("its output")?).read_line(&mut line)?;
            processes.push(process);
            let ready: Value = serde_json::from_str(&line)?;
            api = ready["api"].as_str().map(str::to_owned).or(api);
            edge = ready["edge"].as_str().map(str::parse).transpose()?.or(edge);
        }
        let token = std::fs::read_to_string(directory.join("owner.token"))?.trim().to_owned();
        let base = format!("{}/api/v1", api.ok_or("where its API is")?);
        let api = Api { client: Client::builder().build()?, base, token };
        let (ready_after, edge) = (began.elapsed(), edge.ok_or("where its edge is")?);
        let (directory, binary) = (directory.to_owned(), binary.to_owned());
        Ok(Self { processes, ready_after, edge, api, directory, binary })
    }

    /// Memory of all processes, what they share counted once, in bytes.
    pub(crate) fn memory_of_all(&self) -> Result<u64, BoxError> {
        let of = |process: &Child| -> Result<u64, BoxError> {
            let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.id()))?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("its memory")?;
            Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
        };
        self.processes.iter().map(of).sum()
    }

    /// The command line against it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.binary, &self.directory);
        command.env("SWITCHBACK_URL", self.api.base.trim_end_matches("/api/v1")).args(arguments);
        command.env("SWITCHBACK_TOKEN", &self.api.token);
        command
    }

    /// Resident memory of the platform's own process, in bytes.
    pub(crate) fn memory(&self) -> Result<u64, BoxError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.processes[0].id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("its memory")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }

    /// Processor time that the process has used.
    pub(crate) fn processor_seconds(&self) -> Result<f64, BoxError> {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.processes[0].id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).ok_or("its time");
        Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    /// Asks the edge for a page; its status and its body.
    pub(crate) fn page(&self, hostname: &str) -> (u16, String) {
        page(self.edge, hostname).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let pid = rustix::process::Pid::from_child(process);
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            let _ = process.wait();
        }
    }
}

fn command(binary: &Path, directory: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env("XDG_CONFIG_HOME", directory.join("config")).stdin(Stdio::null());
    command.current_dir(directory);
    command
}

/// A page by HTTP/1.1 from an address.
pub(crate) fn page(address: SocketAddr, hostname: &str) -> Option<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut connection = std::net::TcpStream::connect(address).ok()?;
    write!(connection, "GET / HTTP/1.1\r\nHost: {hostname}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

impl Api {
    /// Gives a command or asks a question, which must succeed; what is answered.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, BoxError> {
        let mut request = self.client.request(method, format!("{}/{path}", self.base));
        request = request.bearer_auth(&self.token).header("Idempotency-Key", Uuid::now_v7().to_string());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.json::<Value>().await?["data"].take())
    }
}
