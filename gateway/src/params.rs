//! Parameters of a request's path and query, with errors in the API's own form.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use projections::page::Page;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Parameters of the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(ApiError::parameter("query", rejection.body_text())),
        }
    }
}

/// Parameters of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(params)) => Ok(Self(params)),
            // A path with another form leads nowhere.
            Err(_) => Err(ApiError::route_not_found(parts.uri.path())),
        }
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageParams {
    /// How many rows.
    pub(crate) limit: Option<u32>,
    /// Where it begins.
    pub(crate) cursor: Option<String>,
}

/// The page that the parameters ask for.
///
/// # Errors
/// `parameter_invalid`.
pub(crate) fn page(limit: Option<u32>, cursor: Option<&str>) -> Result<Page, ApiError> {
    Page::new(limit, cursor).map_err(|invalid| ApiError::parameter(invalid.field(), invalid.to_string()))
}
