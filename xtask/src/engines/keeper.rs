//! The process that holds the servers (see [`crate::engines`]).
//!
//! It says on its standard output: one line `NAME=value` per variable, then `ready`. It is told on its
//! standard input: `group N`, the process group to kill with the rest, or `group 0`, none any more. The end
//! of its input is the end.

use std::io::{self, BufRead, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::engines::server::Server;
use crate::engines::{Engine, docker, nats, place, postgres, registry};
use crate::failure::Failure;
use crate::program;

pub(super) const READY: &str = "ready";
pub(super) const GROUP: &str = "group";

/// How often it looks whether all servers are still up.
const LOOK: Duration = Duration::from_millis(500);
const ORDERS_WAITING_MAX: usize = 8;

enum Order {
    Group(u32),
    Stop,
}

/// Starts the engines in the folder, keeps them until told to stop, and leaves nothing.
pub(super) fn keep(place: &Path, engines: &str) -> Result<(), Failure> {
    let listener = place::listen(place)?;
    let mut servers = Vec::new();
    let kept = start(place, engines, &mut servers).and_then(|()| hold(&orders(listener), &mut servers));
    for server in servers {
        server.stop();
    }
    place::remove(place)?;
    kept
}

fn start(place: &Path, engines: &str, servers: &mut Vec<Server>) -> Result<(), Failure> {
    let mut lines = String::new();
    for name in engines.split(',').filter(|name| !name.is_empty()) {
        let engine =
            Engine::named(name).ok_or_else(|| Failure::usage(format!("there is no engine `{name}`")))?;
        let values = match engine {
            Engine::Nats => nats::start(place, servers),
            Engine::Postgres => postgres::start(place, servers),
            Engine::Docker => docker::start(place, servers),
            Engine::Registry => registry::start(place, servers),
        };
        let values = values.inspect_err(|_| post_mortems(servers))?;
        for (variable, value) in engine.variables().iter().zip(values) {
            lines.push_str(&format!("{variable}={value}\n"));
        }
    }
    // The task may be gone by now; then the end of the input says so at once.
    let _: io::Result<()> = writeln!(io::stdout(), "{lines}{READY}");
    Ok(())
}

/// Until told to stop. A server that went down by itself ends it badly.
fn hold(orders: &Receiver<Order>, servers: &mut [Server]) -> Result<(), Failure> {
    let mut group = 0;
    let ended = loop {
        match orders.recv_timeout(LOOK) {
            Ok(Order::Group(id)) => group = id,
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(what) = servers.iter_mut().find_map(Server::post_mortem) {
            break Err(Failure::new(what));
        }
    };
    if group > 0 {
        // Nobody of it may be left, which is fine too.
        let _ = program::output(Command::new("kill").args(["-KILL", "--", &format!("-{group}")]));
    }
    ended
}

fn post_mortems(servers: &mut [Server]) {
    for what in servers.iter_mut().filter_map(Server::post_mortem) {
        eprintln!("engines: {what}");
    }
}

/// Listens to the task and to `engines down`.
fn orders(listener: UnixListener) -> Receiver<Order> {
    let (sender, orders) = sync_channel(ORDERS_WAITING_MAX);
    let from_task = sender.clone();
    thread::spawn(move || listen_to_task(&from_task));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if place::asks_to_stop(stream) && sender.send(Order::Stop).is_err() {
                return;
            }
        }
    });
    orders
}

fn listen_to_task(orders: &SyncSender<Order>) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let group = line.strip_prefix(GROUP).and_then(|id| id.trim().parse().ok());
        if group.is_some_and(|id| orders.send(Order::Group(id)).is_err()) {
            return;
        }
    }
    let _ = orders.send(Order::Stop); // Nobody listens any more when it is stopping already.
}
