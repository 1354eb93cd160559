//! A deployment to a Docker Engine by way of a registry, each role in a process of its own, beside the same
//! steps by hand; a rollback beside `docker run`; the memory of all processes.
//!
//! The engines are those that `cargo xtask bench` starts, by the variables of the tests.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eventlog::error::BoxError;
use serde_json::json;

use crate::deployments::{commit, deploy, median, megabytes, run, tell, until_it_says};
use crate::measure::say;
use crate::server::Server;

const ROUNDS: usize = 7;
const REST: Duration = Duration::from_secs(10);
const DOCKERFILE: &str = "FROM switchback-test/busybox:latest\nCOPY index.html /site/index.html\n\
                          CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/site\"]\n";

fn variable(name: &str) -> Result<String, BoxError> {
    std::env::var(name).map_err(|_| format!("{name} is not set: `cargo xtask bench` sets it").into())
}

/// The client of the engine, as somebody would type it; what it printed.
fn docker(directory: &Path, arguments: &[&str]) -> Result<String, BoxError> {
    let mut command = Command::new("/usr/bin/docker");
    command.args(["-H", &variable("SWITCHBACK_TEST_DOCKER")?]).args(arguments).current_dir(directory);
    let output = command.env("DOCKER_BUILDKIT", "1").stderr(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("docker {arguments:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Measures all of it.
pub(crate) fn measure(binary: &Path, dir: &Path) -> Result<(), BoxError> {
    let place = tempfile::tempdir_in(dir)?;
    let registry = variable("SWITCHBACK_TEST_REGISTRY")?;
    let server = Server::start_roles(binary, place.path(), &settings(place.path(), &registry)?)?;
    let repository = place.path().join("site");
    std::fs::create_dir(&repository)?;
    run(&repository, "git", &["init", "--quiet", "--initial-branch=main"])?;
    std::fs::write(repository.join("Dockerfile"), DOCKERFILE)?;
    write_revision(&repository, "revision 0")?;
    let url = format!("file://{}", repository.display());
    let on = ["-p", "bench", "-s", "site", "-y", "--quiet"];
    let ours = |arguments: &[&str], text: &str| {
        deploy(&server, &[arguments, &on].concat(), "site.bench.localhost", text)
    };
    // Both have done it before.
    ours(&["deploy", &url], "revision 0")?;
    by_hand(place.path(), &url, &registry, "revision 0", 0)?;
    let (mut deployed, mut hand, mut back, mut ran) = (vec![], vec![], vec![], vec![]);
    for round in 1..=ROUNDS {
        let text = format!("revision {round}");
        write_revision(&repository, &text)?;
        hand.push(by_hand(place.path(), &url, &registry, &text, round)?);
        deployed.push(ours(&["deploy", &url], &text)?);
        ran.push(run_by_hand(place.path(), &image(&registry, 0), "revision 0")?);
        back.push(ours(&["rollback", "v1"], "revision 0")?);
    }
    let compared = [
        (
            "`deploy` to Docker by a registry until its first 200, warm cache",
            deployed,
            hand,
            "`git clone`, `docker build`, `push` and `run` by hand",
        ),
        (
            "`rollback` on Docker until the first 200 of the old release",
            back,
            ran,
            "`docker run` to its first 200",
        ),
    ];
    for (what, ours, theirs, beside) in compared {
        let figure = json!({
            "what": what, "unit": "s", "ours": median(ours), "beside": beside, "theirs": median(theirs),
            "goal": { "ratio_at_most": 1.2 },
        });
        say(&format!("FIGURE {figure}"))?;
    }
    std::thread::sleep(REST);
    let memory = megabytes(server.memory_of_all()?);
    tell("memory of gateway, projector, worker and edge at rest, together (PSS)", "MB", memory, Some(100.0))?;
    clean_up(place.path())
}

fn settings(place: &Path, registry: &str) -> Result<String, BoxError> {
    let key = place.join("master.key");
    std::fs::write(&key, "5a".repeat(32))?;
    let only_ours: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, only_ours)?;
    Ok(format!(
        "log = \"{}\"\nlog-monitor = \"{}\"\nread = \"{}\"\nruntime = \"{}\"\nregistry = \"oci://{registry}/bench\"\n\
         master-key = \"{}\"\nowner-token = \"{}\"\nlisten = \"127.0.0.1:0\"\nedge = \"127.0.0.1:0\"\n",
        variable("SWITCHBACK_TEST_NATS")?,
        variable("SWITCHBACK_TEST_NATS_MONITOR")?,
        variable("SWITCHBACK_TEST_POSTGRES")?,
        variable("SWITCHBACK_TEST_DOCKER")?.replace("unix://", "docker://"),
        key.display(),
        place.join("owner.token").display(),
    ))
}

fn write_revision(repository: &Path, text: &str) -> Result<(), BoxError> {
    std::fs::write(repository.join("index.html"), text)?;
    commit(repository, text)
}

fn image(registry: &str, round: usize) -> String {
    format!("{registry}/by-hand:{round}")
}

/// Clone, build, push, run, and ask until it answers.
fn by_hand(place: &Path, url: &str, registry: &str, text: &str, round: usize) -> Result<f64, BoxError> {
    let (directory, image) = (place.join("by-hand"), image(registry, round));
    let began = Instant::now();
    run(place, "git", &["clone", "--quiet", "--depth", "1", url, "by-hand"])?;
    docker(&directory, &["build", "--quiet", "--tag", &image, "."])?;
    docker(&directory, &["push", "--quiet", &image])?;
    let ran = run_by_hand(&directory, &image, text);
    let took = began.elapsed().as_secs_f64();
    std::fs::remove_dir_all(&directory)?;
    ran.map(|_| took)
}

fn run_by_hand(directory: &Path, image: &str, text: &str) -> Result<f64, BoxError> {
    let began = Instant::now();
    let id = docker(directory, &["run", "--detach", "--rm", image])?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = docker(directory, &["inspect", "--format", format, &id])?.parse()?;
    let answered = until_it_says(SocketAddr::new(address, 8080), "localhost", text);
    let took = began.elapsed().as_secs_f64();
    docker(directory, &["rm", "--force", &id])?;
    answered.map(|()| took)
}

fn clean_up(place: &Path) -> Result<(), BoxError> {
    let ours = docker(place, &["ps", "--all", "--quiet", "--filter", "label=dev.switchback.installation"])?;
    for id in ours.lines() {
        docker(place, &["rm", "--force", id])?;
    }
    Ok(())
}
