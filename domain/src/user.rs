//! A user: somebody who can ask, and the tokens with which they do.
//!
//! `Absent → Active`. A revoked token never works again, also after a rollback.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::context::Context;
use crate::id::{OrganizationId, TokenId};
use crate::rejection::{self, Kind};
use crate::stream::AggregateKind;

/// How many tokens that work a user may have.
pub const MAX_TOKENS: usize = 100;

/// Orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the user.
    Register {
        /// The name shown in histories.
        name: String,
    },
    /// Give out a token.
    IssueToken {
        /// Its id.
        token: TokenId,
        /// What it is for, in the user's words.
        name: String,
        /// The organisation it acts in.
        organization: OrganizationId,
        /// SHA-256 of the token's secret half, in hexadecimal digits. The secret has 256 random bits, so a
        /// slow hash would add nothing.
        hash: String,
    },
    /// End a token.
    RevokeToken {
        /// Its id.
        token: TokenId,
    },
}

/// Facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The user exists.
    Registered {
        /// The name shown in histories.
        name: String,
    },
    /// A token was given out.
    TokenIssued {
        /// Its id.
        token: TokenId,
        /// What it is for.
        name: String,
        /// The organisation it acts in.
        organization: OrganizationId,
        /// SHA-256 of its secret half.
        hash: String,
    },
    /// A token was ended.
    TokenRevoked {
        /// Its id.
        token: TokenId,
    },
}

/// A token that works.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it is for.
    pub name: String,
    /// The organisation it acts in.
    pub organization: OrganizationId,
    /// SHA-256 of its secret half.
    pub hash: String,
}

/// The state of a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum User {
    /// Not made yet.
    #[default]
    Absent,
    /// Can ask.
    Active {
        /// The name shown in histories.
        name: String,
        /// The tokens that work.
        tokens: BTreeMap<TokenId, Token>,
        /// Those that do not work any more.
        revoked: Vec<TokenId>,
    },
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Is there already.
    #[error("the user exists already")]
    AlreadyExists,
    /// Is not there.
    #[error("there is no such user")]
    NotFound,
    /// No token of that id.
    #[error("there is no such token; `switchback tokens list` shows those there are")]
    TokenNotFound,
    /// It was, and does not come back.
    #[error("the token was revoked; make a new one with `switchback tokens create`")]
    TokenRevoked,
    /// Too many.
    #[error("a user has {MAX_TOKENS} tokens at most; revoke one with `switchback tokens delete`")]
    TooManyTokens,
}

impl rejection::Rejection for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyExists => "user_exists",
            Self::NotFound => "user_not_found",
            Self::TokenNotFound => "token_not_found",
            Self::TokenRevoked => "token_revoked",
            Self::TooManyTokens => "too_many_tokens",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::AlreadyExists | Self::TokenRevoked => Kind::Conflict,
            Self::NotFound | Self::TokenNotFound => Kind::NotFound,
            Self::TooManyTokens => Kind::Invalid,
        }
    }
}

impl Aggregate for User {
    const KIND: AggregateKind = AggregateKind::User;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Rejection> {
        match (self, command) {
            (Self::Absent, Command::Register { name }) => Ok(vec![Event::Registered { name }]),
            (Self::Absent, Command::IssueToken { .. } | Command::RevokeToken { .. }) => {
                Err(Rejection::NotFound)
            }
            (Self::Active { name, .. }, Command::Register { name: same }) if *name == same => Ok(vec![]),
            (Self::Active { .. }, Command::Register { .. }) => Err(Rejection::AlreadyExists),
            (
                Self::Active { tokens, revoked, .. },
                Command::IssueToken { token, name, organization, hash },
            ) => {
                if tokens.contains_key(&token) {
                    return Ok(vec![]);
                }
                if revoked.contains(&token) {
                    return Err(Rejection::TokenRevoked);
                }
                if tokens.len() >= MAX_TOKENS {
                    return Err(Rejection::TooManyTokens);
                }
                Ok(vec![Event::TokenIssued { token, name, organization, hash }])
            }
            (Self::Active { tokens, revoked, .. }, Command::RevokeToken { token }) => {
                if revoked.contains(&token) {
                    return Ok(vec![]);
                }
                tokens
                    .get(&token)
                    .map(|_| vec![Event::TokenRevoked { token }])
                    .ok_or(Rejection::TokenNotFound)
            }
        }
    }

