//! This machine: the data directory, its disk, the programs, the files that settings name.

use std::path::Path;

use commands::keyring::MasterKey;
use gateway::edge::tls::Certificates;

use super::{Finding, in_words};
use crate::args::Settings;
use crate::home::{Home, HomeError};

/// Under so much free space builds are refused.
const FREE_MIN_BYTES: u64 = 1 << 30;
const FREE_MIN_PERCENT: u64 = 5;

/// Looks at what is here.
pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = data(settings);
    findings.push(git());
    findings.extend(settings.keys.master_key.as_deref().map(master_key));
    findings.extend(settings.traffic.edge_tls.as_deref().map(certificates));
    findings
}

fn data(settings: &Settings) -> Vec<Finding> {
    const WHAT: &str = "data";
    let Some(path) = settings.data_directory() else {
        return vec![Finding::failed(
            WHAT,
            "there is no home directory to keep data in",
            "give one with --data",
        )];
    };
    let shown = path.display();
    if !path.exists() {
        return vec![Finding::ok(WHAT, format!("{shown} is not there yet; the first start makes it"))];
    }
    let opened = match Home::open(&path) {
        Ok(_) => Finding::ok(WHAT, format!("{shown} can be used")),
        Err(HomeError::InUse { holder, .. }) => {
            Finding::ok(WHAT, format!("{shown} is in use by process {holder}"))
        }
        Err(error) => {
            let advice = "what to do stands in the message; nothing is lost by trying again";
            Finding::failed(WHAT, in_words(&error), advice)
        }
    };
    vec![opened, disk(&path)]
}

fn disk(path: &Path) -> Finding {
    const WHAT: &str = "disk";
    let disk = match rustix::fs::statvfs(path) {
        Ok(disk) => disk,
        Err(error) => return Finding::warning(WHAT, format!("cannot be looked at: {error}"), "look at `df`"),
    };
    let (free, size) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let percent = (free * 100).checked_div(size).unwrap_or(100);
    let found = format!("{:.1} GB free of {:.1} GB ({percent} %)", gigabytes(free), gigabytes(size));
    if free < FREE_MIN_BYTES || percent < FREE_MIN_PERCENT {
        let advice =
            "builds and uploads are refused below 1 GB or 5 %: make room, or give --data on another disk";
        return Finding::failed(WHAT, found, advice);
    }
    Finding::ok(WHAT, found)
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

fn git() -> Finding {
    const WHAT: &str = "git";
    match std::process::Command::new("git").arg("--version").output() {
        Ok(output) if output.status.success() => {
            Finding::ok(WHAT, String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => {
            Finding::failed(WHAT, format!("git --version ended with {}", output.status), "install git anew")
        }
        Err(error) => Finding::failed(
            WHAT,
            format!("cannot be run: {error}"),
            "workers clone repositories with it: install git (apt-get install git)",
        ),
    }
}

fn master_key(path: &Path) -> Finding {
    const WHAT: &str = "master key";
    match MasterKey::read(path) {
        Ok(_) => Finding::ok(WHAT, format!("{} can be used", path.display())),
        Err(error) => Finding::failed(
            WHAT,
            in_words(&error),
            "every process needs the same file; make one once with `openssl rand -hex 32 > FILE` and chmod \
             it to 0600",
        ),
    }
}

fn certificates(directory: &Path) -> Finding {
    const WHAT: &str = "certificates";
    match Certificates::open(directory) {
        Ok(found) if found.is_empty() => Finding::warning(
            WHAT,
            format!("{} has none", directory.display()),
            "put NAME.crt and NAME.key there; the edge finds them within seconds",
        ),
        Ok(_) => Finding::ok(WHAT, format!("{} can be used", directory.display())),
        Err(error) => {
            Finding::failed(WHAT, in_words(&error), "mend the file; the edge does not start without")
        }
    }
}
