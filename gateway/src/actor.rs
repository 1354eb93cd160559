//! Who asks: taken from the request by an extractor, so that no handler can forget it.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use commands::error::CommandError;
use commands::policy::{Action, allows};
use commands::user::Caller as TokenHolder;
use domain::context::Actor;
use domain::id::OrganizationId;

use crate::app::App;
use crate::error::ApiError;

/// Somebody with a token that works.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) TokenHolder);

impl Caller {
    /// As they stand in events.
    #[must_use]
    pub(crate) const fn actor(&self) -> Actor {
        Actor::user(self.0.user)
    }

    /// The organisation they act in.
    #[must_use]
    pub(crate) const fn organization(&self) -> OrganizationId {
        self.0.organization
    }

    /// Whether they may.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn may(&self, action: Action) -> Result<(), ApiError> {
        if allows(self.0.role, action) { Ok(()) } else { Err(CommandError::Forbidden(action.words()).into()) }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let given = parts.headers.get(header::AUTHORIZATION).ok_or_else(ApiError::token_missing)?;
        let token = given.to_str().ok().and_then(bearer).ok_or_else(ApiError::token_invalid)?;
        let caller = app.bus.authenticate(token).await?.ok_or_else(ApiError::token_invalid)?;
        Ok(Self(caller))
    }
}

/// The scheme is the same in any spelling (RFC 9110 §11.1).
fn bearer(given: &str) -> Option<&str> {
    let (scheme, token) = given.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