    fn evolve(self, event: &Event) -> Self {
        let (mut name, mut tokens, mut revoked) = match self {
            Self::Absent => (String::new(), BTreeMap::new(), vec![]),
            Self::Active { name, tokens, revoked } => (name, tokens, revoked),
        };
        match event {
            Event::Registered { name: given } => name.clone_from(given),
            Event::TokenIssued { token, name, organization, hash } => {
                let issued = Token { name: name.clone(), organization: *organization, hash: hash.clone() };
                tokens.insert(*token, issued);
            }
            Event::TokenRevoked { token } => {
                tokens.remove(token);
                revoked.push(*token);
            }
        }
        Self::Active { name, tokens, revoked }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::testing::given;

    const TOKEN: TokenId = TokenId(Uuid::from_u128(5));

    fn registered() -> Event {
        Event::Registered { name: "owner".into() }
    }

    fn issue() -> Command {
        let organization = OrganizationId(Uuid::from_u128(7));
        Command::IssueToken { token: TOKEN, name: "laptop".into(), organization, hash: "ff".into() }
    }

    fn issued() -> Event {
        let organization = OrganizationId(Uuid::from_u128(7));
        Event::TokenIssued { token: TOKEN, name: "laptop".into(), organization, hash: "ff".into() }
    }

    #[test]
    fn a_registered_user_can_have_a_token() {
        given::<User>([]).when(Command::Register { name: "owner".into() }).then([registered()]);
        given::<User>([registered()]).when(issue()).then([issued()]);
        given::<User>([registered(), issued()]).when(issue()).then([]);
    }

    #[test]
    fn nobody_has_no_tokens() {
        given::<User>([]).when(issue()).then_rejected(&Rejection::NotFound);
    }

    #[test]
    fn a_revoked_token_is_gone_and_revoking_it_again_changes_nothing() {
        let revoke = Command::RevokeToken { token: TOKEN };
        let revoked = Event::TokenRevoked { token: TOKEN };
        given::<User>([registered(), issued()]).when(revoke.clone()).then([revoked.clone()]);
        given::<User>([registered(), issued(), revoked]).when(revoke).then([]);
    }

    #[test]
    fn a_revoked_token_is_never_issued_again() {
        let revoked = Event::TokenRevoked { token: TOKEN };
        given::<User>([registered(), issued(), revoked])
            .when(issue())
            .then_rejected(&Rejection::TokenRevoked);
    }

    #[test]
    fn a_user_is_registered_once() {
        let register = |name: &str| Command::Register { name: name.into() };
        given::<User>([registered()]).when(register("owner")).then([]);
        given::<User>([registered()]).when(register("other")).then_rejected(&Rejection::AlreadyExists);
    }

    #[test]
    fn every_refusal_has_a_code_of_its_own() {
        use crate::rejection::Rejection as _;
        for (refusal, code, kind) in [
            (Rejection::AlreadyExists, "user_exists", Kind::Conflict),
            (Rejection::NotFound, "user_not_found", Kind::NotFound),
            (Rejection::TokenNotFound, "token_not_found", Kind::NotFound),
            (Rejection::TokenRevoked, "token_revoked", Kind::Conflict),
            (Rejection::TooManyTokens, "too_many_tokens", Kind::Invalid),
        ] {
            assert_eq!((refusal.code(), refusal.kind()), (code, kind), "{refusal}");
        }
    }

    #[test]
    fn a_token_that_never_was_cannot_be_revoked() {
        given::<User>([registered()])
            .when(Command::RevokeToken { token: TOKEN })
            .then_rejected(&Rejection::TokenNotFound);
    }

    #[test]
    fn the_hundred_and_first_token_is_refused() {
        let mut history = vec![registered()];
        let organization = OrganizationId(Uuid::from_u128(7));
        history.extend((0..MAX_TOKENS as u128).map(|n| Event::TokenIssued {
            token: TokenId(Uuid::from_u128(100 + n)),
            name: "n".into(),
            organization,
            hash: "ff".into(),
        }));
        given::<User>(history).when(issue()).then_rejected(&Rejection::TooManyTokens);
    }
}
