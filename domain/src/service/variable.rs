//! The rules of a variable's value. They are checked before it is sealed, since nobody can look at it
//! afterwards.

use crate::name::VariableName;
use crate::rejection::{Kind, Rejection};

/// How long a variable's value may be, in characters.
pub const MAX_VARIABLE_LENGTH: usize = 1000;

/// A value that breaks a rule. It is never part of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVariable {
    /// Too long.
    #[error("the value of {name} has {found} characters; it may have {MAX_VARIABLE_LENGTH} at most")]
    TooLong {
        /// Whose.
        name: VariableName,
        /// How long it is.
        found: usize,
    },
    /// No process can be given this.
    #[error("the value of {name} contains a NUL character, which no environment can hold")]
    Nul {
        /// Whose.
        name: VariableName,
    },
    /// The platform sets it itself.
    #[error("{name} is set by the platform; choose another name")]
    Reserved {
        /// Which.
        name: VariableName,
    },
}

impl Rejection for InvalidVariable {
    fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::Nul { .. } => "variable_invalid",
            Self::Reserved { .. } => "variable_reserved",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn field(&self) -> Option<&'static str> {
        Some("variables")
    }
}

/// Whether a variable may have this value.
///
/// # Errors
/// [`InvalidVariable`].
pub fn check_variable_value(name: &VariableName, value: &str) -> Result<(), InvalidVariable> {
    let (reserved, length) = (name.as_str(), value.chars().count());
    if reserved == "PORT" || reserved.starts_with("SWITCHBACK_") {
        return Err(InvalidVariable::Reserved { name: name.clone() });
    }
    if length > MAX_VARIABLE_LENGTH {
        return Err(InvalidVariable::TooLong { name: name.clone(), found: length });
    }
    if value.contains('\0') {
        return Err(InvalidVariable::Nul { name: name.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), InvalidVariable> {
        check_variable_value(&name.parse().expect("valid"), value)
    }

    #[test]
    fn a_value_has_a_thousand_characters_at_most() {
        assert_eq!(check("A", &"ä".repeat(1000)), Ok(()));
        assert!(matches!(check("A", &"a".repeat(1001)), Err(InvalidVariable::TooLong { found: 1001, .. })));
    }

    #[test]
    fn a_value_without_nul_and_a_name_of_ones_own() {
        assert_eq!(check("A", ""), Ok(()));
        assert!(matches!(check("A", "a\0b"), Err(InvalidVariable::Nul { .. })));
        assert!(matches!(check("PORT", "1"), Err(InvalidVariable::Reserved { .. })));
        assert!(matches!(check("SWITCHBACK_RELEASE", "1"), Err(InvalidVariable::Reserved { .. })));
    }
}
