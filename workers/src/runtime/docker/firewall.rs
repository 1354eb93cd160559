//! Rules of the host's firewall for what the engine has no setting for, or does not keep up.
//!
//! From a service's network, link-local addresses are refused: on one of them a cloud gives out secrets of
//! the machine. So are the networks of other services: the engine has rules of its own for that, but any
//! other daemon that starts on the host removes them (seen with 20.10). It takes the host's `iptables` and
//! the right to use it; where a worker has neither, an operator is told what to do.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tracing::warn;

use crate::runtime::docker::labels;

/// `169.254.169.254` and its neighbours.
const LINK_LOCAL: &str = "169.254.0.0/16";
/// The chain that the engine leaves to others and asks before all of its own.
const CHAIN: &str = "DOCKER-USER";
const PROGRAMS: [&str; 2] = ["/usr/sbin/iptables", "iptables"];
const LIMIT: Duration = Duration::from_secs(15);
/// How often the same rule may have been added by workers at once.
const COPIES_MAX: usize = 4;

/// What an operator does who lets no worker do it.
pub(super) const ADVICE: &str = "containers reach the link-local addresses of this host's network, such as \
                                 169.254.169.254, where a cloud gives out secrets of the machine, and this \
                                 process may not forbid it; run `iptables -I DOCKER-USER -d 169.254.0.0/16 \
                                 -j REJECT` on the host, at each start";

/// Whether rules can be seen, and so made.
pub(super) async fn is_usable() -> bool {
    iptables(&["-n", "-L", CHAIN]).await
}

/// Keeps what is on a bridge from where it has no business. To be called before anything is on it.
pub(super) async fn close(bridge: &str) {
    for rule in rules(bridge) {
        if !is_there(&rule).await && !iptables(&[&["-I", CHAIN], &rule[..]].concat()).await {
            warn!("{ADVICE}");
            return;
        }
    }
}

/// Takes the rules back.
pub(super) async fn open(bridge: &str) {
    for rule in rules(bridge) {
        for _ in 0..COPIES_MAX {
            if !iptables(&[&["-D", CHAIN], &rule[..]].concat()).await {
                break;
            }
        }
    }
}

fn rules(bridge: &str) -> [[&str; 6]; 2] {
    [
        ["-i", bridge, "-d", LINK_LOCAL, "-j", "REJECT"],
        // The plus stands for any end: all bridges of services.
        ["-i", bridge, "-o", labels::ALL_BRIDGES, "-j", "REJECT"],
    ]
}

async fn is_there(rule: &[&str]) -> bool {
    iptables(&[&["-C", CHAIN], rule].concat()).await
}

async fn iptables(arguments: &[&str]) -> bool {
    for program in PROGRAMS {
        let mut command = Command::new(program);
        // Others change rules too, and are waited for.
        command.args(["-w", "5"]).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match tokio::time::timeout(LIMIT, command.status()).await {
            Ok(Err(_)) => {} // It is not there: the next.
            Ok(Ok(status)) => return status.success(),
            Err(_) => return false,
        }
    }
    false
}
