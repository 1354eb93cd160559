//! `switchback.toml` in the repository of a service: what its author says about building and running it.
//!
//! Unknown keys and wrong types are errors that name the line. What is not said is detected or has a default.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::command_line::CommandLine;
use crate::name::{ServiceName, VariableName};
use crate::rejection::{Kind, Rejection};

/// The file's name.
pub const FILE_NAME: &str = "switchback.toml";
/// How large it may be, in bytes.
pub const MAX_SIZE: usize = 64 * 1024;
/// How many instances a service may have.
pub const MAX_REPLICAS: u16 = 100;
/// How much memory an instance may be given, in bytes: 1024 Gi.
pub const MAX_MEMORY: u64 = 1 << 40;

/// How long the value of an argument of a Dockerfile may be, in bytes.
pub const MAX_ARGUMENT: usize = 4096;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// Which service it is about.
    pub service: Service,
    /// How it is built.
    pub build: Build,
    /// How it runs.
    pub run: Run,
    /// Where the command line finds the project, when it is run in this directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Likewise the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
}

/// `[service]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a section, [service]")]
pub struct Service {
    /// Its name.
    pub name: Option<ServiceName>,
    /// Its directory within the repository.
    #[serde(deserialize_with = "directory")]
    pub root: Option<String>,
}

/// `[build]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a section, [build]")]
pub struct Build {
    /// A Dockerfile, relative to the root.
    #[serde(deserialize_with = "file")]
    pub dockerfile: Option<String>,
    /// The stage of it that is built.
    #[serde(deserialize_with = "stage")]
    pub target: Option<String>,
    /// Values of its `ARG`s.
    #[serde(deserialize_with = "arguments")]
    pub arguments: BTreeMap<String, String>,
    /// Variables of the service that its `RUN` lines may mount as secrets.
    pub secrets: Vec<VariableName>,
    /// Fetches dependencies, in place of what was detected.
    pub install: Option<CommandLine>,
    /// Builds, in place of what was detected.
    pub build: Option<CommandLine>,
}

/// `[run]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "a section, [run]")]
pub struct Run {
    /// Starts the service, in place of what was detected.
    pub command: Option<CommandLine>,
    /// The port that it listens on.
    #[serde(deserialize_with = "port")]
    pub port: Option<u16>,
    /// Runs once before traffic moves.
    pub release: Option<CommandLine>,
    /// How it is found out whether it works.
    pub health: Option<Health>,
    /// How many instances.
    #[serde(deserialize_with = "replicas")]
    pub replicas: Option<u16>,
    /// Memory of one instance, such as `256Mi`.
    #[serde(deserialize_with = "memory")]
    #[schemars(with = "Option<String>")]
    pub memory: Option<u64>,
    /// Processor of one instance, in cores, such as `0.5`; kept in thousandths.
    #[serde(deserialize_with = "cpu")]
    #[schemars(with = "Option<f64>")]
    pub cpu: Option<u32>,
    /// Whether its files may not be written, but for `/tmp`.
    pub read_only: Option<bool>,
    /// How long what is in flight has to end, such as `10s`; kept in milliseconds.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    pub drain: Option<u64>,
}

/// `health = { path = "/healthz", timeout = "60s" }`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table such as { path = \"/healthz\", timeout = \"60s\" }"
)]
pub struct Health {
    /// The path to ask.
    #[serde(deserialize_with = "url_path")]
    pub path: Option<String>,
    /// How long a new instance has, such as `60s`; kept in milliseconds.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<u64>,
}

/// A file that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// Too large.
    #[error("{FILE_NAME} has more than {MAX_SIZE} bytes")]
    TooLarge,
    /// Not TOML, an unknown key, or a wrong type.
    #[error("{FILE_NAME}, line {line}: {message}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

impl Rejection for InvalidManifest {
    fn code(&self) -> &'static str {
        "manifest_invalid"
    }

    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn field(&self) -> Option<&'static str> {
        Some(FILE_NAME)
    }
}

