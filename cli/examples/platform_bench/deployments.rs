//! A deployment beside the same steps by hand, a rollback, start-up and memory.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eventlog::error::BoxError;
use reqwest::Method;
use serde_json::{Value, json};

use crate::measure::say;
use crate::server::{Server, page};

const ROUNDS: usize = 7;
const SERVICES: usize = 100;
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the platform is left alone before its memory is read.
const REST: Duration = Duration::from_secs(10);
const HOSTNAME: &str = "web.bench.localhost";

const APPLICATION: &str = r#"
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class App(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"TEXT"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), App).serve_forever()
"#;

/// Measures all of it.
pub(crate) async fn measure(binary: &Path, dir: &Path) -> Result<(), BoxError> {
    let place = tempfile::tempdir_in(dir)?;
    let server = Server::start(binary, place.path(), &[])?;
    tell("start on an empty directory until ready", "s", server.ready_after.as_secs_f64(), None)?;
    compare_deployments(&server, place.path())?;
    let before = server.processor_seconds()?;
    std::thread::sleep(REST);
    let share = (server.processor_seconds()? - before) / REST.as_secs_f64();
    tell("memory of `up` at rest, after 15 deployments", "MB", megabytes(server.memory()?), Some(60.0))?;
    tell("processor of `up` at rest", "% of one", share * 100.0, None)?;
    drop(server);
    let place = tempfile::tempdir_in(dir)?;
    start_with_history(binary, place.path()).await
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn tell(what: &str, unit: &str, ours: f64, at_most: Option<f64>) -> Result<(), BoxError> {
    let goal = at_most.map(|most| json!({ "at_most": most }));
    say(&format!("FIGURE {}", json!({ "what": what, "unit": unit, "ours": ours, "goal": goal })))
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Result<(), BoxError> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{program} {arguments:?} ended with {status}").into()) }
}

fn write_revision(repository: &Path, text: &str) -> Result<(), BoxError> {
    std::fs::write(repository.join("app.py"), APPLICATION.replace("TEXT", text))?;
    commit(repository, text)
}

fn commit(repository: &Path, subject: &str) -> Result<(), BoxError> {
    run(repository, "git", &["add", "--all"])?;
    let identity =
        ["-c", "user.name=Bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"];
    run(repository, "git", &[&identity[..], &["commit", "--quiet", "-m", subject]].concat())
}

fn until_it_says(address: SocketAddr, text: &str) -> Result<(), BoxError> {
    let deadline = Instant::now() + PATIENCE;
    while page(address, HOSTNAME) != Some((200, text.to_owned())) {
        if Instant::now() > deadline {
            return Err(format!("it never says {text}").into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// One revision after the other, each deployed by the platform and by hand, and then a rollback.
fn compare_deployments(server: &Server, place: &Path) -> Result<(), BoxError> {
    let repository = place.join("app");
    std::fs::create_dir(&repository)?;
    run(&repository, "git", &["init", "--quiet", "--initial-branch=main"])?;
    std::fs::write(repository.join("Procfile"), "web: python3 app.py\n")?;
    std::fs::write(repository.join("switchback.toml"), "[build]\nbuild = \"python3 -m compileall -q .\"\n")?;
    let url = format!("file://{}", repository.display());
    let on = ["-p", "bench", "-s", "web", "-y", "--quiet"];
    write_revision(&repository, "revision 0")?;
    deploy(server, &[&["deploy", &url][..], &on].concat(), "revision 0")?;
    let (mut ours, mut hand, mut back) = (vec![], vec![], vec![]);
    for round in 1..=ROUNDS {
        let text = format!("revision {round}");
        write_revision(&repository, &text)?;
        hand.push(by_hand(&url, place, &text)?);
        ours.push(deploy(server, &[&["deploy", &url][..], &on].concat(), &text)?);
        back.push(deploy(server, &[&["rollback", "v1"][..], &on].concat(), "revision 0")?);
    }
    let longest = back.iter().copied().fold(0.0, f64::max);
    let figure = json!({
        "what": "`deploy` of the next revision until its first 200, median of 7", "unit": "s",
        "ours": median(ours), "beside": "the same steps by hand", "theirs": median(hand),
        "goal": { "ratio_at_most": 1.15 },
    });
    say(&format!("FIGURE {figure}"))?;
    tell("`rollback` until the first 200 of the old release, median of 7", "s", median(back), Some(1.0))?;
    tell("the same, the longest", "s", longest, Some(1.0))
}

/// Runs the command line and looks at the page meanwhile; the seconds until it says what it should.
fn deploy(server: &Server, arguments: &[&str], text: &str) -> Result<f64, BoxError> {
    let began = Instant::now();
    let mut command = server.command(arguments).stdout(Stdio::null()).spawn()?;
    until_it_says(server.edge, text)?;
    let took = began.elapsed().as_secs_f64();
    let status = command.wait()?;
    if status.success() { Ok(took) } else { Err(format!("{arguments:?} ended with {status}").into()) }
}

/// Clone, build, start, and ask until it answers: what somebody would type.
fn by_hand(url: &str, place: &Path, text: &str) -> Result<f64, BoxError> {
    let directory = place.join("by-hand");
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let began = Instant::now();
    run(place, "git", &["clone", "--quiet", "--depth", "1", url, "by-hand"])?;
    run(&directory, "python3", &["-m", "compileall", "-q", "."])?;
    let mut application = Command::new("python3")
        .arg("app.py")
        .current_dir(&directory)
        .env("PORT", port.to_string())
        .spawn()?;
    let answered = until_it_says(SocketAddr::from(([127, 0, 0, 1], port)), text);
    let took = began.elapsed().as_secs_f64();
    application.kill()?;
    application.wait()?;
    std::fs::remove_dir_all(&directory)?;
    answered.map(|()| took)
}

/// A hundred services, each with two releases and a variable; stopped, and started again.
async fn start_with_history(binary: &Path, place: &Path) -> Result<(), BoxError> {
    let repository = place.join("site");
    std::fs::create_dir(&repository)?;
    run(&repository, "git", &["init", "--quiet", "--initial-branch=main"])?;
    std::fs::write(repository.join("index.html"), "a page")?;
    commit(&repository, "the only one")?;
    let server = Server::start(binary, place, &[])?;
    server.api.ask(Method::POST, "projects", Some(json!({ "name": "bench" }))).await?;
    let services = "projects/bench/environments/production/services";
    let source = json!({ "kind": "repository", "url": format!("file://{}", repository.display()) });
    let mut deployments = vec![];
    for number in 0..SERVICES {
        let service = format!("{services}/web-{number}");
        server.api.ask(Method::POST, services, Some(json!({ "name": format!("web-{number}") }))).await?;
        let deploy = json!({ "source": source });
        let asked = server.api.ask(Method::POST, &format!("{service}/deployments"), Some(deploy)).await?;
        deployments.push(asked);
    }
    finished(&server, &deployments).await?;
    let mut deployments = vec![];
    for number in 0..SERVICES {
        let change = json!({ "set": { "NUMBER": number.to_string() } });
        let path = format!("{services}/web-{number}/variables");
        let mut changed = server.api.ask(Method::PATCH, &path, Some(change)).await?;
        deployments.push(changed["deployment"].take());
    }
    finished(&server, &deployments).await?;
    std::thread::sleep(REST);
    tell("memory of `up` at rest, with 100 services that run", "MB", megabytes(server.memory()?), None)?;
    let before = server.processor_seconds()?;
    std::thread::sleep(REST);
    let share = (server.processor_seconds()? - before) / REST.as_secs_f64();
    tell("processor of `up` at rest, with 100 services that run", "% of one", share * 100.0, None)?;
    drop(server);
    let began = Instant::now();
    let server = Server::start(binary, place, &[])?;
    let ready_after = server.ready_after.as_secs_f64();
    tell("start with 100 services' history until ready", "s", ready_after, Some(1.0))?;
    for number in 0..SERVICES {
        let hostname = format!("web-{number}.bench.localhost");
        while server.page(&hostname).0 != 200 {
            if began.elapsed() > PATIENCE {
                return Err(format!("{hostname} never answers").into());
            }
            std::thread::sleep(PAUSE);
        }
    }
    tell("the same, until all 100 services answer", "s", began.elapsed().as_secs_f64(), None)
}

async fn finished(server: &Server, deployments: &[Value]) -> Result<(), BoxError> {
    let deadline = Instant::now() + PATIENCE * 3;
    for deployment in deployments {
        let path = format!("deployments/{}", deployment["id"].as_str().ok_or("an id")?);
        loop {
            let now = server.api.ask(Method::GET, &path, None).await?;
            match now["status"].as_str() {
                Some("SUCCESS") => break,
                Some("FAILED" | "CANCELLED" | "SUPERSEDED") | None => return Err(now.to_string().into()),
                Some(_) if Instant::now() > deadline => return Err(format!("never over: {now}").into()),
                Some(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
    Ok(())
}
