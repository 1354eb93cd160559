//! Repositories made by tests, also such as git itself would not make.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::files;

/// A repository with a work tree.
pub(crate) struct Repository {
    pub(crate) directory: TempDir,
}

impl Repository {
    /// An empty one, whose first branch will be `main`.
    pub(crate) fn empty() -> Self {
        let repository = Self { directory: tempfile::tempdir().expect("a directory") };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// One with a commit of these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let repository = Self::empty();
        repository.commit(files, "begin");
        repository
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Writes files and commits all there is; answers with the revision.
    pub(crate) fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        files::write(self.path(), files);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits a tree that is put together entry by entry, without git's own care; answers with the revision.
    pub(crate) fn commit_tree(&self, entries: &[u8]) -> String {
        let tree = self.git_tree(entries);
        let revision = self.git(&["commit-tree", &tree, "-m", "hostile"]);
        self.git(&["update-ref", "refs/heads/main", &revision]);
        revision
    }

    /// Stores a tree as it is; answers with its name.
    pub(crate) fn git_tree(&self, entries: &[u8]) -> String {
        self.git_with(&["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], entries)
    }

    /// Stores a blob; answers with its name.
    pub(crate) fn blob(&self, content: &[u8]) -> String {
        self.git_with(&["hash-object", "-w", "--stdin"], content)
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, b"")
    }

    fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("git");
        command.args([
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.com",
            "-c",
            "protocol.file.allow=always",
        ]);
        command.args(arguments).current_dir(self.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
            .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
            .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("git");
        child.stdin.take().expect("piped").write_all(input).expect("written");
        let ran = child.wait_with_output().expect("git ends");
        assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }
}

/// One entry of a tree, in git's own form.
pub(crate) fn entry(mode: &str, name: &[u8], id: &str) -> Vec<u8> {
    let mut entry = format!("{mode} ").into_bytes();
    entry.extend_from_slice(name);
    entry.push(0);
    entry.extend((0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).expect("digits")));
    entry
}