impl Manifest {
    /// Reads the file.
    ///
    /// # Errors
    /// [`InvalidManifest`] with the line.
    pub fn parse(text: &str) -> Result<Self, InvalidManifest> {
        if text.len() > MAX_SIZE {
            return Err(InvalidManifest::TooLarge);
        }
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
            InvalidManifest::Line { line, message: error.message().replace('\n', " ") }
        })
    }
}

/// A path within the repository, without `.` and without a slash too many; empty for the repository itself.
fn within_repository<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let bad = |part: &&str| *part == ".." || part.contains('\\') || part.chars().any(char::is_control);
    let is_option = parts.first().is_some_and(|first| first.starts_with('-'));
    if path.is_empty() || path.starts_with('/') || is_option || parts.iter().any(bad) || path.len() > 500 {
        return Err(de::Error::custom(format!(
            "`{path}` is not a path within the repository, such as \"apps/web\""
        )));
    }
    Ok(parts.join("/"))
}

fn directory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(within_repository(deserializer)?).filter(|path| !path.is_empty()))
}

fn file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match within_repository(deserializer)? {
        path if path.is_empty() => Err(de::Error::custom("the repository itself is not a file")),
        path => Ok(Some(path)),
    }
}

/// As Docker writes the names of stages.
fn stage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with('-') || !name.chars().all(plain) {
        return Err(de::Error::custom(format!(
            "`{name}` is not the name of a stage, such as \"production\""
        )));
    }
    Ok(Some(name))
}

/// What begins with `BUILDKIT_` would tell the builder itself what to do.
fn arguments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let arguments: BTreeMap<String, String> = BTreeMap::deserialize(deserializer)?;
    for (name, value) in &arguments {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts || !name.chars().all(plain) || name.len() > 100 {
            return Err(de::Error::custom(format!(
                "`{name}` is not the name of an ARG, such as NODE_VERSION"
            )));
        }
        if name.to_ascii_uppercase().starts_with("BUILDKIT_") {
            return Err(de::Error::custom(format!("`{name}` is for the builder itself and cannot be set")));
        }
        if value.len() > MAX_ARGUMENT || value.chars().any(char::is_control) {
            let message = format!("the value of `{name}` has more than {MAX_ARGUMENT} bytes or a line break");
            return Err(de::Error::custom(message));
        }
    }
    Ok(arguments)
}

fn url_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let path = String::deserialize(deserializer)?;
    if !path.starts_with('/') || path.len() > 500 || !path.chars().all(|c| c.is_ascii_graphic()) {
        return Err(de::Error::custom(format!("`{path}` is not a path of a URL, such as \"/healthz\"")));
    }
    Ok(Some(path))
}

fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let port = i64::deserialize(deserializer)?;
    u16::try_from(port)
        .ok()
        .filter(|port| *port > 0)
        .map(Some)
        .ok_or_else(|| de::Error::custom(format!("`{port}` is not a port; it is a number from 1 to 65535")))
}

fn replicas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let replicas = i64::deserialize(deserializer)?;
    u16::try_from(replicas)
        .ok()
        .filter(|n| (1..=MAX_REPLICAS).contains(n))
        .map(Some)
        .ok_or_else(|| de::Error::custom(format!("`{replicas}` is not from 1 to {MAX_REPLICAS}")))
}

fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_memory(&text).map(Some).ok_or_else(|| {
        de::Error::custom(format!(
            "`{text}` is not an amount of memory from 1Mi to 1024Gi, such as \"256Mi\" or \"1Gi\""
        ))
    })
}

fn parse_memory(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match &text[digits..] {
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| (1 << 20..=MAX_MEMORY).contains(bytes))
}

fn cpu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let cores = f64::deserialize(deserializer)?;
    if !(0.01..=256.0).contains(&cores) {
        return Err(de::Error::custom(format!("`{cores}` is not a number of cores from 0.01 to 256")));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0.01 to 256 cores fit")]
    let millis = (cores * 1000.0).round() as u32;
    Ok(Some(millis))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration_ms(&text).map(Some).ok_or_else(|| {
        de::Error::custom(format!(
            "`{text}` is not a time from 0s to 1h, such as \"500ms\", \"10s\" or \"5m\""
        ))
    })
}

fn parse_duration_ms(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|ms| *ms <= 3_600_000)
}

#[cfg(test)]
mod tests;
