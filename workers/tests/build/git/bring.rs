//! What is brought.

use std::fs;
use std::time::{Duration, Instant};

use domain::deployment::step::Step;
use tokio_util::sync::CancellationToken;

use super::Fetcher;
use crate::platform::LIMIT;
use crate::repository::Repository;
use crate::server::Server;

#[tokio::test]
async fn a_branch_a_tag_and_a_revision_bring_the_files_of_it() {
    let repository = Repository::with(&[("a", "1")]);
    let first = repository.commit(&[("a", "2"), ("dir/b", "x")], "second: Äpfel\n\nmore of it");
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-a", "v1.0", "-m", "a tag with a message"]);
    repository.git(&["branch", "feature/x"]);
    repository.git(&["update-ref", "refs/pull/7/head", &first]);
    let last = repository.commit(&[("a", "3")], "third");
    for (reference, revision, files) in [
        (None, &last, ["a=3", "dir/b=x"]),
        (Some("main"), &last, ["a=3", "dir/b=x"]),
        (Some("HEAD"), &last, ["a=3", "dir/b=x"]),
        (Some("feature/x"), &first, ["a=2", "dir/b=x"]),
        (Some("light"), &first, ["a=2", "dir/b=x"]),
        (Some("v1.0"), &first, ["a=2", "dir/b=x"]),
        (Some("refs/pull/7/head"), &first, ["a=2", "dir/b=x"]),
        (Some(first.as_str()), &first, ["a=2", "dir/b=x"]),
        (Some(&first[..9]), &first, ["a=2", "dir/b=x"]),
    ] {
        let fetcher = Fetcher::new();
        let found = fetcher.fetch(&repository.url(), reference).await.expect("fetched");
        assert_eq!(found.id.as_str(), revision, "{reference:?}");
        assert_eq!(fetcher.files(), files, "{reference:?}");
        assert_eq!(fetcher.beside(), ["app"], "{reference:?}");
        let subject = if *revision == last { "third" } else { "second: Äpfel" };
        assert_eq!(found.subject, subject);
    }
}

#[tokio::test]
async fn a_second_fetch_brings_what_is_new_and_replaces_what_was_there() {
    let repository = Repository::with(&[("a", "1"), ("gone", "x")]);
    let fetcher = Fetcher::new();
    fetcher.fetch(&repository.url(), None).await.expect("fetched");
    fs::write(fetcher.platform.workspace().join("left"), "by a build").expect("written");
    fs::remove_file(repository.path().join("gone")).expect("removed");
    repository.commit(&[("a", "2")], "next");
    fetcher.fetch(&repository.url(), None).await.expect("fetched");
    assert_eq!(fetcher.files(), ["a=2"]);
}

#[tokio::test]
async fn a_pinned_revision_is_fetched_wherever_the_branch_is_now() {
    let repository = Repository::with(&[("a", "1")]);
    let pinned = repository.git(&["rev-parse", "HEAD"]);
    repository.commit(&[("a", "2")], "next");
    let fetcher = Fetcher::new();
    let found =
        fetcher.fetch_pinned(&repository.url(), Some("main"), Some(&pinned), 1).await.expect("fetched");
    assert_eq!((found.id.as_str(), found.subject.as_str()), (pinned.as_str(), "begin"));
    assert_eq!(fetcher.files(), ["a=1"]);
    // What was fetched once needs its server no more.
    fs::remove_dir_all(repository.path()).expect("removed");
    let again =
        fetcher.fetch_pinned(&repository.url(), None, Some(&pinned), 2).await.expect("from the mirror");
    assert_eq!(again, found);
}

#[tokio::test]
async fn a_server_that_hands_out_no_revision_by_name_is_asked_for_the_history() {
    let repository = Repository::with(&[("a", "1")]);
    let pinned = repository.git(&["rev-parse", "HEAD"]);
    repository.commit(&[("a", "2")], "next");
    repository.git(&["update-server-info"]);
    // Plain files by HTTP: no program of git answers, so there is no negotiation at all.
    let server = Server::start(repository.path().join(".git"));
    let fetcher = Fetcher::new();
    let found = fetcher.fetch_pinned(&server.url("files"), None, Some(&pinned), 1).await.expect("fetched");
    assert_eq!((found.id.as_str(), fetcher.files()), (pinned.as_str(), vec!["a=1".to_owned()]));
    let now = fetcher.fetch(&server.url("files"), Some("main")).await.expect("fetched");
    assert_eq!((now.subject.as_str(), fetcher.files()), ("next", vec!["a=2".to_owned()]));
}

