//! Somebody at a command line: a home, a directory, and the binary; nothing of the machine's own settings.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::fake::Fake;

/// A person.
pub(crate) struct Person {
    home: TempDir,
    server: Option<String>,
}

/// What a command said and ended with.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The document on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The documents on standard output, one a line.
    pub(crate) fn records(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.out.lines().map(parse).collect()
    }

    /// Ended well.
    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Ended with a code.
    pub(crate) fn failed(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Person {
    /// Signed in to a server, in the directory `shop`.
    pub(crate) fn at(fake: &Fake) -> Self {
        Self { server: Some(fake.url.clone()), ..Self::signed_out() }
    }

    /// Signed in to nothing.
    pub(crate) fn signed_out() -> Self {
        let home = tempfile::Builder::new().prefix("sb-client-").tempdir().unwrap();
        fs::create_dir_all(home.path().join("shop")).unwrap();
        Self { home, server: None }
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> PathBuf {
        self.home.path().join("shop")
    }

    /// Where their credentials are.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.home.path().join("config/switchback/credentials.json")
    }

    /// Writes a file where they are.
    pub(crate) fn writes(&self, name: &str, text: &str) -> &Self {
        let path = self.directory().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A command, to be run.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchback"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(words).current_dir(self.directory()).env_clear().env("PATH", path);
        command.env("HOME", self.home.path()).env("XDG_CONFIG_HOME", self.home.path().join("config"));
        command.env("COLUMNS", "100").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_CEILING_DIRECTORIES", self.home.path());
        if let Some(server) = &self.server {
            command.env("SWITCHBACK_URL", server).env("SWITCHBACK_TOKEN", "sbk_test");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command.
    pub(crate) fn runs(&self, words: &[&str]) -> Said {
        self.command(words).output().expect("the binary runs").into()
    }

    /// Runs a command with something on standard input.
    pub(crate) fn pipes(&self, input: &str, words: &[&str]) -> Said {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends").into()
    }

    /// Starts a command that waits for its standard input.
    pub(crate) fn starts(&self, words: &[&str]) -> Child {
        self.command(words).stdin(Stdio::piped()).spawn().expect("the binary runs")
    }

    /// Runs git where they are, or below.
    pub(crate) fn git(&self, below: &str, words: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args([
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.com",
            "-c",
            "init.defaultBranch=main",
        ]);
        git.args(words).current_dir(self.directory().join(below)).env("HOME", self.home.path());
        let output = git.env("GIT_CONFIG_NOSYSTEM", "1").output().expect("git runs");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Makes where they are a repository with everything committed.
    pub(crate) fn commits(&self, message: &str) -> String {
        if !self.directory().join(".git").exists() {
            self.git(".", &["init", "--quiet"]);
        }
        self.git(".", &["add", "--all"]);
        self.git(".", &["commit", "--quiet", "--message", message]);
        self.git(".", &["rev-parse", "HEAD"])
    }
}

/// What is in a packed source: names, and the text of files, the target of links.
pub(crate) fn unpacked(archive: &[u8]) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let entries = archive.entries().expect("a tar archive");
    let mut found: Vec<(String, String)> = entries
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| {
            !entry.header().entry_type().is_dir() && !entry.header().entry_type().is_pax_global_extensions()
        })
        .map(|mut entry| {
            let path = entry.path().expect("a path").display().to_string();
            let link = entry.link_name().expect("a link").map(|target| format!("-> {}", target.display()));
            let mode = entry.header().mode().expect("a mode") & 0o111;
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
            let text = link.unwrap_or(text);
            (path, if mode != 0 && !text.starts_with("-> ") { format!("{text} (executable)") } else { text })
        })
        .collect();
    found.sort();
    found
}

/// Whether a file is there and only its owner reads it.
pub(crate) fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
}
