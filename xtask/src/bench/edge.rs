//! The edge beside other proxies, and beside no proxy: the same requests by wrk to the same upstream.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bench::figure::Figure;
use crate::engines::{End, Server, free_port, install, poll};
use crate::failure::{Doing, Failure};
use crate::program;

const ROUNDS: usize = 3;
const CONNECTIONS: &str = "-c64";
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How many idle connections a proxy may keep to the upstream: as many as there are clients, and some.
const IDLE_MAX: usize = 256;

/// Something that answers requests.
struct Contender {
    name: &'static str,
    port: u16,
    rates: Vec<f64>,
    /// Milliseconds within which 99 of 100 were answered.
    slowest: Vec<f64>,
}

/// Measures all of them, in turns.
pub(super) fn measure(edge: &Path, directory: &Path) -> Result<Vec<Figure>, Failure> {
    let (mut servers, mut contenders) = (vec![], vec![]);
    let started = start(edge, directory, &mut servers, &mut contenders);
    let measured = started.and_then(|()| (0..ROUNDS).try_for_each(|_| take_turns(&mut contenders)));
    servers.into_iter().for_each(Server::stop);
    measured?;
    let rate = |name: &str| {
        contenders.iter().find(|contender| contender.name == name).map_or(0.0, |found| median(&found.rates))
    };
    for contender in &contenders {
        let (rate, slowest) = (median(&contender.rates), median(&contender.slowest));
        println!("  {:<18} {rate:>7.0} requests/s, p99 {slowest:.1} ms", contender.name);
    }
    let beside = [("nginx", Some(0.55)), ("Caddy", Some(2.0)), ("Traefik", Some(2.0)), ("no proxy", None)];
    let figure = |(name, goal)| {
        let what = "requests through the edge, 64 connections".to_owned();
        Figure::beside(what, rate("the edge"), (name, rate(name)), goal)
    };
    let slowest = |name: &str| {
        let found = contenders.iter().find(|contender| contender.name == name);
        found.map_or(0.0, |found| median(&found.slowest))
    };
    let p99 = format!(
        r#"{{"what": "p99 of those through the edge", "unit": "ms", "ours": {},
            "beside": "nginx", "theirs": {}}}"#,
        slowest("the edge"),
        slowest("nginx")
    );
    Ok(beside.map(figure).into_iter().chain([Figure::parse(&p99)?]).collect())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn start(
    edge: &Path,
    directory: &Path,
    servers: &mut Vec<Server>,
    contenders: &mut Vec<Contender>,
) -> Result<(), Failure> {
    let nginx = install::package("nginx")?;
    let caddy = install::package("caddy")?;
    let traefik = install::traefik()?;
    let upstream = free_port()?;
    let mut add = |name, port, command: &Command, end: End| -> Result<(), Failure> {
        let mut server = Server::start(&format!("bench-{port}"), directory, "TERM", None, command, end)?;
        let answers = poll::until(READY_LIMIT, || {
            match server.post_mortem() {
                Some(end) => Ok(Err(Failure::new(end))),
                None => TcpStream::connect(("127.0.0.1", port)).map(|_| Ok(())),
            }
            .map(Some)
        });
        servers.push(server);
        answers.doing(|| format!("see {name} answer"))??;
        contenders.push(Contender { name, port, rates: vec![], slowest: vec![] });
        Ok(())
    };
    let server = format!("listen 127.0.0.1:{upstream} reuseport; location / {{ return 200 \"hello\"; }}");
    let (command, end) = nginx_with(&nginx, directory, "upstream", &server)?;
    add("no proxy", upstream, &command, end)?;

    let port = free_port()?;
    let server = format!(
        "listen 127.0.0.1:{port} reuseport; location / {{ proxy_pass http://up; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; proxy_set_header Host $host; }} }} \
         upstream up {{ server 127.0.0.1:{upstream}; keepalive {IDLE_MAX};"
    );
    let (command, end) = nginx_with(&nginx, directory, "proxy", &server)?;
    add("nginx", port, &command, end)?;

    let port = free_port()?;
    let file = directory.join("Caddyfile");
    let text = format!(
        "{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\n reverse_proxy 127.0.0.1:{upstream} {{\n \
         transport http {{\n keepalive_idle_conns_per_host {IDLE_MAX}\n }}\n }}\n}}\n"
    );
    fs::write(&file, text).doing(|| format!("write {}", file.display()))?;
    let mut command = Command::new(caddy);
    command.arg("run").arg("--adapter").arg("caddyfile").arg("--config").arg(&file).env("HOME", directory);
    add("Caddy", port, &command, End::Kill)?;

    let port = free_port()?;
    let file = directory.join("routes.toml");
    let text = format!(
        "[http.routers.a]\nrule = \"Host(`a.test`)\"\nservice = \"a\"\n\
         [[http.services.a.loadBalancer.servers]]\nurl = \"http://127.0.0.1:{upstream}\"\n"
    );
    fs::write(&file, text).doing(|| format!("write {}", file.display()))?;
    let mut command = Command::new(traefik);
    command.arg(format!("--entrypoints.web.address=127.0.0.1:{port}"));
    command.arg(format!("--providers.file.filename={}", file.display()));
    command.arg(format!("--serverstransport.maxidleconnsperhost={IDLE_MAX}"));
    command.args([
        "--log.level=ERROR",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]);
    add("Traefik", port, &command, End::Kill)?;

    let port = free_port()?;
    let mut command = Command::new(edge);
    command.arg(format!("127.0.0.1:{port}")).arg(format!("a.test=127.0.0.1:{upstream}"));
    add("the edge", port, &command, End::Kill)
}

