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
/// Between two looks at a page. Looks cost the platform more than they cost a port that is closed.
const PAUSE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the platform is left alone before its memory is read.
const REST: Duration = Duration::from_secs(10);

/// Something to deploy, and how it is done by hand.
struct Application {
    /// What the figure is of.
    what: &'static str,
    service: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// What makes more files, once.
    prepare: Option<&'static [&'static str]>,
    build: &'static [&'static str],
    start: &'static [&'static str],
}

/// Nothing to build but a syntax check: all that the platform does of its own is seen.
const SMALLEST: Application = Application {
    what: "a program of one file in Python",
    service: "smallest",
    files: &[
        ("Procfile", "web: python3 app.py\n"),
        ("switchback.toml", "[build]\nbuild = \"python3 -m compileall -q .\"\n"),
        (
            "app.py",
            r#"
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
"#,
        ),
    ],
    prepare: None,
    build: &["python3", "-m", "compileall", "-q", "."],
    start: &["python3", "app.py"],
};

/// Dependencies, from a cache that is warm on both sides.
const USUAL: Application = Application {
    what: "a program with Express, by `npm ci`",
    service: "usual",
    files: &[
        (".gitignore", "node_modules\n"),
        (
            "package.json",
            r#"{"name": "bench", "version": "1.0.0", "private": true,
                "scripts": {"start": "node server.js"}, "dependencies": {"express": "4.21.2"}}"#,
        ),
        (
            "server.js",
            "const app = require('express')();\napp.get('/', (_, answer) => answer.send('TEXT'));\n\
             app.listen(process.env.PORT, '127.0.0.1');\n",
        ),
    ],
    prepare: Some(&["npm", "install", "--package-lock-only", "--no-audit", "--no-fund"]),
    build: &["npm", "ci", "--no-audit", "--no-fund"],
    start: &["node", "server.js"],
};

/// Measures all of it.
pub(crate) async fn measure(binary: &Path, dir: &Path) -> Result<(), BoxError> {
    let place = tempfile::tempdir_in(dir)?;
    let server = Server::start(binary, place.path(), &[])?;
    tell("start on an empty directory until ready", "s", server.ready_after.as_secs_f64(), None)?;
    compare_deployments(&server, place.path(), &SMALLEST)?;
    compare_deployments(&server, place.path(), &USUAL)?;
    let before = server.processor_seconds()?;
    std::thread::sleep(REST);
    let share = (server.processor_seconds()? - before) / REST.as_secs_f64();
    tell("memory of `up` at rest, after 30 deployments", "MB", megabytes(server.memory()?), Some(60.0))?;
    tell("processor of `up` at rest", "% of one", share * 100.0, None)?;
    drop(server);
    let place = tempfile::tempdir_in(dir)?;
    start_with_history(binary, place.path()).await
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

pub(crate) fn tell(what: &str, unit: &str, ours: f64, at_most: Option<f64>) -> Result<(), BoxError> {
    let goal = at_most.map(|most| json!({ "at_most": most }));
    say(&format!("FIGURE {}", json!({ "what": what, "unit": unit, "ours": ours, "goal": goal })))
}

pub(crate) fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

pub(crate) fn run(directory: &Path, program: &str, arguments: &[&str]) -> Result<(), BoxError> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{program} {arguments:?} ended with {status}").into()) }
}

fn write_revision(application: &Application, repository: &Path, text: &str) -> Result<(), BoxError> {
    for (name, content) in application.files {
        std::fs::write(repository.join(name), content.replace("TEXT", text))?;
    }
    commit(repository, text)
}

pub(crate) fn commit(repository: &Path, subject: &str) -> Result<(), BoxError> {
    run(repository, "git", &["add", "--all"])?;
    let identity =
        ["-c", "user.name=Bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"];
    run(repository, "git", &[&identity[..], &["commit", "--quiet", "-m", subject]].concat())
}

pub(crate) fn until_it_says(address: SocketAddr, hostname: &str, text: &str) -> Result<(), BoxError> {
    let deadline = Instant::now() + PATIENCE;
    while !page(address, hostname).is_some_and(|(status, body)| status == 200 && body == text) {
        if Instant::now() > deadline {
            return Err(format!("it never says {text}").into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// One revision after the other, each deployed by the platform and by hand, and then a rollback.
fn compare_deployments(server: &Server, place: &Path, application: &Application) -> Result<(), BoxError> {
    let repository = place.join(application.service);
    std::fs::create_dir(&repository)?;
    run(&repository, "git", &["init", "--quiet", "--initial-branch=main"])?;
    write_revision(application, &repository, "revision 0")?;
    if let Some([program, arguments @ ..]) = application.prepare {
        run(&repository, program, arguments)?;
        commit(&repository, "prepared")?;
    }
    let url = format!("file://{}", repository.display());
    let on = ["-p", "bench", "-s", application.service, "-y", "--quiet"];
    let hostname = format!("{}.bench.localhost", application.service);
    let deploy = |arguments: &[&str], text: &str| deploy(server, &[arguments, &on].concat(), &hostname, text);
    // Both have done it before.
    deploy(&["deploy", &url], "revision 0")?;
    by_hand(application, &url, place, "revision 0")?;
    let (mut ours, mut hand, mut back) = (vec![], vec![], vec![]);
    for round in 1..=ROUNDS {
        let text = format!("revision {round}");
        write_revision(application, &repository, &text)?;
        hand.push(by_hand(application, &url, place, &text)?);
        ours.push(deploy(&["deploy", &url], &text)?);
        back.push(deploy(&["rollback", "v1"], "revision 0")?);
    }
    let what = application.what;
    let longest = back.iter().copied().fold(0.0, f64::max);
    let figure = json!({
        "what": format!("`deploy` of the next revision until its first 200, {what}"), "unit": "s",
        "ours": median(ours), "beside": "the same steps by hand", "theirs": median(hand),
        "goal": { "ratio_at_most": 1.15 },
    });
    say(&format!("FIGURE {figure}"))?;
    let back = median(back);
    tell(&format!("`rollback` until the first 200 of the old release, {what}"), "s", back, Some(1.0))?;
    tell("the same, the longest of 7", "s", longest, Some(1.0))
}

/// Runs the command line and looks at the page meanwhile; the seconds until it says what it should.
pub(crate) fn deploy(
    server: &Server,
    arguments: &[&str],
    hostname: &str,
    text: &str,
) -> Result<f64, BoxError> {
    let began = Instant::now();
    let mut command = server.command(arguments).stdout(Stdio::null()).spawn()?;
    until_it_says(server.edge, hostname, text)?;
    let took = began.elapsed().as_secs_f64();
    let status = command.wait()?;
    if status.success() { Ok(took) } else { Err(format!("{arguments:?} ended with {status}").into()) }
}

/// Clone, build, start, and ask until it answers: what somebody would type.
fn by_hand(application: &Application, url: &str, place: &Path, text: &str) -> Result<f64, BoxError> {
    let directory = place.join("by-hand");
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let began = Instant::now();
    run(place, "git", &["clone", "--quiet", "--depth", "1", url, "by-hand"])?;
    run(&directory, application.build[0], &application.build[1..])?;
    let mut program = Command::new(application.start[0])
        .args(&application.start[1..])
        .current_dir(&directory)
        .env("PORT", port.to_string())
        .spawn()?;
    let answered = until_it_says(SocketAddr::from(([127, 0, 0, 1], port)), "localhost", text);
    let took = began.elapsed().as_secs_f64();
    program.kill()?;
    program.wait()?;
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
