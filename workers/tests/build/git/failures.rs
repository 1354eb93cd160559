//! What is said about repositories that cannot be brought.

use std::fs;
use std::time::Duration;

use workers::disk::{Reserve, Usage};
use workers::source::SourceError;

use super::Fetcher;
use crate::repository::Repository;
use crate::server::Server;

async fn refused(fetcher: &Fetcher, url: &str, reference: Option<&str>) -> SourceError {
    let error = fetcher.fetch(url, reference).await.expect_err(url);
    assert!(fetcher.beside().is_empty(), "{url}: something is left");
    error
}

#[tokio::test]
async fn each_failure_has_its_code_and_says_what_to_do() {
    let repository = Repository::with(&[("a", "1")]);
    repository.git(&["branch", "staging"]);
    let empty = Repository::empty();
    let plain = tempfile::tempdir().expect("a directory");
    let server = Server::start(plain.path().to_owned());
    let fetcher = Fetcher::new();
    for (url, reference, code, permanent, says) in [
        ("https://no-such-host.invalid/a".to_owned(), None, "repository_unreachable", false, "is not known"),
        ("http://127.0.0.1:1/a".to_owned(), None, "repository_unreachable", false, "cannot be reached"),
        ("ssh://git@127.0.0.1:1/a".to_owned(), None, "repository_unreachable", false, "cannot be reached"),
        (server.url("broken"), None, "repository_unreachable", false, "cannot be reached"),
        (server.url("absent"), None, "repository_not_found", true, "no repository at this address"),
        (server.url("moved"), None, "repository_not_found", true, "it has moved"),
        (server.url("private"), None, "repository_denied", true, "has no credentials"),
        ("file:///no/such/place".to_owned(), None, "repository_not_found", true, "no repository"),
        (format!("file://{}", plain.path().display()), None, "repository_not_found", true, "no repository"),
        (empty.url(), None, "repository_empty", true, "push a commit"),
        (empty.url(), Some("main"), "repository_empty", true, "push a commit"),
        (repository.url(), Some("nope"), "reference_not_found", true, "its branches: main, staging"),
        (
            repository.url(),
            Some("abcdef1234"),
            "reference_not_found",
            true,
            "`abcdef1234`; its branches: main",
        ),
        (repository.url(), Some(&"1".repeat(40)), "reference_not_found", true, "its branches: main, staging"),
    ] {
        let error = refused(&fetcher, &url, reference).await;
        assert_eq!((error.code, error.permanent), (code, permanent), "{url}: {error}");
        assert!(error.message.contains(says), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_repository_without_its_default_branch_is_asked_for_a_name() {
    let repository = Repository::with(&[("a", "1")]);
    repository.git(&["branch", "other"]);
    repository.git(&["branch", "another"]);
    repository.git(&["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    let fetcher = Fetcher::new();
    let error = refused(&fetcher, &repository.url(), None).await;
    assert_eq!(error.code, "reference_not_found");
    assert!(error.message.contains("name one by `--ref`: another, main, other"), "{error}");
    repository.git(&["branch", "-D", "other", "another"]);
    fetcher.fetch(&repository.url(), None).await.expect("the only branch");
}

#[tokio::test]
async fn protocols_can_be_turned_off() {
    let repository = Repository::with(&[("a", "1")]);
    let fetcher = Fetcher::with(|settings| (settings.allow_file, settings.allow_ssh) = (false, false));
    for url in [repository.url(), "ssh://git@127.0.0.1/a".to_owned()] {
        assert_eq!(refused(&fetcher, &url, None).await.code, "repository_forbidden");
    }
}

#[tokio::test]
async fn a_machine_without_git_says_so() {
    let fetcher = Fetcher::with(|settings| settings.path = "/nowhere".into());
    let error = refused(&fetcher, "file:///srv/x", None).await;
    assert!(
        error.message.contains("git is not installed") && error.message.contains("apt install git"),
        "{error}"
    );
}

#[tokio::test]
async fn a_repository_at_the_limit_is_taken_and_one_above_is_not() {
    // Random bytes cannot be compressed.
    let mut noise = vec![0; 3 << 20];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").expect("there"), &mut noise).expect("read");
    let repository = Repository::empty();
    fs::write(repository.path().join("noise"), &noise).expect("written");
    repository.commit(&[], "noise");
    let small = Fetcher::with(|settings| settings.bytes_max = 2 << 20);
    let error = refused(&small, &repository.url(), None).await;
    assert_eq!((error.code, error.permanent), ("repository_too_large", true));
    assert!(error.message.contains("more than 2 MiB"), "{error}");
    let cache = small.platform.data.path().join("cache/git");
    let mirrors = fs::read_dir(cache).expect("there").filter_map(Result::ok);
    assert_eq!(
        mirrors.filter(|entry| entry.path().join("objects").exists()).count(),
        0,
        "nothing is kept of it"
    );
    let large = Fetcher::with(|settings| settings.bytes_max = 8 << 20);
    large.fetch(&repository.url(), None).await.expect("within the limit");
}

#[tokio::test]
async fn files_are_counted_and_measured_before_they_are_written() {
    let repository = Repository::with(&[("a", "12345"), ("b", "12345")]);
    for (bytes, entries, taken) in [(10, 2, true), (9, 2, false), (10, 1, false)] {
        let fetcher = Fetcher::with(|settings| settings.files = Usage { bytes, entries });
        match fetcher.fetch(&repository.url(), None).await {
            Ok(_) => assert!(taken, "{bytes} {entries}"),
            Err(error) => {
                assert_eq!((error.code, taken), ("repository_too_large", false), "{bytes} {entries}")
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_fetched_onto_a_disk_that_is_full() {
    let repository = Repository::with(&[("a", "1")]);
    let fetcher = Fetcher::with(|settings| settings.reserve = Reserve { bytes: u64::MAX, percent: 0 });
    let error = refused(&fetcher, &repository.url(), None).await;
    assert_eq!((error.code, error.permanent), ("disk_full", false));
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_at_the_limit() {
    let server = Server::start("/nowhere".into());
    let fetcher = Fetcher::with(|settings| settings.limit = Duration::from_millis(300));
    let error = refused(&fetcher, &server.url("hang"), None).await;
    assert_eq!((error.code, error.permanent), ("repository_unreachable", false));
    fetcher.platform.quiet().await;
}
