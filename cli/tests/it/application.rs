//! Small applications that tests deploy, and repositories of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::platform::Platform;

/// A web server in Python that says `text` and some of its environment at `/`, and does what its path says.
const SERVER: &str = r#"
import os, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(1.5)
        if self.path == "/exit":
            os._exit(7)
        if self.path == "/environment":
            body = "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items()))
        else:
            body = "TEXT " + os.environ.get("SWITCHBACK_RELEASE", "") + " " + os.environ.get("GREETING", "-")
        print("asked for", self.path, flush=True)
        body = body.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass

print("listening on", os.environ["PORT"], flush=True)
ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), App).serve_forever()
"#;

/// An application in a directory of the test.
pub(crate) struct Application {
    pub(crate) path: PathBuf,
}

impl Application {
    /// An empty one.
    pub(crate) fn empty(platform: &Platform, name: &str) -> Self {
        let path = platform.path(name);
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    /// One that serves a page saying `text`.
    pub(crate) fn saying(platform: &Platform, text: &str) -> Self {
        let application = Self::empty(platform, "app");
        application.say(text);
        application.write("Procfile", "web: python3 app.py\n");
        application
    }

    /// Changes what it says.
    pub(crate) fn say(&self, text: &str) {
        self.write("app.py", &SERVER.replace("TEXT", text));
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a commit of everything in it; its full name.
    pub(crate) fn commit(&self, subject: &str) -> String {
        if !self.path.join(".git").exists() {
            git(&self.path, &["init", "--quiet", "--initial-branch=main"]);
        }
        git(&self.path, &["add", "--all"]);
        git(&self.path, &["commit", "--quiet", "--allow-empty", "-m", subject]);
        git(&self.path, &["rev-parse", "HEAD"])
    }

    /// Its address for git.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }
}

/// Runs git, with nothing of the user's own settings.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
