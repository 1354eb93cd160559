//! An edge with a fixed table, to measure it: `edge 127.0.0.1:8080 a.test=127.0.0.1:9000
//! b.test=127.0.0.1:9001`.
//!
//! It serves until it is killed. The server's own edge is put together in `cli`.

use std::net::SocketAddr;

use switchback_gateway::edge::Edge;
use switchback_gateway::edge::settings::Settings;
use switchback_gateway::edge::table::Route;
use tokio_util::sync::CancellationToken;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listen: SocketAddr = args.next().ok_or("usage: edge ADDRESS HOSTNAME=UPSTREAM...")?.parse()?;
    let edge = Edge::new(Settings::default());
    for arg in args {
        let (hostname, upstream) = arg.split_once('=').ok_or("a route is HOSTNAME=UPSTREAM")?;
        let route =
            Route { service: hostname.into(), release: "v1".into(), upstreams: vec![upstream.parse()?] };
        edge.table().set(hostname, route);
    }
    edge.serve(tokio::net::TcpListener::bind(listen).await?, CancellationToken::new()).await;
    Ok(())
}
