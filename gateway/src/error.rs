//! What the API answers when it cannot do what was asked. The only place that knows status codes of failures.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commands::error::CommandError;
use domain::rejection::{Kind, Rejection};
use eventlog::error::{AppendError, ReadError, StoreError};
use projections::store::QueryError;
use serde::Serialize;
use serde_json::json;
use tracing::{error, warn};

/// When to ask again, after something was not available.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub issue: String,
}

/// A failure as the API answers with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Detail>,
    retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: vec![], retry_after: None }
    }

    fn about(mut self, field: impl Into<String>) -> Self {
        self.details.push(Detail { field: field.into(), issue: self.message.clone() });
        self
    }

    fn later(mut self) -> Self {
        self.retry_after = Some(RETRY_AFTER);
        self
    }

    /// No token was shown.
    #[must_use]
    pub fn token_missing() -> Self {
        let message =
            "this needs a token; send it as `Authorization: Bearer sbk_…`, or use `switchback login`";
        Self::new(StatusCode::UNAUTHORIZED, "token_missing", message)
    }

    /// A token was shown that does not work.
    #[must_use]
    pub fn token_invalid() -> Self {
        let message = "the token does not work: it is mistyped, or was revoked; use `switchback login`";
        Self::new(StatusCode::UNAUTHORIZED, "token_invalid", message)
    }

    /// What was asked for is not there, or not the caller's.
    #[must_use]
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// There is no such route.
    #[must_use]
    pub fn route_not_found(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "route_not_found", format!("there is nothing at {path}"))
    }

    /// The route does not know this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "this method is not known here";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    /// A state that does not allow it.
    #[must_use]
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// A parameter that cannot be taken.
    #[must_use]
    pub fn parameter(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "parameter_invalid", message).about(field)
    }

    /// A body that is not JSON.
    #[must_use]
    pub fn body_not_json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "body_not_json", message)
    }

    /// A body of another form.
    #[must_use]
    pub fn body_invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "body_invalid", message).about(field)
    }

    /// A body of another type.
    #[must_use]
    pub fn content_type(wanted: &str) -> Self {
        let message = format!("the body must be {wanted}; say so with `Content-Type: {wanted}`");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message)
    }

    /// A body that is too large.
    #[must_use]
    pub fn too_large(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, message)
    }

    /// An upload that is no archive.
    #[must_use]
    pub fn upload_invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "upload_invalid", message)
    }

    /// The disk is too full to take anything in.
    #[must_use]
    pub fn disk_full(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", message)
    }

    /// The read model has not reached what the caller has seen.
    #[must_use]
    pub fn not_there_yet() -> Self {
        let message = "the read model has not reached this position yet; ask again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_there_yet", message).later()
    }

    /// Something of ours went wrong; it is in our log under the request's id.
    #[must_use]
    pub fn internal() -> Self {
        let message = "something went wrong here; the server's log says what, under this request_id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// It took too long.
    #[must_use]
    pub fn timed_out() -> Self {
        let message = "the request took too long; ask again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", message).later()
    }

    /// The body of the answer, once the request's id is known.
    pub(crate) fn answer(&self, request_id: &str) -> Response {
        let body = json!({"error": {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "request_id": request_id,
        }});
        let mut response = (self.status, Json(body)).into_response();
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The answer is completed by [`crate::router`], which knows the request's id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A rejection of a value that came with a request.
pub(crate) fn rejected(rejection: &impl Rejection) -> ApiError {
    CommandError::rejected(rejection).into()
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match &error {
            CommandError::Rejected { code, kind, field, message } => {
                let status = match kind {
                    Kind::NotFound => StatusCode::NOT_FOUND,
                    Kind::Conflict => StatusCode::CONFLICT,
                    Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
                };
                let answer = Self::new(status, code, message);
                match field {
                    Some(field) => answer.about(field),
                    None => answer,
                }
            }
            CommandError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, "forbidden", error.to_string()),
            CommandError::KeyReused => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", error.to_string())
            }
            CommandError::Contended => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "contended", error.to_string()).later()
            }
            CommandError::Append(AppendError::TooLarge { .. }) => {
                let message = "the command carries too much; make it smaller";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "command_too_large", message)
            }
            CommandError::Append(_) => log_unavailable(&error),
            CommandError::Read(ReadError::Unavailable { .. }) => log_unavailable(&error),
            CommandError::Keyring(keyring) if keyring.is_passing() => log_unavailable(&error),
            CommandError::Read(_) | CommandError::Keyring(_) => internal(&error),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        CommandError::from(error).into()
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Page(invalid) => Self::parameter(invalid.field(), invalid.to_string()),
            QueryError::Unavailable { .. } | QueryError::NotBuilt { .. } => {
                warn!(error = &error as &dyn std::error::Error, "a read is answered with 503");
                let message = "the read model is not available at the moment; commands still work";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "read_model_unavailable", message).later()
            }
            QueryError::Unreadable { .. } | QueryError::Failed { .. } => internal(&error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        warn!(error = &error as &dyn std::error::Error, "a read of a log is answered with 503");
        let message = "the logs are not available at the moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "logs_unavailable", message).later()
    }
}

fn log_unavailable(error: &CommandError) -> ApiError {
    warn!(error = error as &dyn std::error::Error, "a command is answered with 503");
    let message = "the event log is not available at the moment; send the same request again (with the same \
                   Idempotency-Key, so that it has one effect)";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", message).later()
}

fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
    error!(error, "a request failed");
    ApiError::internal()
}