/// A master process and two that work; it is asked to stop, since one that is killed leaves those two.
fn nginx_with(nginx: &Path, directory: &Path, name: &str, server: &str) -> Result<(Command, End), Failure> {
    let prefix: PathBuf = directory.join(name);
    fs::create_dir_all(&prefix).doing(|| format!("make {}", prefix.display()))?;
    let file = prefix.join("nginx.conf");
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind}; ", prefix.display()))
        .collect();
    let text = format!(
        "daemon off; worker_processes 2; pid {0}/pid; error_log {0}/error.log; events {{ }} \
         http {{ access_log off; {paths} keepalive_requests 1000000000; server {{ {server} }} }}",
        prefix.display()
    );
    fs::write(&file, text).doing(|| format!("write {}", file.display()))?;
    let command = || {
        let mut command = Command::new(nginx);
        command.arg("-p").arg(&prefix).arg("-c").arg(&file).arg("-e").arg(prefix.join("error.log"));
        command
    };
    let mut stop = command();
    stop.args(["-s", "stop"]);
    Ok((command(), End::Ask(stop)))
}

fn take_turns(contenders: &mut [Contender]) -> Result<(), Failure> {
    for contender in contenders {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t2", CONNECTIONS, "-d6s", "--latency", "-H", "Host: a.test"]);
        let said = program::output(wrk.arg(format!("http://127.0.0.1:{}/", contender.port)))?;
        let (rate, slowest) = read(&said)
            .filter(|_| !said.contains("Non-2xx"))
            .ok_or_else(|| Failure::new(format!("{} did not answer well:\n{said}", contender.name)))?;
        contender.rates.push(rate);
        contender.slowest.push(slowest);
    }
    Ok(())
}

/// Requests per second, and milliseconds of the slowest but one in a hundred, as wrk prints them.
fn read(said: &str) -> Option<(f64, f64)> {
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"))?;
    let slowest = said.lines().find_map(|line| line.trim().strip_prefix("99%"))?.trim();
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    let (number, unit) =
        units.iter().find_map(|(unit, factor)| Some((slowest.strip_suffix(unit)?, factor)))?;
    Some((rate.trim().parse().ok()?, number.parse::<f64>().ok()? * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read_in_every_unit() {
        let said =
            |slowest: &str| format!("  Latency Distribution\n     99%  {slowest}\nRequests/sec:  41203.5\n");
        assert_eq!(read(&said("812.00us")), Some((41203.5, 0.812)));
        assert_eq!(read(&said("4.50ms")), Some((41203.5, 4.5)));
        assert_eq!(read(&said("1.20s")), Some((41203.5, 1200.0)));
        assert_eq!(read("nothing"), None);
    }
}
