//! Names that people give: their rules, each said in the message of its error.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rejection::{Kind, Rejection};

/// Words that stand for something else in addresses and are never a project's name.
pub const RESERVED: [&str; 18] = [
    "admin",
    "api",
    "app",
    "auth",
    "dashboard",
    "ftp",
    "health",
    "imap",
    "localhost",
    "login",
    "mail",
    "metrics",
    "ns1",
    "ns2",
    "smtp",
    "status",
    "switchback",
    "www",
];

/// A name that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Too short or too long.
    #[error("{what} `{name}` has {found} characters; it must have {min} to {max}")]
    Length {
        /// What was to be named.
        what: &'static str,
        /// The name, cut to a length that can be shown.
        name: String,
        /// How long it is, in characters.
        found: usize,
        /// The least allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
    /// A character that is not allowed.
    #[error("{what} `{name}` contains {found:?}; allowed are {allowed}")]
    Character {
        /// What was to be named.
        what: &'static str,
        /// The name.
        name: String,
        /// The first character that is not allowed.
        found: char,
        /// What is.
        allowed: &'static str,
    },
    /// The first or last character is not allowed there.
    #[error("{what} `{name}` must begin with {first} and end with a letter or a digit")]
    Edge {
        /// What was to be named.
        what: &'static str,
        /// The name.
        name: String,
        /// What it may begin with.
        first: &'static str,
    },
    /// A word that stands for something else.
    #[error("{what} `{name}` is reserved; choose another, such as `{name}-1` or `my-{name}`")]
    Reserved {
        /// What was to be named.
        what: &'static str,
        /// The name.
        name: String,
    },
}

impl Rejection for InvalidName {
    fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } => "name_length",
            Self::Character { .. } | Self::Edge { .. } => "name_characters",
            Self::Reserved { .. } => "name_reserved",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn field(&self) -> Option<&'static str> {
        Some("name")
    }
}

fn length(what: &'static str, name: &str, min: usize, max: usize) -> Result<(), InvalidName> {
    let found = name.chars().count();
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(InvalidName::Length { what, name: name.chars().take(60).collect(), found, min, max })
}

fn characters(
    what: &'static str,
    name: &str,
    allowed: &'static str,
    is_allowed: impl Fn(char) -> bool,
) -> Result<(), InvalidName> {
    match name.chars().find(|c| !is_allowed(*c)) {
        Some(found) => Err(InvalidName::Character { what, name: name.to_owned(), found, allowed }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// As it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                $check(name)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(name: String) -> Result<Self, InvalidName> {
                name.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A project's name: 3 to 50 letters, digits, `-` and `_`, not reserved.
    ProjectName,
    check_project
);
name!(
    /// An environment's name: 1 to 30 small letters, digits and `-`; it stands in hostnames.
    EnvironmentName,
    |name| check_label("environment name", name, 30)
);
name!(
    /// A service's name: 1 to 40 small letters, digits and `-`; it stands in hostnames.
    ServiceName,
    |name| check_label("service name", name, 40)
);
name!(
    /// A variable's name: a capital letter or `_`, then those and digits, at most 100.
    VariableName,
    check_variable
);

fn check_project(name: &str) -> Result<(), InvalidName> {
    let what = "project name";
    length(what, name, 3, 50)?;
    characters(what, name, "letters, digits, `-` and `_`", |c| {
        c.is_ascii_alphanumeric() || c == '-' || c == '_'
    })?;
    if slug(name).is_empty() {
        return Err(InvalidName::Edge { what, name: name.to_owned(), first: "a letter or a digit" });
    }
    if RESERVED.contains(&slug(name).as_str()) {
        return Err(InvalidName::Reserved { what, name: name.to_owned() });
    }
    Ok(())
}

fn check_label(what: &'static str, name: &str, max: usize) -> Result<(), InvalidName> {
    length(what, name, 1, max)?;
    characters(what, name, "small letters, digits and `-`", |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
    })?;
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.ends_with('-') {
        return Err(InvalidName::Edge { what, name: name.to_owned(), first: "a small letter" });
    }
    Ok(())
}

fn check_variable(name: &str) -> Result<(), InvalidName> {
    let what = "variable name";
    length(what, name, 1, 100)?;
    characters(what, name, "capital letters, digits and `_`, as in DATABASE_URL", |c| {
        c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
    })?;
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        let found = name.chars().next().unwrap_or('0');
        let allowed = "a capital letter or `_` at the beginning";
        return Err(InvalidName::Character { what, name: name.to_owned(), found, allowed });
    }
    Ok(())
}

fn slug(name: &str) -> String {
    let dashed = name.to_ascii_lowercase().replace('_', "-");
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

impl ProjectName {
    /// The form that stands in addresses and that is unique: small letters, digits and single `-`.
    #[must_use]
    pub fn slug(&self) -> String {
        slug(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_name_has_3_to_50_characters() {
        assert!("ab".parse::<ProjectName>().is_err());
        assert!("abc".parse::<ProjectName>().is_ok());
        assert!("a".repeat(50).parse::<ProjectName>().is_ok());
        let error = "a".repeat(51).parse::<ProjectName>().expect_err("too long").to_string();
        assert!(error.contains("51") && error.contains("3 to 50"), "{error}");
    }

    #[test]
    fn a_reserved_project_name_is_refused_in_any_spelling() {
        for name in ["api", "API", "www", "admin", "app_", "-mail"] {
            assert!(matches!(name.parse::<ProjectName>(), Err(InvalidName::Reserved { .. })), "{name}");
        }
    }

    #[test]
    fn a_project_name_of_dashes_alone_has_no_slug_and_is_refused() {
        assert!(matches!("---".parse::<ProjectName>(), Err(InvalidName::Edge { .. })));
    }

    #[test]
    fn a_slug_is_fit_for_a_hostname() {
        assert_eq!("My__Shop-".parse::<ProjectName>().expect("valid").slug(), "my-shop");
    }

    #[test]
    fn a_service_name_is_a_label_of_a_hostname() {
        for name in ["web", "a", "api-2"] {
            assert!(name.parse::<ServiceName>().is_ok(), "{name}");
        }
        for name in ["", "Web", "2web", "-web", "web-", "we_b", "web.x", &"a".repeat(41)] {
            assert!(name.parse::<ServiceName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_variable_name_is_capital_letters_digits_and_underscores() {
        for name in ["PORT", "_X", "A1_B"] {
            assert!(name.parse::<VariableName>().is_ok(), "{name}");
        }
        for name in ["", "port", "1A", "A-B", "A=B", "A\0", "A B"] {
            assert!(name.parse::<VariableName>().is_err(), "{name}");
        }
    }
}
