//! Uploaded sources: an archive that a deployment can then name by its digest.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use commands::policy::Action;
use futures::StreamExt;
use serde_json::json;

use crate::actor::Caller;
use crate::answer::Answer;
use crate::app::App;
use crate::error::ApiError;
use crate::params::At;
use crate::resolve::OnService;

/// Takes an archive in.
pub(crate) async fn upload(
    State(app): State<App>,
    caller: Caller,
    At(path): At<OnService>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, ApiError> {
    caller.may(Action::Deploy)?;
    app.service_id(caller.organization(), &path).await?;
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given != "application/gzip" {
        return Err(ApiError::content_type("application/gzip"));
    }
    let digest = app.uploads.receive(body.into_data_stream().boxed()).await?;
    // Nothing is in the log yet: the deployment that names it will be.
    Ok(Answer::made(&json!({ "digest": digest })))
}
