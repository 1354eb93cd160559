//! Why a request was not answered with what was asked for, and what a person can do about it.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use crate::client::failure::{Exit, Failure};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// This machine cannot speak HTTP.
    #[error("set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// Nothing listens there.
    #[error("no server answers at {server}")]
    NoServer {
        /// Where.
        server: Url,
        /// Whether it did a moment ago.
        has_answered: bool,
    },
    /// The answer did not come, or not to its end.
    #[error("talk to the server at {server}")]
    NoAnswer {
        /// Where.
        server: Url,
        /// Whether trying again can help.
        is_passing: bool,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer took too long.
    #[error("the server at {server} took too long to answer")]
    TimedOut {
        /// Where.
        server: Url,
    },
    /// The server says no.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// It would have the request sent elsewhere.
    #[error("the server at {server} sends requests on to {to}")]
    Redirected {
        /// Where it was sent.
        server: Url,
        /// Where it should go.
        to: String,
    },
    /// Something else answers there.
    #[error("what answers at {server} is not a Switchback server")]
    NotOurs {
        /// Where.
        server: Url,
        /// What was wrong with the answer.
        source: Option<serde_json::Error>,
    },
    /// A newer or older server says it in another way.
    #[error("understand the server's answer")]
    NotUnderstood(#[source] serde_json::Error),
    /// Part of an address that cannot be one.
    #[error("`{0}` is not a name")]
    Name(String),
    /// A stream that makes no sense.
    #[error("read the stream of events")]
    Stream(#[source] super::super::sse::TooLarge),
}

impl ApiError {
    /// Whether the server says that it is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.has_status(StatusCode::NOT_FOUND)
    }

    /// Whether the server says that something is in the way.
    pub(crate) fn is_conflict(&self) -> bool {
        self.has_status(StatusCode::CONFLICT)
    }

    fn has_status(&self, status: StatusCode) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == status)
    }
}

/// The server's no.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) message: String,
    details: Vec<Detail>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    field: String,
    issue: String,
}

#[derive(Deserialize)]
struct Body {
    error: BodyError,
}

#[derive(Deserialize)]
struct BodyError {
    code: String,
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
    request_id: Option<String>,
}

impl Refusal {
    /// Reads what the server says; `None` when it does not say it as ours do.
    pub(super) fn read(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Option<Self> {
        let BodyError { code, message, details, request_id } =
            serde_json::from_slice::<Body>(body).ok()?.error;
        Some(Self { status, code, message, details, request_id, retry_after })
    }

    /// Of which only the status is known.
    pub(super) fn bare(status: StatusCode, retry_after: Option<Duration>) -> Self {
        let message = format!("the server answers {status}");
        let code = "unavailable".to_owned();
        Self { status, code, message, details: vec![], request_id: None, retry_after }
    }

    fn exit(&self) -> Exit {
        match self.status.as_u16() {
            400 | 413 | 415 | 422 => Exit::Usage,
            401 | 403 => Exit::NotAllowed,
            404 => Exit::NotFound,
            409 | 412 => Exit::Conflict,
            408 | 504 => Exit::TimedOut,
            _ => Exit::Failed,
        }
    }

    /// The next thing to try.
    fn next(&self) -> Option<&'static str> {
        Some(match self.code.as_str() {
            "token_missing" | "token_invalid" => "sign in with `switchback login`",
            "project_not_found" => "`switchback projects list` shows what there is; -p names another project",
            "environment_not_found" => {
                "`switchback environments list` shows what there is; -e names another environment"
            }
            "service_not_found" => "`switchback services list` shows what there is; -s names another service",
            "deployment_not_found" => "`switchback deployments` shows what there is",
            "token_not_found" => "`switchback tokens list` shows what there is",
            "release_not_found" | "release_never_ran" | "release_is_current" | "no_earlier_release"
            | "nothing_live_then" => "`switchback releases` shows what there is",
            "nothing_deployed" => "`switchback deploy` deploys something",
            "project_not_empty" | "environment_not_empty" => {
                "`switchback services list` shows what is in it; delete that first"
            }
            "deployment_went_live" => "`switchback rollback` brings the release before back",
            "route_not_found" => "the server may be older than this command line: compare their versions",
            "log_unavailable" | "read_model_unavailable" | "not_there_yet" | "unavailable" => {
                "try again in a moment; the server's own output says what is wrong"
            }
            _ => return None,
        })
    }
}

