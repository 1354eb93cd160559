//! Who one is, and one's tokens.

use axum::extract::State;
use commands::policy::Action;
use domain::id::TokenId;
use projections::{organization, user};
use serde::Deserialize;
use serde_json::json;

use crate::actor::Caller;
use crate::answer::{Answer, Gone};
use crate::app::App;
use crate::error::ApiError;
use crate::given::{Given, Nothing};
use crate::params::At;

/// The longest name of a token, in characters.
const NAME_MAX: usize = 100;

/// A token to be given out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    name: String,
}

/// Says who asks.
pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Result<Answer, ApiError> {
    let home = organization::get(&app.reads, caller.organization()).await?;
    Ok(Answer::ok(&json!({
        "user": { "id": caller.0.user, "name": caller.0.name },
        "organization": { "id": caller.organization(), "name": home.map(|home| home.name) },
        "role": caller.0.role,
        "token": caller.0.token,
    })))
}

/// Lists one's tokens.
pub(crate) async fn tokens(State(app): State<App>, caller: Caller) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let listed = user::tokens(&app.reads, caller.organization(), caller.0.user).await?;
    let working = listed.iter().filter(|token| token.revoked_at.is_none());
    let views: Vec<_> = working
        .map(|token| json!({ "id": token.id, "name": token.name, "created_at": token.issued_at }))
        .collect();
    Ok(Answer::ok(&views))
}

/// Gives out a token. It is shown here and never again.
pub(crate) async fn issue(State(app): State<App>, given: Given<NewToken>) -> Result<Answer, ApiError> {
    let name = given.body.name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        let message = format!("a token's name has 1 to {NAME_MAX} characters and says what it is for");
        return Err(ApiError::body_invalid("name", message));
    }
    let (organization, user) = (given.caller.organization(), given.caller.0.user);
    let (id, token, outcome) = app.bus.issue_token(&given.request, organization, user, name).await?;
    let shown = json!({ "id": id, "name": name, "token": token.reveal() });
    Ok(Answer::created(&shown, outcome.position))
}

/// Ends a token.
pub(crate) async fn revoke(
    State(app): State<App>,
    At(token): At<String>,
    given: Given<Nothing>,
) -> Result<Gone, ApiError> {
    let not_found = || ApiError::not_found("token_not_found", "there is no such token");
    let token: TokenId = token.parse().map_err(|_| not_found())?;
    let (organization, user) = (given.caller.organization(), given.caller.0.user);
    let outcome = app.bus.revoke_token(&given.request, organization, user, token).await?;
    Ok(Gone(outcome.position))
}
