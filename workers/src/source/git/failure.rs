//! What was wrong with a repository, from what git says about it.

use std::time::Duration;

use domain::source::RepositoryUrl;
use eventlog::error::BoxError;

use crate::disk::{DiskFull, Exceeded, Size};
use crate::source::SourceError;

/// How much of git's last message is repeated, in characters.
const MESSAGE_MAX: usize = 300;

fn error(code: &'static str, permanent: bool, message: impl Into<String>) -> SourceError {
    SourceError { code, message: message.into(), permanent, source: None }
}

pub(super) fn failed(doing: &str, source: Option<BoxError>) -> SourceError {
    let message = format!("the files could not be fetched: failed to {doing}");
    SourceError { code: "source_failed", message, permanent: false, source }
}

pub(super) fn cancelled() -> SourceError {
    error("source_failed", true, "the fetch was cancelled")
}

pub(super) fn timed_out(url: &RepositoryUrl, limit: Duration) -> SourceError {
    let message = format!(
        "{url} was not fetched within {} s; is its server slow, or the repository large?",
        limit.as_secs()
    );
    error("repository_unreachable", false, message)
}

pub(super) fn not_installed(advice: &str) -> SourceError {
    error("source_failed", true, format!("git is not installed on this server; {advice}"))
}

pub(super) fn disk_full(full: DiskFull) -> SourceError {
    error("disk_full", false, full.to_string())
}

pub(super) fn forbidden_protocol(url: &RepositoryUrl) -> SourceError {
    let message = format!(
        "repositories by {} are not allowed on this server ({url}); an operator can allow them",
        url.protocol()
    );
    error("repository_forbidden", true, message)
}

pub(super) fn forbidden(message: String) -> SourceError {
    error("repository_forbidden", true, message)
}

pub(super) fn empty(url: &RepositoryUrl) -> SourceError {
    error("repository_empty", true, format!("{url} is empty: push a commit to it, and deploy again"))
}

pub(super) fn no_reference(message: String) -> SourceError {
    error("reference_not_found", true, message)
}

pub(super) fn exceeded(url: &RepositoryUrl, exceeded: Exceeded, bytes_max: u64) -> SourceError {
    match exceeded {
        Exceeded::Size(_) => too_large(format!("{url} has more than {}", Size(bytes_max))),
        Exceeded::Disk(full) => disk_full(full),
    }
}

pub(super) fn too_large(what: String) -> SourceError {
    let advice = "take large files out of it, or have an operator raise the limit";
    error("repository_too_large", true, format!("{what}; {advice}"))
}

/// What git says when a server does not hand out a revision by its name. Others of the same history may.
pub(super) fn is_refused_revision(messages: &str) -> bool {
    [
        "not our ref",
        "unadvertised object",
        "does not support shallow",
        "no such remote ref",
        "couldn't find remote ref",
    ]
    .iter()
    .any(|words| messages.contains(words))
}

/// What git says when a server sends it elsewhere.
pub(super) fn is_redirect(messages: &str) -> bool {
    ["error: 301", "error: 302", "error: 307", "error: 308"].iter().any(|words| messages.contains(words))
}

