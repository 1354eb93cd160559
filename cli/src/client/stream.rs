//! A stream of events that outlives its connections: a lost one is made again, after the last event that was
//! seen.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;
use tokio::time::Instant;

use crate::client::http::{Api, ApiError, Parameter};
use crate::client::sse::{Event, Parser};

/// A connection on which nothing came for so long, not even a comment, is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts, unless the server says otherwise.
const PAUSE: Duration = Duration::from_millis(500);
/// What a server may say at most, in milliseconds.
const PAUSE_MAX_MS: u64 = 10_000;

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    api: &'a Api,
    path: Vec<String>,
    query: Vec<Parameter>,
    /// Parameters that only count until something was seen: how many of the last lines, since when.
    first_query: Vec<Parameter>,
    resumes_by_query: bool,
    connection: Option<(Response, Parser)>,
    events: VecDeque<Event>,
    last_id: Option<String>,
    pause: Option<Duration>,
    /// Since when no connection can be made.
    away_since: Option<Instant>,
    was_connected: bool,
}

impl<'a> Stream<'a> {
    /// Events of the log, which go on after `Last-Event-ID`.
    pub(crate) fn new(api: &'a Api, path: &[&str], query: Vec<Parameter>) -> Self {
        Self {
            api,
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            query,
            first_query: vec![],
            resumes_by_query: false,
            connection: None,
            events: VecDeque::new(),
            last_id: None,
            pause: None,
            away_since: None,
            was_connected: false,
        }
    }

    /// Lines, which go on with `after=` as well; `first` is what counts for the first connection.
    pub(crate) fn of_lines(api: &'a Api, path: &[&str], first: Vec<Parameter>) -> Self {
        let query = vec![("follow", "true".to_owned())];
        Self { first_query: first, resumes_by_query: true, ..Self::new(api, path, query) }
    }

    /// The next event. `None` when the server ended the stream; asked again, it is opened again.
    ///
    /// # Errors
    /// [`ApiError`] when the server refuses, or was away for too long.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.last_id = event.id.clone().filter(|id| !id.is_empty());
                return Ok(Some(event));
            }
            let Some((response, parser)) = &mut self.connection else {
                self.connect().await?;
                continue;
            };
            let piece = tokio::time::timeout(SILENCE_MAX, response.chunk()).await;
            match piece {
                Ok(Ok(Some(bytes))) => {
                    let events = parser.push(&bytes).map_err(ApiError::Stream)?;
                    let said = parser.retry_ms.map(|ms| Duration::from_millis(ms.min(PAUSE_MAX_MS)));
                    self.pause = said.or(self.pause);
                    self.events.extend(events);
                }
                Ok(Ok(None)) => {
                    self.connection = None;
                    return Ok(None);
                }
                // Cut off, or silent for too long.
                Ok(Err(_)) | Err(_) => self.connection = None,
            }
        }
    }

    async fn connect(&mut self) -> Result<(), ApiError> {
        if self.was_connected || self.away_since.is_some() {
            tokio::time::sleep(self.pause.unwrap_or(PAUSE)).await;
        }
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let mut query = self.query.clone();
        match &self.last_id {
            Some(id) if self.resumes_by_query => query.push(("after", id.clone())),
            Some(_) => {}
            None => query.extend(self.first_query.iter().cloned()),
        }
        match self.api.open_stream(&path, &query, self.last_id.as_deref()).await {
            Ok(response) => {
                self.connection = Some((response, Parser::after(self.last_id.clone())));
                (self.was_connected, self.away_since) = (true, None);
                Ok(())
            }
            Err(error) => {
                let is_passing = error.retry_after().is_some() || matches!(error, ApiError::TimedOut { .. });
                let away_since = *self.away_since.get_or_insert_with(Instant::now);
                if is_passing && away_since.elapsed() < PATIENCE { Ok(()) } else { Err(error) }
            }
        }
    }
}
