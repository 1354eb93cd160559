//! Repositories that try to get something executed or read. The oracle is a canary: a file that must not
//! appear.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::Fetcher;
use crate::files;
use crate::repository::{Repository, entry};

/// A place where the canary would appear.
struct Canary(tempfile::TempDir);

impl Canary {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("canary")
    }

    /// A command that makes it appear.
    fn touch(&self) -> String {
        format!("touch {}", self.path().display())
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.path().exists(), "something was executed");
        }
    }
}

#[tokio::test]
async fn no_hook_filter_or_setting_of_a_repository_is_used() {
    let canary = Canary::new();
    let touch = canary.touch();
    let repository = Repository::with(&[
        (".gitattributes", "* filter=evil diff=evil merge=evil\nident ident\n"),
        (".lfsconfig", "[lfs]\nurl = ext::touch x\n"),
        ("a", "1"),
    ]);
    for setting in
        ["filter.evil.smudge", "filter.evil.process", "core.fsmonitor", "core.sshCommand", "core.pager"]
    {
        repository.git(&["config", setting, &touch]);
    }
    repository.git(&["config", "uploadpack.packObjectsHook", &touch]);
    repository.git(&["config", "core.alternateRefsCommand", &touch]);
    for hook in ["post-checkout", "pre-auto-gc", "reference-transaction", "post-index-change", "post-update"]
    {
        let path = repository.path().join(".git/hooks").join(hook);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(&path, format!("#!/bin/sh\n{touch}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    }
    let fetcher = Fetcher::new();
    fetcher.fetch(&repository.url(), None).await.expect("fetched");
    assert!(fetcher.files().contains(&"a=1".to_owned()));
}

#[tokio::test]
async fn settings_and_templates_of_this_machine_are_not_used() {
    let canary = Canary::new();
    let home = files::tree(&[
        (
            ".gitconfig",
            &format!("[core]\nfsmonitor = {0}\nsshCommand = {0}\n[init]\ntemplateDir = t\n", canary.touch()),
        ),
        ("t/hooks/post-checkout", &format!("#!/bin/sh\n{}\n", canary.touch())),
    ]);
    let environment = [
        ("HOME", home.path().display().to_string()),
        ("GIT_TEMPLATE_DIR", home.path().join("t").display().to_string()),
        ("GIT_SSH_COMMAND", canary.touch()),
        ("GIT_EXTERNAL_DIFF", canary.touch()),
        ("PATH", std::env::var("PATH").expect("set")),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let fetcher = Fetcher::with(|settings| {
        let fresh = workers::source::git::Settings::new(settings.data.clone(), &environment);
        *settings = workers::source::git::Settings { reserve: settings.reserve, ..fresh };
    });
    fetcher.fetch(&Repository::with(&[("a", "1")]).url(), None).await.expect("fetched");
    fetcher.fetch("ssh://git@127.0.0.1:1/a", None).await.expect_err("nobody is there");
}

#[tokio::test]
async fn trees_that_git_would_not_make_are_refused() {
    let canary = Canary::new();
    let hook = format!("#!/bin/sh\n{}\n", canary.touch());
    for name in [&b".git"[..], b".GIT", b"git~1", ".g\u{200c}it".as_bytes(), b"..", b".", b"a/b"] {
        let repository = Repository::empty();
        let script = repository.blob(hook.as_bytes());
        let hooks = repository.git_tree(&entry("100755", b"post-checkout", &script));
        let inner = repository.git_tree(&entry("40000", b"hooks", &hooks));
        repository.commit_tree(&entry("40000", name, &inner));
        let fetcher = Fetcher::new();
        let error = fetcher.fetch(&repository.url(), None).await.expect_err("hostile");
        assert_eq!((error.code, error.permanent), ("repository_forbidden", true), "{name:?}: {error}");
        assert!(fetcher.beside().is_empty());
    }
}

#[tokio::test]
async fn a_link_and_a_directory_of_one_name_write_nothing_outside() {
    let outside = tempfile::tempdir().expect("a directory");
    let repository = Repository::empty();
    let target = repository.blob(outside.path().as_os_str().as_encoded_bytes());
    let inside = repository.git_tree(&entry("100644", b"canary", &repository.blob(b"x")));
    let both = [entry("120000", b"a", &target), entry("40000", b"a", &inside)].concat();
    repository.commit_tree(&both);
    let fetcher = Fetcher::new();
    let error = fetcher.fetch(&repository.url(), None).await.expect_err("hostile");
    assert_eq!(error.code, "repository_forbidden");
    assert!(!outside.path().join("canary").exists());
}

#[tokio::test]
async fn links_that_lead_out_are_removed_and_the_others_stay() {
    let repository = Repository::empty();
    let link = |target: &str| repository.blob(target.as_bytes());
    let tree = [
        entry("120000", b"absolute", &link("/etc/passwd")),
        entry("120000", b"chain", &link("up")),
        entry("120000", b"dangling", &link("not/there")),
        entry("100644", b"file", &repository.blob(b"x")),
        entry("120000", b"inside", &link("file")),
        entry("120000", b"up", &link("../../../etc")),
        entry("120000", b"\xff\xfe", &link("/etc/shadow")),
    ];
    repository.commit_tree(&tree.concat());
    let fetcher = Fetcher::new();
    fetcher.fetch(&repository.url(), None).await.expect("fetched");
    assert_eq!(fetcher.files(), ["dangling->not/there", "file=x", "inside->file"]);
    fetcher.platform.wait_for("removed links that lead out of the repository: absolute, chain, up, ").await;
}

#[tokio::test]
async fn names_are_names_whatever_is_in_them() {
    let canary = Canary::new();
    let touch = canary.touch().replace('/', ":");
    let names =
        [format!("$({touch})"), format!(";{touch}"), "-rf".into(), "--upload-pack=x".into(), "a\nb".into()];
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let repository = Repository::with(&files);
    let revision = repository.git(&["rev-parse", "HEAD"]);
    for branch in ["refs/heads/-x", "refs/heads/--upload-pack=touch", "refs/heads/$(id)", "refs/heads/HEAD"] {
        repository.git(&["update-ref", branch, &revision]);
    }
    let fetcher = Fetcher::new();
    fetcher.fetch(&repository.url(), Some(&revision[..8])).await.expect("fetched");
    let mut expected: Vec<_> = names.iter().map(|name| format!("{name}=x")).collect();
    expected.sort();
    assert_eq!(fetcher.files(), expected);
    let error = fetcher.fetch(&repository.url(), Some("nope")).await.expect_err("missing");
    assert!(error.message.contains("$(id)"), "{error}");
}

#[tokio::test]
async fn a_small_repository_with_enormous_files_is_refused() {
    let repository = Repository::empty();
    fs::write(repository.path().join("zeros"), vec![0; 64 << 20]).expect("written");
    repository.commit(&[], "zeros");
    let fetcher = Fetcher::with(|settings| settings.files.bytes = 32 << 20);
    let error = fetcher.fetch(&repository.url(), None).await.expect_err("a bomb");
    assert_eq!(error.code, "repository_too_large");
    assert!(error.message.contains("more than 32 MiB"), "{error}");
    assert!(fetcher.beside().is_empty());
}

#[tokio::test]
async fn alternates_of_a_repository_reach_nothing_that_it_does_not_name() {
    let secret = Repository::with(&[("secret", "x")]);
    let repository = Repository::with(&[("a", "1")]);
    let alternates = repository.path().join(".git/objects/info/alternates");
    fs::create_dir_all(alternates.parent().expect("below")).expect("made");
    fs::write(alternates, secret.path().join(".git/objects").as_os_str().as_encoded_bytes())
        .expect("written");
    let fetcher = Fetcher::new();
    fetcher.fetch(&repository.url(), None).await.expect("fetched");
    assert_eq!(fetcher.files(), ["a=1"]);
}

#[tokio::test]
async fn files_of_lfs_are_left_as_pointers_and_that_is_said() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1";
    let repository = Repository::with(&[("b.bin", pointer)]);
    // Set after the file was added, or git here would want its own LFS.
    repository.commit(&[(".gitattributes", "*.bin filter=lfs diff=lfs\n")], "lfs");
    let fetcher = Fetcher::new();
    fetcher.fetch(&repository.url(), None).await.expect("fetched");
    assert_eq!(fetcher.files()[1], format!("b.bin={pointer}"));
    fetcher.platform.wait_for("files in Git LFS are left").await;
}