impl ApiError {
    /// What a request without an answer means.
    pub(super) fn no_answer(server: &Url, source: reqwest::Error, has_answered: bool) -> Self {
        let server = server.clone();
        let causes = std::iter::successors(source.source(), |cause| (*cause).source());
        let mut kinds = causes.filter_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
        if source.is_connect() && kinds.any(|kind| kind == io::ErrorKind::ConnectionRefused) {
            return Self::NoServer { server, has_answered };
        }
        if source.is_timeout() {
            return Self::TimedOut { server };
        }
        // A host that is not known, or a certificate that is not trusted, stays so.
        let is_passing = !source.is_builder() && (has_answered || !source.is_connect());
        Self::NoAnswer { server, is_passing, source: source.without_url() }
    }

    /// Whether sending the request again can help; and when, if the server says so.
    pub(crate) fn retry_after(&self) -> Option<Option<Duration>> {
        match self {
            Self::NoServer { has_answered: true, .. } | Self::NoAnswer { is_passing: true, .. } => Some(None),
            Self::Refused(refusal) => {
                (refusal.status == StatusCode::SERVICE_UNAVAILABLE).then_some(refusal.retry_after)
            }
            Self::NoServer { .. }
            | Self::NoAnswer { .. }
            | Self::Client(_)
            | Self::TimedOut { .. }
            | Self::Redirected { .. }
            | Self::NotOurs { .. }
            | Self::NotUnderstood(_)
            | Self::Name(_)
            | Self::Stream(_) => None,
        }
    }

    /// The server's word for it.
    pub(crate) fn code(&self) -> Option<&str> {
        if let Self::Refused(refusal) = self { Some(&refusal.code) } else { None }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match &error {
            ApiError::Refused(refusal) => refused(refusal),
            ApiError::NoServer { server, .. } => {
                let next = if super::is_local(server) {
                    "start one with `switchback up`, or name another with --url"
                } else {
                    "see whether it runs, or name another with --url"
                };
                Self::of(Exit::Failed, &error).try_next(next)
            }
            ApiError::TimedOut { .. } => Self::of(Exit::TimedOut, &error),
            ApiError::Redirected { .. } => {
                Self::of(Exit::Failed, &error).try_next("use that address: `switchback login URL`")
            }
            ApiError::NotOurs { .. } => {
                Self::of(Exit::Failed, &error).try_next("name the address of the API with --url")
            }
            ApiError::NotUnderstood(_) => Self::of(Exit::Failed, &error)
                .try_next("the server may have another version than this command line: compare them"),
            ApiError::Name(_) => Self::of(Exit::Usage, &error),
            ApiError::Client(_) | ApiError::NoAnswer { .. } | ApiError::Stream(_) => {
                Self::of(Exit::Failed, &error)
            }
        }
    }
}

fn refused(refusal: &Refusal) -> Failure {
    let mut failure = Failure::new(refusal.exit(), &refusal.message).coded(&refusal.code);
    for Detail { field, issue } in &refusal.details {
        if *issue != refusal.message {
            failure = failure.because(format!("{field}: {issue}"));
        }
    }
    if refusal.status.is_server_error()
        && let Some(id) = &refusal.request_id
    {
        failure = failure.because(format!("request {id}"));
    }
    if let Some(wait) = refusal.retry_after.filter(|_| refusal.status == StatusCode::TOO_MANY_REQUESTS) {
        failure = failure.try_next(format!("try again in {} s", wait.as_secs()));
    }
    // Many of the server's messages name the command already.
    match refusal.next().filter(|_| !refusal.message.contains("`switchback ")) {
        Some(next) => failure.try_next(next),
        None => failure,
    }
}