/// Words of git, the code, whether trying again is of no use, and what to do. The first that is found counts.
const KNOWN: [(&[&str], &str, bool, &str); 10] = [
    (
        &["Host key verification failed"],
        "repository_denied",
        true,
        "the server's ssh key is not the one that was known before; if it was changed on purpose, remove \
         the old one from known_hosts on this server",
    ),
    (
        &[
            "could not read Username",
            "terminal prompts disabled",
            "Authentication failed",
            "error: 401",
            "error: 403",
        ],
        "repository_denied",
        true,
        "it is not there, or is private: this server has no credentials for it; for a private repository, \
         use ssh with a key of this server, or upload the files (`switchback deploy .`)",
    ),
    (
        &["Permission denied (", "Too many authentication failures"],
        "repository_denied",
        true,
        "the server does not accept an ssh key of this server's user; add its public key there",
    ),
    (
        &["dubious ownership", "Permission denied"],
        "repository_denied",
        true,
        "it belongs to another user of this server",
    ),
    (
        &["error: 301", "error: 302", "error: 307", "error: 308"],
        "repository_not_found",
        true,
        "it has moved; deploy its new address",
    ),
    (
        &[
            "not found",
            "does not appear to be a git repository",
            "error: 404",
            "error: 410",
            "does not exist",
        ],
        "repository_not_found",
        true,
        "there is no repository at this address",
    ),
    (
        &["Could not resolve host", "Name or service not known", "Temporary failure in name resolution"],
        "repository_unreachable",
        false,
        "the name of its server is not known",
    ),
    (
        &[
            "Failed to connect",
            "Couldn't connect",
            "Could not connect",
            "Connection refused",
            "Connection timed out",
            "Connection reset",
            "Operation timed out",
            "No route to host",
            "Network is unreachable",
            "Operation too slow",
            "early EOF",
            "unexpected disconnect",
            "hung up unexpectedly",
            "RPC failed",
            "SSL",
            "TLS",
            "certificate",
            "error: 5",
            "Empty reply",
            "Could not read from remote repository",
        ],
        "repository_unreachable",
        false,
        "its server cannot be reached",
    ),
    (&["not allowed"], "repository_forbidden", true, "it is spoken to by a protocol that is not allowed"),
    (
        &["fsck error", "invalid path", "refusing to"],
        "repository_forbidden",
        true,
        "it contains something that could be used for an attack",
    ),
];

/// The failure that git's messages tell of.
pub(super) fn of_git(url: Option<&RepositoryUrl>, messages: &str) -> SourceError {
    let what = url.map_or("the repository".to_owned(), ToString::to_string);
    if messages.contains("No space left on device") {
        return error("disk_full", false, "the disk of this server is full; make room on it");
    }
    let said = said(messages);
    let known = KNOWN.iter().find(|(words, ..)| words.iter().any(|words| messages.contains(words)));
    match known {
        Some((_, code, permanent, advice)) => {
            error(code, *permanent, format!("{what} cannot be fetched: {advice} (git: {said})"))
        }
        None => error("source_failed", false, format!("{what} cannot be fetched (git: {said})")),
    }
}

/// The line that says most: the first that git calls fatal or an error.
fn said(messages: &str) -> String {
    let important =
        |line: &&str| line.starts_with("fatal:") || line.starts_with("error:") || line.starts_with("ssh:");
    let line = messages.lines().find(important).or_else(|| messages.lines().next_back()).unwrap_or("nothing");
    line.chars().filter(|c| !c.is_control()).take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_becomes_a_code_and_advice() {
        let url: RepositoryUrl = "https://host.example/a".parse().expect("an address");
        for (messages, code) in [
            ("fatal: unable to access 'x': Could not resolve host: x", "repository_unreachable"),
            ("fatal: unable to access 'x': The requested URL returned error: 502", "repository_unreachable"),
            ("fatal: unable to access 'x': SSL certificate problem: expired", "repository_unreachable"),
            (
                "ssh: connect to host x port 22: Connection refused\nfatal: Could not read from remote",
                "repository_unreachable",
            ),
            ("fatal: repository 'https://host.example/a/' not found", "repository_not_found"),
            (
                "ERROR: Repository not found.\nfatal: Could not read from remote repository.",
                "repository_not_found",
            ),
            ("fatal: could not read Username for 'x': terminal prompts disabled", "repository_denied"),
            ("git@x: Permission denied (publickey).\nfatal: Could not read", "repository_denied"),
            ("Host key verification failed.", "repository_denied"),
            ("fatal: detected dubious ownership in repository at '/x'", "repository_denied"),
            ("fatal: transport 'ext' not allowed", "repository_forbidden"),
            ("error: object x: gitmodulesUrl: y\nfatal: fsck error in packed object", "repository_forbidden"),
            ("fatal: write error: No space left on device", "disk_full"),
            ("fatal: the moon", "source_failed"),
            ("", "source_failed"),
        ] {
            let found = of_git(Some(&url), messages);
            assert_eq!(found.code, code, "{messages}: {found}");
        }
        let long = of_git(None, &format!("fatal: {}", "x".repeat(10_000)));
        assert!(long.message.len() < 500);
    }
}
