//! `up --demo`: the bundled example is deployed, changed, given a variable and rolled back, as a user would
//! do it: over the API, out of a real git repository.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use url::Url;

use super::Home;
use crate::client::http::{Api, ApiError};
use crate::client::model::{Deployment, Status};
use crate::ui::Ui;

/// The example, as it stands in the project.
const PYTHON: [(&str, &str); 2] = [
    ("app.py", include_str!("../../demo/python/app.py")),
    ("switchback.toml", include_str!("../../demo/python/switchback.toml")),
];
/// What is deployed where Python is missing.
const STATIC: [(&str, &str); 1] = [("index.html", include_str!("../../demo/static/index.html"))];

const PROJECT: &str = "demo";
const SERVICE: [&str; 6] = ["projects", PROJECT, "environments", "production", "services", "web"];
/// How long one step may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How often a deployment is looked at.
const PAUSE: Duration = Duration::from_millis(25);

/// A demonstration that stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The repository of the example.
    #[error("the example's repository could not be made: {0}")]
    Repository(String),
    /// The platform.
    #[error("the platform did not do what it was asked")]
    Api(#[from] ApiError),
    /// A deployment.
    #[error("a deployment of the example ended as {0}")]
    Deployment(String),
    /// The terminal.
    #[error("what was done could not be printed")]
    Print(#[from] io::Error),
    /// The page.
    #[error("{0} did not answer as it should")]
    Page(String),
}

/// The example, and the platform that it is deployed on.
struct Demo<'a> {
    api: Api,
    ui: &'a Ui,
    edge: SocketAddr,
    repository: PathBuf,
}

/// Demonstrates, unless that was done before.
pub(super) async fn run(
    home: &Home,
    server: &Url,
    token: &str,
    edge: SocketAddr,
    ui: &Ui,
) -> Result<(), DemoError> {
    let api = Api::new(server.clone(), Some(token.to_owned()))?;
    let demo = Demo { api, ui, edge, repository: home.join("demo") };
    if let Some(url) = demo.is_there().await? {
        return Ok(ui.line(&format!("\nthe demo is here from an earlier start: {url}"))?);
    }
    demo.show().await
}