#[tokio::test]
async fn an_address_that_lacks_git_at_its_end_is_tried_with_it() {
    let repository = Repository::with(&[("a", "1")]);
    repository.git(&["update-server-info"]);
    let server = Server::start(repository.path().join(".git"));
    let fetcher = Fetcher::new();
    fetcher.fetch(&server.url("strict"), None).await.expect("fetched");
    assert_eq!(fetcher.files(), ["a=1"]);
}

#[tokio::test]
async fn several_fetches_of_one_repository_at_once_all_succeed() {
    let repository = Repository::with(&[("a", "1")]);
    let fetcher = Fetcher::new();
    let url = repository.url().parse().expect("an address");
    let output = fetcher.platform.output();
    let cancel = CancellationToken::new();
    let fetches = (0..8).map(|n| {
        let mut key = fetcher.platform.key(Step::Fetch, 1);
        key.deployment = domain::id::DeploymentId(uuid::Uuid::now_v7());
        let into = fetcher.platform.data.path().join(format!("builds/{n}/app"));
        let (git, url, output, cancel) = (&fetcher.git, &url, &output, &cancel);
        async move { git.fetch(key, url, None, None, &into, output, cancel).await }
    });
    for fetched in futures::future::join_all(fetches).await {
        assert_eq!(fetched.expect("fetched").subject, "begin");
    }
}

#[tokio::test]
async fn a_broken_mirror_is_made_anew() {
    let repository = Repository::with(&[("a", "1")]);
    let fetcher = Fetcher::new();
    fetcher.fetch(&repository.url(), None).await.expect("fetched");
    let cache = fetcher.platform.data.path().join("cache/git");
    for entry in fs::read_dir(&cache).expect("there").filter_map(Result::ok) {
        if entry.path().join("objects").exists() {
            fs::remove_dir_all(entry.path().join("objects")).expect("removed");
        }
    }
    repository.commit(&[("a", "2")], "next");
    fetcher.fetch(&repository.url(), None).await.expect("fetched again");
    assert_eq!(fetcher.files(), ["a=2"]);
}

#[tokio::test]
async fn an_earlier_worker_is_refused_and_changes_nothing() {
    let repository = Repository::with(&[("a", "1")]);
    let fetcher = Fetcher::new();
    fetcher.fetch_pinned(&repository.url(), None, None, 2).await.expect("fetched");
    repository.commit(&[("a", "2")], "next");
    fetcher.fetch_pinned(&repository.url(), None, None, 1).await.expect_err("an earlier worker");
    assert_eq!(fetcher.files(), ["a=1"]);
}

#[tokio::test]
async fn cancelling_ends_a_fetch_at_once_with_everything_it_started() {
    let server = Server::start("/nowhere".into());
    let fetcher = Fetcher::new();
    let url = server.url("hang").parse().expect("an address");
    let (key, into) = (fetcher.platform.key(Step::Fetch, 1), fetcher.platform.workspace());
    let (output, cancel) = (fetcher.platform.output(), CancellationToken::new());
    let fetch = fetcher.git.fetch(key, &url, None, None, &into, &output, &cancel);
    let stop = async {
        while !fetcher
            .platform
            .supervisor
            .names()
            .expect("/proc")
            .iter()
            .any(|name| name.starts_with("fetch/"))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
        Instant::now()
    };
    let (result, cancelled) =
        tokio::time::timeout(LIMIT, async { tokio::join!(fetch, stop) }).await.expect("ends");
    assert!(cancelled.elapsed() < Duration::from_secs(1));
    assert_eq!(result.expect_err("cancelled").message, "the fetch was cancelled");
    assert!(fetcher.beside().is_empty());
    fetcher.platform.quiet().await;
}
