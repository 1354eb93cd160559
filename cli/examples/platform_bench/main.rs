//! The figures of the whole platform: commands through the bus and through HTTP beside the log's engine used
//! bare; a deployment beside the same steps by hand; a rollback; start-up; memory.
//!
//!     platform_bench BINARY commands sqlite DIRECTORY
//!     platform_bench BINARY commands jetstream DIRECTORY NAME URL MONITOR
//!     platform_bench BINARY deployments DIRECTORY
//!     platform_bench BINARY containers DIRECTORY
//!
//! BINARY is a release build of `switchback`; DIRECTORY is on the disk that is to be measured.

mod commands;
mod containers;
mod deployments;
#[path = "../../../eventlog/examples/append_bench/measure.rs"]
mod measure;
mod server;

use std::path::Path;

use eventlog::error::BoxError;

use crate::commands::{Engine, measure_commands};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Another may have been chosen before; any will do for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let binary = Path::new(arguments.first().ok_or("a binary")?);
    match arguments[1..] {
        ["commands", "sqlite", dir] => measure_commands(binary, Path::new(dir), &Engine::Sqlite).await,
        ["commands", "jetstream", dir, name, url, monitor] => {
            let engine = Engine::JetStream { name: name.into(), url: url.into(), monitor: monitor.into() };
            measure_commands(binary, Path::new(dir), &engine).await
        }
        ["deployments", dir] => deployments::measure(binary, Path::new(dir)).await,
        ["containers", dir] => containers::measure(binary, Path::new(dir)),
        _ => Err("what is to be measured: commands or deployments".into()),
    }
}
