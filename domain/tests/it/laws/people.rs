//! Users and organisations: what was revoked stays revoked, and somebody always owns.

use std::collections::BTreeSet;

use domain::id::{OrganizationId, TokenId, UserId};
use domain::organization::{self, Organization, Role};
use domain::user::{self, MAX_TOKENS, User};
use proptest::prelude::*;
use uuid::Uuid;

use super::{Again, Lawful, law};

#[derive(Clone, Debug)]
pub(super) enum UserWish {
    Register(&'static str),
    Issue(u128),
    /// As many as there may be, and one more.
    IssueNext,
    Revoke(u128),
}

fn token(n: u128) -> TokenId {
    TokenId(Uuid::from_u128(n))
}

fn issue(n: u128) -> user::Command {
    let organization = OrganizationId::PLATFORM;
    user::Command::IssueToken { token: token(n), name: "laptop".into(), organization, hash: "ff".into() }
}

impl Lawful for User {
    type Wish = UserWish;

    fn wish() -> BoxedStrategy<UserWish> {
        prop_oneof![
            1 => prop::sample::select(vec!["owner", "other"]).prop_map(UserWish::Register),
            3 => (0..4_u128).prop_map(UserWish::Issue),
            4 => Just(UserWish::IssueNext),
            2 => (0..4_u128).prop_map(UserWish::Revoke),
        ]
        .boxed()
    }

    fn command(&self, history: &[user::Event], wish: &UserWish) -> user::Command {
        match *wish {
            UserWish::Register(name) => user::Command::Register { name: name.into() },
            UserWish::Issue(n) => issue(n),
            UserWish::IssueNext => issue(1000 + history.len() as u128),
            UserWish::Revoke(n) => user::Command::RevokeToken { token: token(n) },
        }
    }

    fn again(_command: &user::Command) -> Again {
        Again::ChangesNothing
    }

    fn holds(&self, history: &[user::Event]) -> Result<(), String> {
        let (mut works, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for (n, event) in history.iter().enumerate() {
            match event {
                user::Event::Registered { .. } => law(n == 0, "a user is registered once")?,
                user::Event::TokenIssued { token, .. } => {
                    law(works.insert(*token), "a token is issued once")?;
                    law(!ended.contains(token), "a revoked token never works again")?;
                }
                user::Event::TokenRevoked { token } => {
                    law(works.remove(token), "only a token that works is revoked")?;
                    ended.insert(*token);
                }
            }
        }
        let User::Active { tokens, .. } = self else { return law(history.is_empty(), "a user is there") };
        law(tokens.keys().copied().collect::<BTreeSet<_>>() == works, "the tokens that work are known")?;
        law(tokens.len() <= MAX_TOKENS, "a user has a hundred tokens at most")
    }
}

/// The sequences above are too short for the most tokens there may be.
#[test]
fn a_user_that_has_all_tokens_can_have_another_when_one_is_revoked() {
    use domain::testing::given;
    let registered = user::Event::Registered { name: "owner".into() };
    let issued = |n| user::Event::TokenIssued {
        token: token(n),
        name: "laptop".into(),
        organization: OrganizationId::PLATFORM,
        hash: "ff".into(),
    };
    let full: Vec<_> = [registered].into_iter().chain((0..MAX_TOKENS as u128).map(issued)).collect();
    given::<User>(full.clone()).when(issue(500)).then_rejected(&user::Rejection::TooManyTokens);
    let one_less = full.into_iter().chain([user::Event::TokenRevoked { token: token(3) }]);
    given::<User>(one_less).when(issue(500)).then([issued(500)]);
}

#[derive(Clone, Debug)]
pub(super) struct OrganizationWish {
    name: &'static str,
    owner: u128,
}

impl Lawful for Organization {
    type Wish = OrganizationWish;

    fn wish() -> BoxedStrategy<OrganizationWish> {
        (prop::sample::select(vec!["home", "work"]), 0..2_u128)
            .prop_map(|(name, owner)| OrganizationWish { name, owner })
            .boxed()
    }

    fn command(&self, _history: &[organization::Event], wish: &OrganizationWish) -> organization::Command {
        let owner = UserId(Uuid::from_u128(wish.owner));
        organization::Command::Create { name: wish.name.into(), owner }
    }

    fn again(_command: &organization::Command) -> Again {
        Again::ChangesNothing
    }

    fn holds(&self, history: &[organization::Event]) -> Result<(), String> {
        law(history.len() <= 1, "an organisation is made once")?;
        let Organization::Active { members, .. } = self else {
            return law(history.is_empty(), "an organisation is there");
        };
        law(members.values().any(|role| *role == Role::Owner), "somebody owns it")
    }
}
