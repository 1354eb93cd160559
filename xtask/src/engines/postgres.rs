//! PostgreSQL: one server, made anew. It does not sync: what tests do to it is kill it, not cut its power.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::engines::server::{End, Server, User};
use crate::engines::{install, poll, port};
use crate::failure::{Doing, Failure};
use crate::program;

pub(super) const VARIABLES: [&str; 1] = ["SWITCHBACK_TEST_POSTGRES"];

/// The database's own superuser. Nobody else can reach the port from outside of this machine, so no password.
const SUPERUSER: &str = "switchback";
/// Who runs it when we are root, which it refuses to run as.
const SYSTEM_USERS: [&str; 2] = ["postgres", "nobody"];
/// Every test has a pool of its own. Shared memory is a file of the data's, and goes with it.
const SETTINGS: [&str; 4] =
    ["fsync=off", "full_page_writes=off", "max_connections=300", "dynamic_shared_memory_type=mmap"];
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Starts it, waits until it answers, and returns the values of [`VARIABLES`].
pub(super) fn start(place: &Path, servers: &mut Vec<Server>) -> Result<Vec<String>, Failure> {
    let programs = install::postgres()?;
    let data = place.join("postgres");
    fs::create_dir(&data).doing(|| format!("make {}", data.display()))?;
    let user = system_user()?;
    if let Some(user) = &user {
        chown(&data, Some(user.id), Some(user.group)).doing(|| format!("give {} away", data.display()))?;
    }

    let mut initdb = as_user(user.as_ref(), &programs.join("initdb"));
    initdb.args(["--no-sync", "--auth=trust", "--no-locale", "--encoding=UTF8", "--username", SUPERUSER]);
    program::output(initdb.arg("-D").arg(&data).current_dir(place))?;

    let port = port::free()?.to_string();
    let mut postgres = Command::new(programs.join("postgres"));
    postgres.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port, "-k"]).arg(&data);
    for setting in SETTINGS {
        postgres.args(["-c", setting]);
    }
    let mut stop = as_user(user.as_ref(), &programs.join("pg_ctl"));
    stop.arg("-D").arg(&data).args(["stop", "--silent", "--wait", "-m", "immediate"]).current_dir(place);
    // On INT it ends at once, and gives its shared memory back, which KILL would leave.
    servers.push(Server::start("postgres", place, "INT", user.as_ref(), &postgres, End::Ask(stop))?);

    let mut is_ready = Command::new(programs.join("pg_isready"));
    is_ready.args(["-q", "-h", "127.0.0.1", "-p", &port, "-U", SUPERUSER, "-d", "postgres"]);
    poll::until(READY_LIMIT, || program::output(&mut is_ready).map(Some))
        .doing(|| format!("see PostgreSQL answer on 127.0.0.1:{port}"))?;
    Ok(vec![format!("postgres://{SUPERUSER}@127.0.0.1:{port}/postgres")])
}

/// Whom it runs as: nobody special, unless we are root.
fn system_user() -> Result<Option<User>, Failure> {
    let us = fs::metadata("/proc/self").doing(|| "read /proc/self".to_owned())?;
    if us.uid() != 0 {
        return Ok(None);
    }
    let known = fs::read_to_string("/etc/passwd").doing(|| "read /etc/passwd".to_owned())?;
    let found = SYSTEM_USERS.iter().find_map(|name| User::named(name, &known));
    found
        .map(Some)
        .ok_or_else(|| Failure::new("PostgreSQL refuses to run as root, and there is no user for it"))
}

fn as_user(user: Option<&User>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(user.arguments()).arg("--").arg(program);
    command
}
