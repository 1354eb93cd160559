//! NATS servers: a durable one, one as out of the box, and three that are a cluster.
//!
//! Their configuration is `deploy/engines/*.conf`, the same files that a production server may use.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::engines::poll;
use crate::engines::port;
use crate::engines::server::{End, Server};
use crate::failure::{Doing, Failure};
use crate::{engines, workspace};

pub(super) const VARIABLES: [&str; 7] = [
    "SWITCHBACK_TEST_NATS",
    "SWITCHBACK_TEST_NATS_MONITOR",
    "SWITCHBACK_TEST_NATS_LAX",
    "SWITCHBACK_TEST_NATS_LAX_MONITOR",
    "SWITCHBACK_TEST_NATS_CLUSTER",
    "SWITCHBACK_TEST_NATS_CLUSTER_MONITOR",
    "SWITCHBACK_NATS_SERVER",
];

const CLUSTER: usize = 3;
const READY_LIMIT: Duration = Duration::from_secs(60);
const READ_LIMIT: Duration = Duration::from_secs(2);

/// Where one server is spoken to.
struct Address {
    client: u16,
    monitor: u16,
}

impl Address {
    fn free() -> Result<Self, Failure> {
        Ok(Address { client: port::free()?, monitor: port::free()? })
    }

    fn client_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.client)
    }

    fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor)
    }
}

/// Starts all five, waits until they answer, and returns the values of [`VARIABLES`], in order.
pub(super) fn start(place: &Path, servers: &mut Vec<Server>) -> Result<Vec<String>, Failure> {
    let binary = engines::install::nats()?;
    let strict = Address::free()?;
    servers.push(spawn(&binary, place, "nats", "nats.conf", &strict, &[])?);
    let lax = Address::free()?;
    servers.push(spawn(&binary, place, "nats-lax", "nats-lax.conf", &lax, &[])?);

    let mut cluster = Vec::new();
    let mut routes = Vec::new();
    for _ in 0..CLUSTER {
        cluster.push(Address::free()?);
        routes.push(port::free()?);
    }
    for (n, address) in cluster.iter().enumerate() {
        let mut values = vec![("NATS_ROUTE", format!("127.0.0.1:{}", routes[n]))];
        for (key, route) in ["NATS_ROUTE_A", "NATS_ROUTE_B", "NATS_ROUTE_C"].into_iter().zip(&routes) {
            values.push((key, format!("nats://127.0.0.1:{route}")));
        }
        servers.push(spawn(
            &binary,
            place,
            &format!("nats-cluster-{n}"),
            "nats-cluster.conf",
            address,
            &values,
        )?);
    }
    wait_until_ready(&strict, 1)?;
    wait_until_ready(&lax, 1)?;
    for address in &cluster {
        wait_until_ready(address, CLUSTER)?;
    }
    let join = |url: fn(&Address) -> String| cluster.iter().map(url).collect::<Vec<_>>().join(",");
    Ok(vec![
        strict.client_url(),
        strict.monitor_url(),
        lax.client_url(),
        lax.monitor_url(),
        join(Address::client_url),
        join(Address::monitor_url),
        binary.display().to_string(),
    ])
}

fn spawn(
    binary: &Path,
    place: &Path,
    name: &str,
    configuration: &str,
    address: &Address,
    more: &[(&str, String)],
) -> Result<Server, Failure> {
    let mut command = Command::new(binary);
    command.arg("-c").arg(workspace::root().join("deploy/engines").join(configuration));
    command.env("NATS_NAME", name).env("NATS_STORE", place.join(name));
    command.env("NATS_LISTEN", format!("127.0.0.1:{}", address.client));
    command.env("NATS_MONITOR", format!("127.0.0.1:{}", address.monitor));
    command.envs(more.iter().map(|(key, value)| (key, value)));
    Server::start(name, place, "KILL", None, &command, End::Kill)
}

/// A server of a cluster is ready when it knows a leader, and the leader sees every other server keep up:
/// before that a stream of three replicas is refused.
fn wait_until_ready(address: &Address, size: usize) -> Result<(), Failure> {
    poll::until(READY_LIMIT, || -> Result<Option<()>, Failure> {
        let health = get(address.monitor, "/healthz")?;
        let state = get(address.monitor, "/jsz")?;
        Ok((health["status"] == "ok" && (size == 1 || is_settled(&state["meta_cluster"], size)))
            .then_some(()))
    })
    .doing(|| format!("see NATS answer on {}", address.monitor_url()))
}

/// Only the leader knows whether the others keep up; what another server tells of them is not asked.
fn is_settled(cluster: &Value, size: usize) -> bool {
    let replicas = cluster["replicas"].as_array().map_or(&[][..], Vec::as_slice);
    let leader = cluster["leader"].as_str().unwrap_or_default();
    let knows_leader = !leader.is_empty() && cluster["cluster_size"] == size;
    let is_leader = !replicas.iter().any(|replica| replica["name"] == leader);
    let all_current = replicas.len() == size - 1 && replicas.iter().all(|replica| replica["current"] == true);
    knows_leader && (!is_leader || all_current)
}

/// One page of the monitor, as JSON.
fn get(port: u16, path: &str) -> Result<Value, Failure> {
    let doing = || format!("ask 127.0.0.1:{port}{path}");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).doing(doing)?;
    stream.set_read_timeout(Some(READ_LIMIT)).doing(doing)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").doing(doing)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).doing(doing)?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    serde_json::from_str(body).doing(doing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cluster_is_settled_when_its_leader_sees_all_others_keep_up() {
        let seen_by_leader = |current: bool| {
            json!({ "leader": "a", "cluster_size": 3, "replicas": [
                { "name": "b", "current": true }, { "name": "c", "current": current }
            ] })
        };
        assert!(is_settled(&seen_by_leader(true), 3));
        assert!(!is_settled(&seen_by_leader(false), 3));
        assert!(!is_settled(&json!({ "leader": "", "cluster_size": 3 }), 3));
    }

    #[test]
    fn a_follower_is_settled_when_it_knows_a_leader() {
        let seen = json!({ "leader": "a", "cluster_size": 3, "replicas": [
            { "name": "a", "current": true }, { "name": "c", "current": false }
        ] });
        assert!(is_settled(&seen, 3));
    }
}
