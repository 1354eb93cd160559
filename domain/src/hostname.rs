//! A name on the internet, or under `localhost`, that a service answers to.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{EnvironmentName, ProjectName, ServiceName};

/// A hostname in small letters, without a port and without a dot at the end (RFC 1123 labels).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Hostname(String);

/// A text that is no hostname.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a hostname; it has labels of 1 to 63 small letters, digits and `-`, parted by dots, \
     253 characters at most"
)]
pub struct InvalidHostname(pub String);

/// The environment whose name is left out of hostnames.
pub const MAIN_ENVIRONMENT: &str = "production";

impl Hostname {
    /// The name that a service has from the beginning: `web.shop.localhost`, or `web.staging.shop.localhost`
    /// in an environment other than production. Unambiguous, because no part can contain a dot.
    #[must_use]
    pub fn of_service(
        service: &ServiceName,
        environment: &EnvironmentName,
        project: &ProjectName,
        suffix: &str,
    ) -> Self {
        let slug = project.slug();
        if environment.as_str() == MAIN_ENVIRONMENT {
            Self(format!("{service}.{slug}.{suffix}"))
        } else {
            Self(format!("{service}.{environment}.{slug}.{suffix}"))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Hostname {
    type Err = InvalidHostname;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidHostname(text.chars().take(260).collect()))
        }
    }
}

impl TryFrom<String> for Hostname {
    type Error = InvalidHostname;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Hostname> for String {
    fn from(hostname: Hostname) -> Self {
        hostname.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_left_out_of_a_hostname() {
        let name = |environment: &str| {
            Hostname::of_service(
                &"web".parse().expect("valid"),
                &environment.parse().expect("valid"),
                &"My_Shop".parse().expect("valid"),
                "localhost",
            )
            .to_string()
        };
        assert_eq!(name("production"), "web.my-shop.localhost");
        assert_eq!(name("staging"), "web.staging.my-shop.localhost");
    }

    #[test]
    fn what_is_no_hostname_is_refused() {
        for text in ["", ".", "a..b", "-a.b", "a-.b", "A.b", "a_b", "a b", &"a".repeat(64), &"a.".repeat(130)]
        {
            assert!(text.parse::<Hostname>().is_err(), "{text}");
        }
    }
}
