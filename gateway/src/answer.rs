//! What the API answers with: `{"data": …, "meta": {"position": …}}`.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::stream::Position;
use serde::Serialize;
use serde_json::{Value, json};

/// Says where in the log an answer stands.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("switchback-position");

/// An answer with data.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    data: Value,
    position: Option<Position>,
    page: Option<(Option<String>, u32)>,
}

impl Answer {
    fn new(status: StatusCode, data: &impl Serialize) -> Self {
        // Rows and views are made of strings, numbers and maps with string keys, which always are JSON.
        Self { status, data: json!(data), position: None, page: None }
    }

    /// Something that was read.
    #[must_use]
    pub(crate) fn ok(data: &impl Serialize) -> Self {
        Self::new(StatusCode::OK, data)
    }

    /// Something that was made.
    #[must_use]
    pub(crate) fn created(data: &impl Serialize, position: Position) -> Self {
        Self::new(StatusCode::CREATED, data).at(position)
    }

    /// Something that was made beside the log.
    #[must_use]
    pub(crate) fn made(data: &impl Serialize) -> Self {
        Self::new(StatusCode::CREATED, data)
    }

    /// Something that was begun, and goes on.
    #[must_use]
    pub(crate) fn accepted(data: &impl Serialize, position: Position) -> Self {
        Self::new(StatusCode::ACCEPTED, data).at(position)
    }

    /// Where in the log it stands.
    #[must_use]
    pub(crate) fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// Part of a list.
    #[must_use]
    pub(crate) fn page(mut self, next: Option<String>, limit: u32) -> Self {
        self.page = Some((next, limit));
        self
    }
}

impl Answer {
    /// The answer, once it is known how far the read models are that it was read from.
    pub(crate) fn complete(self, reached: Position) -> Response {
        let position = self.position.unwrap_or(reached);
        let mut meta = serde_json::Map::new();
        meta.insert("position".into(), json!(position));
        if let Some((next, limit)) = self.page {
            meta.insert("pagination".into(), json!({ "next": next, "limit": limit }));
        }
        let mut response = (self.status, Json(json!({ "data": self.data, "meta": meta }))).into_response();
        response.headers_mut().insert(POSITION, HeaderValue::from(position.0));
        response
    }
}

/// The answer is completed by [`crate::router`], which knows the position.
impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Something that is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone(pub(crate) Position);

impl IntoResponse for Gone {
    fn into_response(self) -> Response {
        (StatusCode::NO_CONTENT, [(POSITION, HeaderValue::from(self.0.0))]).into_response()
    }
}
