//! A registry for images: takes what is pushed, without a password and without TLS, and deletes when asked.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::engines::server::{End, Server};
use crate::engines::{install, poll, port};
use crate::failure::{Doing, Failure};

pub(super) const VARIABLES: [&str; 1] = ["SWITCHBACK_TEST_REGISTRY"];

const READY_LIMIT: Duration = Duration::from_secs(30);

/// Starts it, waits until it answers, and returns the values of [`VARIABLES`].
pub(super) fn start(place: &Path, servers: &mut Vec<Server>) -> Result<Vec<String>, Failure> {
    let program = install::program_of("docker-registry", "/usr/bin/docker-registry")?;
    let port = port::free()?;
    let configuration = place.join("registry.yml");
    let text = configuration_text(&place.join("registry"), port);
    fs::write(&configuration, text).doing(|| format!("write {}", configuration.display()))?;
    let mut command = Command::new(program);
    command.arg("serve").arg(&configuration);
    servers.push(Server::start("registry", place, "KILL", None, &command, End::Kill)?);
    poll::until(READY_LIMIT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(Some))
        .doing(|| format!("see the registry answer on 127.0.0.1:{port}"))?;
    Ok(vec![format!("127.0.0.1:{port}")])
}

fn configuration_text(data: &Path, port: u16) -> String {
    format!(
        "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    \
         enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n",
        data.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_can_be_deleted() {
        let text = configuration_text(Path::new("/r"), 5000);
        assert!(text.contains("    rootdirectory: /r\n  delete:\n    enabled: true\nhttp:\n"), "{text}");
    }
}
