//! Commands on users and their tokens, and the first start.
//!
//! A token is `sbk_` and 52 bytes in base64url: the user's id, 32 random bytes, and 4 bytes of a SHA-256 over
//! the rest so that a mistyped one is known without a look-up. Only a hash of the random part is kept.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::context::Actor;
use domain::id::{OrganizationId, TokenId, UserId};
use domain::organization::{Command as OrganizationCommand, Organization, Role};
use domain::secret::Secret;
use domain::stream::{Position, StreamId};
use domain::user::{Command, User};
use eventlog::log::Filter;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::bus::{Bus, Outcome};
use crate::error::CommandError;
use crate::keyring::KeyringError;
use crate::policy::Action;
use crate::request::Request;

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "sbk_";
const SECRET_BYTES: usize = 32;
const CHECK_BYTES: usize = 4;

/// Somebody who showed a token that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub user: UserId,
    /// Their name in histories.
    pub name: String,
    /// The organisation the token acts in.
    pub organization: OrganizationId,
    /// What they are in it.
    pub role: Role,
    /// The token.
    pub token: TokenId,
}

/// The installation's owner and their organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The owner.
    pub owner: UserId,
    /// Their organisation.
    pub organization: OrganizationId,
}

impl Bus {
    /// Makes the owner and their organisation, unless they are there. The registration of the owner is the
    /// first commit of an installation's log: two installations on one log would both run everything.
    ///
    /// # Errors
    /// [`CommandError`]: `log_of_another_installation`.
    pub async fn set_up(&self, installation: Installation) -> Result<Outcome, CommandError> {
        let request = Request::new(Actor::platform());
        let Installation { owner, organization } = installation;
        self.check_owner(owner).await?;
        let register = Command::Register { name: "owner".into() };
        let registered = self.dispatch::<User>(&request, StreamId::user(owner), register).await?;
        if registered.changed {
            self.check_owner(owner).await?; // Another may have begun at the same moment, and was first.
        }
        let create = OrganizationCommand::Create { name: "home".into(), owner };
        self.dispatch::<Organization>(&request, StreamId::organization(organization), create).await
    }

    async fn check_owner(&self, owner: UserId) -> Result<(), CommandError> {
        let first = self.log().read_all(Position::ZERO, &Filter::all(), 1).await?;
        match first.commits.first() {
            Some(commit) if commit.stream != StreamId::user(owner) => {
                let message = "the event log belongs to another installation; start with the data directory \
                               of that one, or with an empty log";
                Err(CommandError::conflict("log_of_another_installation", None, message))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Gives out a token. It is shown here and never again.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn issue_token(
        &self,
        request: &Request,
        organization: OrganizationId,
        user: UserId,
        name: &str,
    ) -> Result<(TokenId, Secret, Outcome), CommandError> {
        self.authorize(request, organization, Action::ManageTokens).await?;
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|_| KeyringError::Random)?;
        let token = TokenId(Uuid::now_v7());
        let command = Command::IssueToken { token, name: name.to_owned(), organization, hash: hash(&secret) };
        let outcome = self.dispatch::<User>(request, StreamId::user(user), command).await?;
        Ok((token, Secret::new(encode(user, &secret)), outcome))
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn revoke_token(
        &self,
        request: &Request,
        organization: OrganizationId,
        user: UserId,
        token: TokenId,
    ) -> Result<Outcome, CommandError> {
        self.authorize(request, organization, Action::ManageTokens).await?;
        self.dispatch::<User>(request, StreamId::user(user), Command::RevokeToken { token }).await
    }

    /// Who shows this token; nobody, when it does not work.
    ///
    /// # Errors
    /// [`CommandError::Read`] when the log could not be read.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Caller>, CommandError> {
        let Some((user, secret)) = decode(token) else { return Ok(None) };
        let User::Active { name, tokens, .. } = self.recent_user(user).await? else { return Ok(None) };
        let given = hash(&secret);
        let same = |hash: &str| bool::from(hash.as_bytes().ct_eq(given.as_bytes()));
        let Some((token, found)) = tokens.into_iter().find(|(_, token)| same(&token.hash)) else {
            return Ok(None);
        };
        let Some(role) = self.role(found.organization, user).await? else { return Ok(None) };
        Ok(Some(Caller { user, name, organization: found.organization, role, token }))
    }
}

fn hash(secret: &[u8]) -> String {
    hex::encode(Sha256::digest(secret))
}

fn check(user_and_secret: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::digest(user_and_secret);
    [digest[0], digest[1], digest[2], digest[3]]
}

fn encode(user: UserId, secret: &[u8; SECRET_BYTES]) -> String {
    let mut bytes = user.0.as_bytes().to_vec();
    bytes.extend_from_slice(secret);
    bytes.extend_from_slice(&check(&bytes));
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn decode(token: &str) -> Option<(UserId, [u8; SECRET_BYTES])> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(TOKEN_PREFIX)?).ok()?;
    let (rest, checked) = bytes.split_at_checked(16 + SECRET_BYTES)?;
    if checked != check(rest) {
        return None;
    }
    let (user, secret) = rest.split_at(16);
    Some((UserId(Uuid::from_slice(user).ok()?), secret.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_a_mistyped_one_does_not() {
        let user = UserId(Uuid::from_u128(7));
        let token = encode(user, &[9; SECRET_BYTES]);
        assert_eq!(decode(&token), Some((user, [9; SECRET_BYTES])));
        let mistyped = token.replacen('A', "B", 1);
        assert_ne!(token, mistyped);
        for text in [mistyped.as_str(), "", "sbk_", &token[..token.len() - 2], &token[4..]] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
