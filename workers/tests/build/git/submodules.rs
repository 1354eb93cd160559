//! Submodules: fetched by the platform, by the rules of repositories.

use super::Fetcher;
use crate::files;
use crate::repository::Repository;

/// A repository with a submodule at `path`, whose address is what `.gitmodules` says.
fn with_submodule(path: &str, url: &str, revision: &str) -> Repository {
    let repository = Repository::with(&[("app", "1")]);
    let modules = format!("[submodule \"x\"]\n\tpath = {path}\n\turl = {url}\n");
    files::write(repository.path(), &[(".gitmodules", &modules)]);
    repository.git(&["add", ".gitmodules"]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{revision},{path}")]);
    repository.git(&["commit", "--quiet", "-m", "submodule"]);
    repository
}

#[tokio::test]
async fn submodules_are_brought_with_theirs() {
    let inner = Repository::with(&[("deep", "3")]);
    let middle = with_submodule("sub", &inner.url(), &inner.git(&["rev-parse", "HEAD"]));
    let outer = with_submodule("lib/x", &middle.url(), &middle.git(&["rev-parse", "HEAD"]));
    inner.commit(&[("deep", "4")], "later");
    let fetcher = Fetcher::new();
    let found = fetcher.fetch(&outer.url(), None).await.expect("fetched");
    assert_eq!(found.subject, "submodule");
    let files: Vec<_> = fetcher.files().into_iter().filter(|file| !file.contains("gitmodules")).collect();
    assert_eq!(files, ["app=1", "lib/x/app=1", "lib/x/sub/deep=3"]);
}

#[tokio::test]
async fn hostile_addresses_are_refused() {
    let inner = Repository::with(&[("a", "1")]);
    let revision = inner.git(&["rev-parse", "HEAD"]);
    let canary = tempfile::tempdir().expect("a directory");
    let touch = format!("ext::sh -c touch% {}/canary", canary.path().display());
    for url in [touch.as_str(), "-u./payload", "--upload-pack=touch", "git://127.0.0.1/x", "\"x\\r\""] {
        let repository = with_submodule("lib", url, &revision);
        let fetcher = Fetcher::new();
        let error = fetcher.fetch(&repository.url(), None).await.expect_err(url);
        assert_eq!(error.code, "repository_forbidden", "{url}: {error}");
        assert!(fetcher.beside().is_empty(), "{url}");
    }
    assert!(!canary.path().join("canary").exists());
}

#[tokio::test]
async fn a_submodule_that_is_gone_is_named() {
    let inner = Repository::with(&[("a", "1")]);
    let repository = with_submodule("lib", &inner.url(), &"1".repeat(40));
    let error = Fetcher::new().fetch(&repository.url(), None).await.expect_err("gone");
    assert_eq!(error.code, "reference_not_found");
    assert!(error.message.starts_with("the submodule lib: "), "{error}");
}

#[tokio::test]
async fn submodules_at_the_limit_are_brought_and_one_above_is_not() {
    let inner = Repository::with(&[("a", "1")]);
    let repository = with_submodule("lib", &inner.url(), &inner.git(&["rev-parse", "HEAD"]));
    Fetcher::with(|settings| settings.submodules_max = 1).fetch(&repository.url(), None).await.expect("one");
    for change in [
        (|settings: &mut workers::source::git::Settings| settings.submodules_max = 0) as fn(&mut _),
        |settings| settings.depth_max = 0,
    ] {
        let error = Fetcher::with(change).fetch(&repository.url(), None).await.expect_err("above");
        assert_eq!(error.code, "repository_too_large", "{error}");
    }
}

#[tokio::test]
async fn a_repository_that_is_its_own_submodule_ends_at_the_limit() {
    let repository = Repository::with(&[("a", "1")]);
    let revision = repository.git(&["rev-parse", "HEAD"]);
    let modules = format!("[submodule \"x\"]\n\tpath = lib\n\turl = {}\n", repository.url());
    files::write(repository.path(), &[(".gitmodules", &modules)]);
    repository.git(&["add", ".gitmodules"]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{revision},lib")]);
    repository.git(&["commit", "--quiet", "-m", "itself"]);
    let fetcher = Fetcher::new();
    fetcher.fetch(&repository.url(), None).await.expect("it contains an earlier revision of itself");
    assert!(fetcher.files().contains(&"lib/a=1".to_owned()));
}
