//! Who may do what: role × action, one line each.

use domain::organization::Role;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look at anything of the organisation but values of variables.
    Read,
    /// See a variable's value.
    RevealVariables,
    /// Make, rename and delete projects and environments.
    ManageProjects,
    /// Make and delete services.
    ManageServices,
    /// Deploy, cancel, scale, restart, set variables.
    Deploy,
    /// Bring an earlier release back.
    RollBack,
    /// Give out and end one's own tokens.
    ManageTokens,
}

impl Action {
    /// In words that follow on "may not".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Read => "look at this",
            Self::RevealVariables => "see the values of variables",
            Self::ManageProjects => "make or change projects",
            Self::ManageServices => "make or delete services",
            Self::Deploy => "deploy",
            Self::RollBack => "roll back",
            Self::ManageTokens => "manage tokens",
        }
    }
}

/// Whether a role allows an action.
#[must_use]
pub const fn allows(role: Role, action: Action) -> bool {
    match (role, action) {
        (
            Role::Owner,
            Action::Read
            | Action::RevealVariables
            | Action::ManageProjects
            | Action::ManageServices
            | Action::Deploy
            | Action::RollBack
            | Action::ManageTokens,
        ) => true,
    }
}
