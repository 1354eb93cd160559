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
    process: Child,
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
        Ok(Self { process, ready_after, edge, api, directory, binary })
    }

    /// The command line against it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.binary, &self.directory);
        command.env("SWITCHBACK_URL", self.api.base.trim_end_matches("/api/v1")).args(arguments);
        command
    }

    /// Resident memory of the platform's own process, in bytes.
    pub(crate) fn memory(&self) -> Result<u64, BoxError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("its memory")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }

    /// Processor time that the process has used.
    pub(crate) fn processor_seconds(&self) -> Result<f64, BoxError> {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
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
        let pid = rustix::process::Pid::from_child(&self.process);
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.process.wait();
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
