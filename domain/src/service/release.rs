//! A release: everything that ran, fixed, under a number that is never used again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::hostname::Hostname;
use crate::id::DeploymentId;
use crate::name::VariableName;
use crate::plan::Plan;
use crate::secret::Sealed;
use crate::source::{Revision, Source};

/// The number of a release of one service in one environment: v1, v2, …
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ReleaseNumber(pub u32);

impl ReleaseNumber {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}", self.0))
    }
}

/// A text that is no release's number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a release; it is written v1, v2, …")]
pub struct InvalidReleaseNumber(pub String);

impl FromStr for ReleaseNumber {
    type Err = InvalidReleaseNumber;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        let number = digits.parse().ok().filter(|n| *n > 0 && digits.bytes().all(|b| b.is_ascii_digit()));
        number.map(Self).ok_or_else(|| InvalidReleaseNumber(text.chars().take(40).collect()))
    }
}

/// What was built, from what, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// What came out: an artifact or an image, by its digest.
    pub artifact: Digest,
    /// Where its files came from.
    pub source: Source,
    /// The revision of them, when they came out of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// How it was built and how it is run.
    pub plan: Plan,
}

/// Everything that a release fixes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Specification {
    /// What runs.
    pub build: Build,
    /// The variables it runs with, sealed.
    pub variables: BTreeMap<VariableName, Sealed>,
    /// The names it answers to.
    pub hostnames: BTreeSet<Hostname>,
    /// How many instances.
    pub replicas: u16,
}

/// One running copy of a release: the n-th of the deployment that started it. Everything it leaves in the
/// world (processes, containers, directories) carries this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct InstanceId {
    /// The deployment that started it.
    pub deployment: DeploymentId,
    /// Which of its copies, from 0.
    pub ordinal: u16,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.deployment, self.ordinal)
    }
}

/// A text that names no instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an instance; it is written <deployment>.<number>")]
pub struct InvalidInstanceId(pub String);

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidInstanceId(text.chars().take(80).collect());
        let (deployment, ordinal) = text.split_once('.').ok_or_else(invalid)?;
        Ok(Self {
            deployment: deployment.parse().map_err(|_| invalid())?,
            ordinal: ordinal.parse().map_err(|_| invalid())?,
        })
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidInstanceId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.to_string()
    }
}

/// An instance and where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Which one.
    pub id: InstanceId,
    /// Where its port is reached by the edge.
    #[schemars(with = "String")]
    pub address: SocketAddr,
}

/// How a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStatus {
    /// Fixed, and not running yet.
    Cut,
    /// Has the traffic.
    Live,
    /// Had it, and can have it again.
    Retired,
    /// Never had it.
    Failed,
}

/// What is remembered of each release; the rest is found by replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseSummary {
    /// The deployment that cut it.
    pub deployment: DeploymentId,
    /// How it stands.
    pub status: ReleaseStatus,
}

/// One thing that is different between two releases. A variable's value is never part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Difference {
    /// What runs.
    Artifact {
        /// Before.
        from: Digest,
        /// After.
        to: Digest,
    },
    /// The revision it was built from.
    Revision {
        /// Before.
        from: Option<Revision>,
        /// After.
        to: Option<Revision>,
    },
    /// A setting of how it is run, by its name in `switchback.toml`.
    Setting {
        /// Its name.
        name: String,
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// A variable that was not there.
    VariableAdded {
        /// Its name.
        name: VariableName,
    },
    /// A variable with another value.
    VariableChanged {
        /// Its name.
        name: VariableName,
    },
    /// A variable that is not there any more.
    VariableRemoved {
        /// Its name.
        name: VariableName,
    },
    /// A name it did not answer to.
    HostnameAdded {
        /// The name.
        hostname: Hostname,
    },
    /// A name it does not answer to any more.
    HostnameRemoved {
        /// The name.
        hostname: Hostname,
    },
    /// How many instances.
    Replicas {
        /// Before.
        from: u16,
        /// After.
        to: u16,
    },
}

