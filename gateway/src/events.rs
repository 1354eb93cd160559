//! The events themselves, as CloudEvents: read from a position, or followed by server-sent events.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::Event as Sse;
use axum::response::{IntoResponse, Response};
use commands::policy::Action;
use domain::stream::AggregateKind;
use futures::StreamExt;
use projections::feed::{self, MAX_EVENTS, Place, Wanted};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actor::Caller;
use crate::answer::Answer;
use crate::app::App;
use crate::error::ApiError;
use crate::logs::send;
use crate::params::Params;

/// How many events an answer has when nobody says.
const EVENTS_DEFAULT: usize = 100;

/// Which events.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventParams {
    /// After this position, or after this event (`1042.7`).
    from: Option<String>,
    /// Types, or beginnings of them, parted by commas.
    #[serde(rename = "type")]
    types: Option<String>,
    /// Kinds of aggregate, parted by commas.
    aggregate: Option<String>,
    limit: Option<usize>,
}

impl EventParams {
    fn after(&self) -> Result<Place, ApiError> {
        let from = self.from.as_deref().unwrap_or("0");
        from.parse().map_err(|invalid: feed::InvalidPlace| ApiError::parameter("from", invalid.to_string()))
    }

    fn wanted(&self) -> Result<Wanted, ApiError> {
        let listed = |text: &Option<String>| -> Vec<String> {
            let text = text.as_deref().unwrap_or_default();
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let kind = |text: &String| -> Result<AggregateKind, ApiError> {
            text.parse().map_err(|unknown: domain::stream::UnknownKind| {
                ApiError::parameter("aggregate", unknown.to_string())
            })
        };
        let aggregates = listed(&self.aggregate).iter().map(kind).collect::<Result<_, _>>()?;
        Ok(Wanted { types: listed(&self.types), aggregates })
    }
}

/// Reads events, oldest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<EventParams>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let limit = params.limit.unwrap_or(EVENTS_DEFAULT);
    if !(1..=MAX_EVENTS).contains(&limit) {
        return Err(ApiError::parameter("limit", format!("an answer has 1 to {MAX_EVENTS} events")));
    }
    let (after, wanted) = (params.after()?, params.wanted()?);
    let items = feed::read(app.bus.log(), caller.organization(), after, &wanted, limit).await?;
    let events: Vec<Value> = items.items.iter().map(|item| item.event.clone()).collect();
    let next = (!items.at_end).then(|| items.next.to_string());
    Ok(Answer::ok(&events).at(items.next.position).page(next, u32::try_from(limit).unwrap_or(u32::MAX)))
}

/// Follows events. A client that comes again says with `Last-Event-ID` where it was.
pub(crate) async fn stream(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<EventParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.may(Action::Read)?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = match seen {
        Some(seen) => seen.parse().map_err(|invalid: feed::InvalidPlace| {
            ApiError::parameter("Last-Event-ID", invalid.to_string())
        })?,
        None => params.after()?,
    };
    let wanted = params.wanted()?;
    Ok(send(app.clone(), |events| async move {
        let mut items = feed::follow(app.bus.log(), caller.organization(), after, wanted).await;
        while let Some(Ok(item)) = items.next().await {
            let name = item.event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            let event =
                Sse::default().event(name).id(item.place.to_string()).data(json!(item.event).to_string());
            if events.send(event).await.is_err() {
                return;
            }
        }
    })
    .into_response())
}
