//! A service's refusals, as an interface passes them on.

use super::Rejection;
use crate::rejection::{self, Kind};

impl rejection::Rejection for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "service_not_found",
            Self::AlreadyExists => "service_exists",
            Self::TooManyVariables(_) => "too_many_variables",
            Self::Replicas(_) => "replicas_invalid",
            Self::ReleaseNotFound { .. } => "release_not_found",
            Self::ReleaseNeverRan(_) => "release_never_ran",
            Self::ReleaseIsCurrent(_) => "release_is_current",
            Self::NothingDeployed => "nothing_deployed",
            Self::NotItsTurn(_) => "deployment_not_its_turn",
            Self::NothingBuilt(_) => "deployment_nothing_built",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NotFound | Self::ReleaseNotFound { .. } => Kind::NotFound,
            Self::TooManyVariables(_) | Self::Replicas(_) => Kind::Invalid,
            Self::AlreadyExists
            | Self::ReleaseNeverRan(_)
            | Self::ReleaseIsCurrent(_)
            | Self::NothingDeployed
            | Self::NotItsTurn(_)
            | Self::NothingBuilt(_) => Kind::Conflict,
        }
    }
}