impl Specification {
    /// What changes when `self` is replaced by `to`, in the order in which a person would ask.
    #[must_use]
    pub fn difference(&self, to: &Self) -> Vec<Difference> {
        let mut differences = vec![];
        let (a, b) = (&self.build, &to.build);
        if a.revision != b.revision {
            differences.push(Difference::Revision { from: a.revision.clone(), to: b.revision.clone() });
        }
        if a.artifact != b.artifact {
            differences.push(Difference::Artifact { from: a.artifact.clone(), to: b.artifact.clone() });
        }
        differences.extend(settings(&a.plan, &b.plan));
        differences.extend(variables(&self.variables, &to.variables));
        let removed = self.hostnames.difference(&to.hostnames);
        let added = to.hostnames.difference(&self.hostnames);
        differences.extend(added.map(|name| Difference::HostnameAdded { hostname: name.clone() }));
        differences.extend(removed.map(|name| Difference::HostnameRemoved { hostname: name.clone() }));
        if self.replicas != to.replicas {
            differences.push(Difference::Replicas { from: self.replicas, to: to.replicas });
        }
        differences
    }
}

/// The variables that differ, by name.
#[must_use]
pub fn variables(
    from: &BTreeMap<VariableName, Sealed>,
    to: &BTreeMap<VariableName, Sealed>,
) -> Vec<Difference> {
    let names: BTreeSet<&VariableName> = from.keys().chain(to.keys()).collect();
    let change = |name: &VariableName| match (from.get(name), to.get(name)) {
        (None, Some(_)) => Some(Difference::VariableAdded { name: name.clone() }),
        (Some(_), None) => Some(Difference::VariableRemoved { name: name.clone() }),
        (Some(a), Some(b)) if !a.same_value(b) => Some(Difference::VariableChanged { name: name.clone() }),
        (Some(_) | None, _) => None,
    };
    names.into_iter().filter_map(change).collect()
}

fn settings(from: &Plan, to: &Plan) -> Vec<Difference> {
    let lines = |commands: &[crate::command_line::CommandLine]| {
        commands.iter().map(ToString::to_string).collect::<Vec<_>>().join(" && ")
    };
    let text = |plan: &Plan| {
        let run = &plan.run;
        let none = || "none".to_owned();
        [
            ("install", lines(&plan.install)),
            ("build", lines(&plan.build)),
            ("command", run.start.to_string()),
            ("release", run.release.as_ref().map_or_else(none, ToString::to_string)),
            ("port", run.port.map_or_else(|| "$PORT".to_owned(), |port| port.to_string())),
            ("health", run.health.path.clone().unwrap_or_else(|| "port".to_owned())),
            ("health timeout", format!("{} ms", run.health.timeout_ms)),
            ("memory", run.memory_bytes.map_or_else(none, |bytes| format!("{} Mi", bytes >> 20))),
            ("cpu", run.cpu_millis.map_or_else(none, |millis| format!("{millis} m"))),
            ("drain", format!("{} ms", run.drain_ms)),
        ]
    };
    let pairs = text(from).into_iter().zip(text(to));
    pairs
        .filter(|((_, a), (_, b))| a != b)
        .map(|((name, from), (_, to))| Difference::Setting { name: name.to_owned(), from, to })
        .collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = |revision: &Option<Revision>| match revision {
            Some(revision) => format!("{} {}", revision.id.short(), revision.subject),
            None => "no revision".to_owned(),
        };
        match self {
            Self::Artifact { from, to } => write!(f, "image {} -> {}", from.short(), to.short()),
            Self::Revision { from, to } => write!(f, "revision {} -> {}", revision(from), revision(to)),
            Self::Setting { name, from, to } => write!(f, "{name} {from} -> {to}"),
            Self::VariableAdded { name } => write!(f, "variable {name} added"),
            Self::VariableChanged { name } => write!(f, "variable {name} changed"),
            Self::VariableRemoved { name } => write!(f, "variable {name} removed"),
            Self::HostnameAdded { hostname } => write!(f, "hostname {hostname} added"),
            Self::HostnameRemoved { hostname } => write!(f, "hostname {hostname} removed"),
            Self::Replicas { from, to } => write!(f, "replicas {from} -> {to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_written_with_a_v_and_read_with_or_without() {
        assert_eq!(ReleaseNumber(7).to_string(), "v7");
        assert_eq!("v7".parse(), Ok(ReleaseNumber(7)));
        assert_eq!("7".parse(), Ok(ReleaseNumber(7)));
        for text in ["", "v", "v0", "0", "-1", "v+1", "w1", "v99999999999"] {
            assert!(text.parse::<ReleaseNumber>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_instance_reads_back() {
        let id = InstanceId { deployment: DeploymentId(uuid::Uuid::from_u128(3)), ordinal: 2 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("x".parse::<InstanceId>().is_err());
    }
}
