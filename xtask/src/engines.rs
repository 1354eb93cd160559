//! `engines up|down`: the servers that tests need, started from nothing and gone without a trace.
//!
//! A **keeper** process of our own holds the servers and the folder they live in. It lives as long as the
//! pipe from the task that wanted them: whether that task ends, fails, is interrupted or is killed, the pipe
//! closes, and the keeper stops the servers and removes the folder. Should the keeper itself be killed, the
//! kernel ends the servers (parent death signal), and the next task sweeps the folder. So no signal is
//! handled anywhere, and no process is ever looked up by its name alone: what a Docker Engine left is known
//! by the folder and the control group that were its own.

mod docker;
mod images;
pub(crate) mod install;
mod keeper;
mod nats;
mod place;
pub(crate) mod poll;
mod port;
mod postgres;
mod registry;
mod running;
mod server;

use crate::failure::Failure;

pub(crate) use crate::engines::install::tools;
pub(crate) use crate::engines::place::Purpose;
pub(crate) use crate::engines::port::free as free_port;
pub(crate) use crate::engines::running::Running;
pub(crate) use crate::engines::server::{End, Server};

/// What can be brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Five servers: one durable, one as out of the box, three that are a cluster.
    Nats,
    /// One server, with fsync off.
    Postgres,
    /// A Docker Engine with two images to build on.
    Docker,
    /// A registry without a password.
    Registry,
}

impl Engine {
    /// All of them.
    pub(crate) const ALL: [Engine; 4] = [Engine::Nats, Engine::Postgres, Engine::Docker, Engine::Registry];

    fn name(self) -> &'static str {
        match self {
            Engine::Nats => "nats",
            Engine::Postgres => "postgres",
            Engine::Docker => "docker",
            Engine::Registry => "registry",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Engine::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// The variables by which tests find it.
    pub(crate) fn variables(self) -> &'static [&'static str] {
        match self {
            Engine::Nats => &nats::VARIABLES,
            Engine::Postgres => &postgres::VARIABLES,
            Engine::Docker => &docker::VARIABLES,
            Engine::Registry => &registry::VARIABLES,
        }
    }
}

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["up"] => up(),
        ["down"] => place::stop_all(),
        // What `Running` starts; nobody types it.
        ["keep", folder, engines] => keeper::keep(folder.as_ref(), engines),
        _ => Err(Failure::usage("engines are brought `up` or `down`")),
    }
}

fn up() -> Result<(), Failure> {
    tools()?;
    let running = Running::start(&Engine::ALL, Purpose::Up)?;
    for (name, value) in running.variables() {
        println!("export {name}={value}");
    }
    println!("# Running. Ctrl-C, or `cargo xtask engines down`, stops them.");
    running.wait()
}
