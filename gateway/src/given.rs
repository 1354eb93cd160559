//! What a command comes with: who gives it, its body, and the id by which it is known when it is given again.

use axum::extract::{FromRequest, FromRequestParts, Request as HttpRequest};
use axum::http::{HeaderMap, header};
use commands::idempotency::command_id;
use commands::request::Request;
use eventlog::trace;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::Span;

use crate::actor::Caller;
use crate::app::App;
use crate::error::ApiError;
use crate::router::trace_of;

/// The longest `Idempotency-Key`.
const KEY_MAX: usize = 255;

/// A command with its body.
#[derive(Debug)]
pub(crate) struct Given<T> {
    /// Who gives it.
    pub(crate) caller: Caller,
    /// What it comes with.
    pub(crate) request: Request,
    /// The body.
    pub(crate) body: T,
}

/// A body with nothing in it; none at all will do.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl<T: DeserializeOwned + Send> FromRequest<App> for Given<T> {
    type Rejection = ApiError;

    async fn from_request(http: HttpRequest, app: &App) -> Result<Self, ApiError> {
        let (mut parts, body) = http.into_parts();
        let caller = Caller::from_request_parts(&mut parts, app).await?;
        let bytes = Limited::new(body, app.settings.body_max).collect().await.map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                let most = app.settings.body_max;
                ApiError::too_large("body_too_large", format!("the body has more than {most} bytes"))
            } else {
                ApiError::body_not_json("the body broke off")
            }
        })?;
        let bytes = bytes.to_bytes();
        let asked = [parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), &bytes].join(&b'\n');
        let actor = caller.actor();
        let mut request = match idempotency_key(&parts.headers)? {
            Some(key) => Request::repeatable(actor, command_id(actor.id, key, &asked)),
            None => Request::new(actor),
        };
        // Where the request's span is not kept, its caller's is passed on.
        let passed_on = trace::of(&Span::current()).or_else(|| trace_of(&parts.headers));
        request.traceparent = passed_on.map(String::from);
        let body = if bytes.is_empty() {
            serde_json::from_str("{}").map_err(|error| form(&error))?
        } else {
            check_type(&parts.headers)?;
            parse(&bytes)?
        };
        Ok(Self { caller, request, body })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let visible =
        |key: &&str| !key.is_empty() && key.len() <= KEY_MAX && key.bytes().all(|b| b.is_ascii_graphic());
    let message = format!("an Idempotency-Key has 1 to {KEY_MAX} visible characters");
    value
        .to_str()
        .ok()
        .filter(visible)
        .map(Some)
        .ok_or_else(|| ApiError::parameter("Idempotency-Key", message))
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_json =
        given.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if is_json { Ok(()) } else { Err(ApiError::content_type("application/json")) }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| form(&error))
}

fn form(error: &serde_json::Error) -> ApiError {
    if error.is_data() {
        let message = error.to_string();
        ApiError::body_invalid(&field_of(&message), message)
    } else {
        ApiError::body_not_json(format!("the body is not JSON: {error}"))
    }
}

/// The field that serde's message names in backticks, as in "unknown field `nam`, expected `name`".
fn field_of(message: &str) -> String {
    let named = message.starts_with("unknown field") || message.starts_with("missing field");
    let field = message.split('`').nth(1).filter(|_| named);
    field.unwrap_or("body").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_at_fault_is_named() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            #[expect(dead_code, reason = "only its name matters")]
            name: String,
        }
        let field = |text: &str| field_of(&serde_json::from_str::<Body>(text).expect_err(text).to_string());
        assert_eq!(field(r#"{"nam": "x"}"#), "nam");
        assert_eq!(field("{}"), "name");
        assert_eq!(field(r#"{"name": 1}"#), "body");
    }
}
