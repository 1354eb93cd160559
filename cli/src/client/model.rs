//! The API's resources, as far as the command line looks into them. With `--json` they are printed as they
//! came.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    /// It waits for its turn.
    Pending,
    /// It waits for somebody's consent.
    AwaitingApproval,
    /// It is being built.
    Building,
    /// It is being started.
    Deploying,
    /// It is live, or was.
    Success,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// A newer one took its place before it began.
    Superseded,
    /// What a newer server may say.
    #[serde(other)]
    Unknown,
}

impl Status {
    /// Whether nothing more will happen to it.
    pub(crate) fn is_over(self) -> bool {
        match self {
            Self::Success | Self::Failed | Self::Cancelled | Self::Superseded => true,
            Self::Pending | Self::AwaitingApproval | Self::Building | Self::Deploying | Self::Unknown => {
                false
            }
        }
    }

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::AwaitingApproval => "AWAITING_APPROVAL",
            Self::Building => "BUILDING",
            Self::Deploying => "DEPLOYING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Superseded => "SUPERSEDED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A revision of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revision {
    /// Its full name.
    pub(crate) id: String,
    /// The first line of its message.
    #[serde(default)]
    pub(crate) subject: String,
}

impl Revision {
    /// As people quote it.
    pub(crate) fn short(&self) -> String {
        format!("{} {}", self.id.get(..7).unwrap_or(&self.id), self.subject)
    }
}

/// Why a deployment did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeploymentFailure {
    /// In which step.
    pub(crate) step: Option<String>,
    /// The word for programs.
    pub(crate) code: Option<String>,
    /// What happened.
    pub(crate) message: String,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) trigger: Option<String>,
    pub(crate) revision: Option<Revision>,
    pub(crate) release: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) failure: Option<DeploymentFailure>,
    pub(crate) waits_for: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) duration_ms: Option<u64>,
}

impl Deployment {
    /// How long it took.
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.duration_ms.map(Duration::from_millis)
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) origin: String,
    pub(crate) text: String,
}

/// A project.
#[derive(Debug, Deserialize)]
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    #[serde(default)]
    pub(crate) environments: Vec<Environment>,
    /// How many, or which: only the number is shown.
    #[serde(default)]
    pub(crate) services: Value,
    pub(crate) created_at: DateTime<Utc>,
}

/// An environment.
#[derive(Debug, Deserialize)]
pub(crate) struct Environment {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// A service.
#[derive(Debug, Deserialize)]
pub(crate) struct Service {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) project: String,
    pub(crate) environment: String,
    pub(crate) url: Option<String>,
    pub(crate) status: String,
    pub(crate) release: Option<String>,
    pub(crate) deployment: Option<String>,
    pub(crate) replicas: Value,
    pub(crate) created_at: DateTime<Utc>,
}

/// A token, without what it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(alias = "issued_at")]
    pub(crate) created_at: DateTime<Utc>,
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    #[serde(default)]
    pub(crate) deployed: bool,
}

/// A release.
#[derive(Debug, Deserialize)]
pub(crate) struct Release {
    pub(crate) number: String,
    pub(crate) status: String,
    pub(crate) deployment: Option<String>,
    pub(crate) revision: Option<Revision>,
    pub(crate) image: Option<String>,
    pub(crate) trigger: Option<String>,
    pub(crate) rollback_of: Option<String>,
    #[serde(default, alias = "who")]
    pub(crate) created_by: Value,
    pub(crate) created_at: DateTime<Utc>,
    #[serde(alias = "live_at")]
    pub(crate) activated_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub(crate) variables: Vec<String>,
    pub(crate) replicas: Option<u32>,
    #[serde(default)]
    pub(crate) hostnames: Vec<String>,
    #[serde(default)]
    pub(crate) changes: Vec<Change>,
}

/// What is different.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Change {
    /// In words.
    pub(crate) text: String,
}

/// What a rollback would do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Plan {
    pub(crate) from: Option<String>,
    pub(crate) to: String,
    #[serde(default)]
    pub(crate) changes: Vec<Change>,
    #[serde(default)]
    pub(crate) discarded: Vec<String>,
}

/// One entry of the history.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) actor: Actor,
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    #[serde(default)]
    pub(crate) summary: String,
}

/// Who did it.
#[derive(Debug, Deserialize)]
pub(crate) struct Actor {
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
}

/// A person or thing that is only shown: its name, or what there is of it.
pub(crate) fn name_of(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        Value::Object(fields) => {
            let name = ["name", "kind", "id"].iter().find_map(|key| fields.get(*key)?.as_str());
            name.unwrap_or_default().to_owned()
        }
        Value::Number(number) => number.to_string(),
        Value::Array(items) => items.len().to_string(),
        Value::Null | Value::Bool(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_of_a_newer_server_is_unknown_and_not_over() {
        let status: Status = serde_json::from_value(json!("HIBERNATING")).expect("any word");
        assert_eq!(status, Status::Unknown);
        assert!(!status.is_over());
    }

    #[test]
    fn a_status_is_written_as_it_is_read() {
        for status in [Status::Pending, Status::AwaitingApproval, Status::Success, Status::Superseded] {
            assert_eq!(serde_json::to_value(status).expect("a word"), json!(status.as_str()));
        }
    }
}
