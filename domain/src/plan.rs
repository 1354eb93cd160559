//! What is to be done with the files of a revision: how they are installed, built and started.
//!
//! Found by looking at the files, or said in `switchback.toml`; recorded in an event before anything of it is
//! done.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command_line::CommandLine;
use crate::name::VariableName;

/// What the application is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// JavaScript or TypeScript on Node.js.
    Node,
    /// Python.
    Python,
    /// Go.
    Go,
    /// Rust.
    Rust,
    /// Java, built by Maven.
    Java,
    /// Files that are served as they are.
    Static,
    /// Whatever a Dockerfile says.
    Dockerfile,
    /// Whatever is in an image that was built elsewhere.
    Image,
    /// Only known by its commands: a Procfile or `switchback.toml`.
    Other,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Node => "Node.js",
            Self::Python => "Python",
            Self::Go => "Go",
            Self::Rust => "Rust",
            Self::Java => "Java",
            Self::Static => "static site",
            Self::Dockerfile => "Dockerfile",
            Self::Image => "image",
            Self::Other => "other",
        })
    }
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// A program of the application's own.
    Command(CommandLine),
    /// The platform serves the files of a directory, given relative to the root of the service.
    Static {
        /// The directory; `.` for the root itself.
        directory: String,
    },
    /// What the image itself says.
    Image {},
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => command.fmt(f),
            Self::Static { directory } => write!(f, "serve the files of {directory}"),
            Self::Image {} => f.write_str("what the image says"),
        }
    }
}

/// How it is found out whether an instance works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// A path that must answer with a status from 200 to 399; without one it is enough that the port accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long a new instance has until it is healthy, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for Health {
    fn default() -> Self {
        Self { path: None, timeout_ms: 60_000 }
    }
}

/// What a running instance is given and allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// What runs.
    pub start: Start,
    /// What runs once before traffic moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<CommandLine>,
    /// The port it listens on, when it does not take the one in `PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How it is found out whether it works.
    #[serde(default)]
    pub health: Health,
    /// How many instances, unless the service was scaled by command.
    #[serde(default = "one")]
    pub replicas: u16,
    /// Memory limit of one instance, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processor limit of one instance, in thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    /// Whether its files may not be written, but for `/tmp` and what is mounted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// How long requests in flight, streams and WebSockets have to end when it is replaced, in milliseconds.
    #[serde(default = "ten_seconds")]
    pub drain_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

const fn one() -> u16 {
    1
}

const fn ten_seconds() -> u64 {
    10_000
}

impl Run {
    /// With everything that was not said at its default.
    #[must_use]
    pub fn new(start: Start) -> Self {
        Self {
            start,
            release: None,
            port: None,
            health: Health::default(),
            replicas: one(),
            memory_bytes: None,
            cpu_millis: None,
            read_only: false,
            drain_ms: ten_seconds(),
        }
    }
}

/// How an image is built by a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dockerfile {
    /// Where it is, relative to the root of the service.
    pub path: String,
    /// The stage that is built; the last one when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Values of its `ARG`s.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
    /// Variables of the service that its `RUN` lines may mount as secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<VariableName>,
}

/// The whole plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// What the application is written in.
    pub language: Language,
    /// What that was seen by, for the person who reads it: `package.json, package-lock.json`.
    pub detected_by: String,
    /// The directory of the service within the repository; empty for its root.
    #[serde(default)]
    pub root: String,
    /// The Dockerfile that it is built by, when it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<Dockerfile>,
    /// Commands that fetch dependencies.
    pub install: Vec<CommandLine>,
    /// Commands that build.
    pub build: Vec<CommandLine>,
    /// What runs, and how.
    pub run: Run,
}
