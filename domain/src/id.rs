//! Identifiers: one type for each kind of thing, so that a project can never be passed where a service is
//! wanted.
//!
//! All are UUIDs (version 7 when they are made, so that they sort by age). They are never capabilities:
//! knowing one gives no right to anything.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

id!(
    /// An organisation: the tenant that everything else belongs to.
    OrganizationId
);
id!(
    /// A person (or the owner that the first start makes).
    UserId
);
id!(
    /// An API token of a user.
    TokenId
);
id!(
    /// A project: environments with services in them.
    ProjectId
);
id!(
    /// An environment of a project, such as production.
    EnvironmentId
);
id!(
    /// One service in one environment.
    ServiceId
);
id!(
    /// One attempt to make one revision of a service run.
    DeploymentId
);
id!(
    /// The command that a commit came from; the same command given twice has the same id.
    CommandId
);
id!(
    /// One commit: the events of one decision.
    CommitId
);
id!(
    /// One event.
    EventId
);
id!(
    /// What began a chain of commands and events; the same in all of them.
    CorrelationId
);

impl OrganizationId {
    /// The scope of what belongs to the installation and to no organisation: users, e-mail addresses,
    /// hostnames.
    pub const PLATFORM: Self = Self(Uuid::nil());
}
