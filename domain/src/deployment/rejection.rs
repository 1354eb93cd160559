//! A deployment's refusals, as an interface passes them on.

use super::Rejection;
use crate::rejection::{self, Kind};

impl rejection::Rejection for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "deployment_not_found",
            Self::AlreadyBegun => "deployment_begun",
            Self::Over => "deployment_over",
            Self::WentLive => "deployment_went_live",
            Self::Fenced { .. } => "deployment_fenced",
            Self::NotNow(_) => "deployment_not_now",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NotFound => Kind::NotFound,
            Self::AlreadyBegun | Self::Over | Self::WentLive | Self::Fenced { .. } | Self::NotNow(_) => {
                Kind::Conflict
            }
        }
    }
}