impl Demo<'_> {
    /// The address of the example, when it was demonstrated to its end.
    async fn is_there(&self) -> Result<Option<String>, DemoError> {
        let releases = match self.api.get(&[&SERVICE[..], &["releases"]].concat(), &[]).await {
            Ok(releases) => releases.data,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_complete = releases.as_array().is_some_and(|releases| releases.len() >= 4);
        let service = self.api.get(&SERVICE, &[]).await?.data;
        Ok(service["url"].as_str().map(str::to_owned).filter(|_| is_complete))
    }

    async fn show(&self) -> Result<(), DemoError> {
        let began = Instant::now();
        let is_python = has_python().await;
        self.make_repository(if is_python { &PYTHON } else { &STATIC }).await?;
        self.make_service().await?;
        self.say("")?;
        let url = format!("file://{}", self.repository.display());
        let source = json!({ "source": { "kind": "repository", "url": url } });
        self.step("deploy the example", "deployments", &source, "first revision").await?;
        self.change().await?;
        self.step("change it and deploy again", "deployments", &source, "second revision").await?;
        let greeting = "This sentence is a variable.";
        let variable = json!({ "set": { "GREETING": greeting } });
        let shown = if is_python { greeting } else { "second revision" };
        self.step("set a variable", "variables", &variable, shown).await?;
        let back = json!({ "to": "v1" });
        self.step("roll back to v1 by replay", "rollback", &back, "first revision").await?;
        let service = self.api.get(&SERVICE, &[]).await?.data;
        let address = service["url"].as_str().unwrap_or_default();
        self.say(&format!("\nfour releases in {} s; open {address}", seconds(began.elapsed())))?;
        self.say("  switchback releases -p demo -s web     what ran, and what changed")?;
        self.say("  switchback history -p demo             who did what")?;
        self.say("  switchback rollback v3 -p demo -s web  undo the rollback")
    }

    fn say(&self, text: &str) -> Result<(), DemoError> {
        Ok(self.ui.line(text)?)
    }

    async fn make_service(&self) -> Result<(), DemoError> {
        let environments = ["projects", PROJECT, "environments", "production", "services"];
        for (path, name) in [(&["projects"][..], PROJECT), (&environments[..], "web")] {
            match self.api.command(Method::POST, path, Some(&json!({ "name": name }))).await {
                Ok(_) => {}
                Err(error) if error.is_conflict() => {} // From a demonstration that was interrupted.
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Asks for something that makes a deployment, waits for its end, and looks at the page.
    async fn step(&self, what: &str, resource: &str, body: &Value, says: &str) -> Result<(), DemoError> {
        let began = Instant::now();
        let method = if resource == "variables" { Method::PATCH } else { Method::POST };
        let asked = self.api.command(method, &[&SERVICE[..], &[resource]].concat(), Some(body)).await?;
        let deployment = asked.data.get("deployment").unwrap_or(&asked.data);
        let id = deployment["id"].as_str().unwrap_or_default().to_owned();
        let done = self.finished(&id).await?;
        let page = self.page(done.url.as_deref().unwrap_or_default(), says).await?;
        self.report(what, &done, began.elapsed(), &page)
    }

    fn report(&self, what: &str, done: &Deployment, took: Duration, page: &str) -> Result<(), DemoError> {
        let release = done.release.as_deref().unwrap_or("-");
        self.say(&format!("  {what:<28} {release:<4} {:>6} s   the page says: {page}", seconds(took)))
    }

    async fn finished(&self, id: &str) -> Result<Deployment, DemoError> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let deployment: Deployment = self.api.get(&["deployments", id], &[]).await?.read()?;
            if deployment.status == Status::Success {
                return Ok(deployment);
            }
            if deployment.status.is_over() || Instant::now() > deadline {
                let why = deployment.failure.map(|failure| failure.message).unwrap_or_default();
                return Err(DemoError::Deployment(format!("{}: {why}", deployment.status.as_str())));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the page behind an address says, between two tags, where it says what it must.
    async fn page(&self, address: &str, says: &str) -> Result<String, DemoError> {
        let unanswered = || DemoError::Page(address.to_owned());
        let url: Url = address.parse().map_err(|_| unanswered())?;
        let host = format!("{}:{}", url.host_str().unwrap_or_default(), self.edge.port());
        // Not every resolver knows names below localhost; browsers do.
        let client = reqwest::Client::builder().no_proxy().build().map_err(|_| unanswered())?;
        let request = client.get(format!("http://{}/", self.edge)).header("Host", host);
        let response = request.timeout(LIMIT).send().await.map_err(|_| unanswered())?;
        let page = response.text().await.map_err(|_| unanswered())?;
        let at = page.find(says).ok_or_else(unanswered)?;
        let begin = page[..at].rfind('>').map_or(0, |tag| tag + 1);
        let end = page[at..].find('<').map_or(page.len(), |tag| at + tag);
        Ok(page[begin..end].trim().to_owned())
    }

    async fn make_repository(&self, files: &[(&str, &str)]) -> Result<(), DemoError> {
        let failed = |error: io::Error| DemoError::Repository(error.to_string());
        if self.repository.exists() {
            std::fs::remove_dir_all(&self.repository).map_err(failed)?;
        }
        std::fs::create_dir_all(&self.repository).map_err(failed)?;
        for (name, content) in files {
            std::fs::write(self.repository.join(name), content).map_err(failed)?;
        }
        git(&self.repository, &["init", "--quiet", "--initial-branch=main"]).await?;
        self.commit("The first revision").await
    }

    /// The second revision: another text, another colour.
    async fn change(&self) -> Result<(), DemoError> {
        let failed = |error: io::Error| DemoError::Repository(error.to_string());
        for name in ["app.py", "index.html"] {
            let path = self.repository.join(name);
            let Ok(content) = std::fs::read_to_string(&path) else { continue };
            let changed = content.replace("first revision", "second revision").replace("#2d6cdf", "#c2410c");
            std::fs::write(&path, changed).map_err(failed)?;
        }
        self.commit("The second revision").await
    }

    async fn commit(&self, subject: &str) -> Result<(), DemoError> {
        git(&self.repository, &["add", "--all"]).await?;
        git(&self.repository, &["commit", "--quiet", "-m", subject]).await
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.2}", took.as_secs_f64())
}

async fn has_python() -> bool {
    let asked = Command::new("python3").arg("--version").stdin(Stdio::null()).output().await;
    asked.is_ok_and(|output| output.status.success())
}

async fn git(directory: &Path, arguments: &[&str]) -> Result<(), DemoError> {
    let identity = ["-c", "user.name=Switchback", "-c", "user.email=demo@switchback.invalid"];
    let signing = ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"];
    let run = Command::new("git")
        .args(identity)
        .args(signing)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .await;
    match run {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => {
            Err(DemoError::Repository(String::from_utf8_lossy(&stderr).trim().to_owned()))
        }
        Err(error) => Err(DemoError::Repository(format!("git cannot be run: {error}"))),
    }
}
