//! The client, made again where it stops to work, and a limit around each of its calls.
//!
//! The client (eventstore 4.0.0) gives up for ever when it could not connect, stays with a node of a cluster
//! that is gone, sends its deadlines to the server without keeping them itself, and panics on answers that
//! lack what it expects.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eventstore::{Client, ClientSettings, Error};
use futures::FutureExt as _;

use crate::error::BoxError;
use crate::kurrentdb::{ConnectError, Settings, provider, url};

/// How long one call may take. An append that was not answered in this time is given again.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How long a question is asked again when the server cannot answer.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(5);
pub(super) const ASK_WAIT: Duration = Duration::from_millis(100);
/// A client that had found a server is not made again sooner: what it leaves behind is not given back.
const RENEW_AFTER: Duration = Duration::from_secs(5);

/// Why a call has no answer that is one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("KurrentDB answered with an error")]
    Answer(#[source] Error),
    #[error("KurrentDB did not answer in time")]
    Late,
    #[error("KurrentDB answered with something that its client cannot read")]
    Unreadable,
}

impl Problem {
    /// Whether the next try may fare better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Unreadable => false,
            Self::Answer(error) => matches!(
                error,
                Error::ServerError(_)
                    | Error::NotLeaderException(_)
                    | Error::ConnectionClosed
                    | Error::GrpcConnectionError(_)
                    | Error::DeadlineExceeded
            ),
        }
    }

    /// Whether the client does not work any more.
    fn is_the_end(&self) -> bool {
        matches!(self, Self::Answer(Error::ConnectionClosed | Error::GrpcConnectionError(_)))
    }
}

/// A connection to `KurrentDB`.
pub(super) struct Connection {
    settings: ClientSettings,
    pub(super) prefix: String,
    pub(super) ride_out: Duration,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    made: u64,
    at: Instant,
}

impl Connection {
    /// A connection that is made when it is first used.
    pub(super) async fn open(settings: &Settings) -> Result<Self, ConnectError> {
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if settings.prefix.is_empty() || !is_word(&settings.prefix) {
            let (what, value) = ("prefix of small letters and digits", settings.prefix.clone());
            return Err(ConnectError::Setting { what, value, problem: String::new() });
        }
        let client_settings = url::parse(&settings.url)?;
        if !provider::prepare().await {
            return Err(ConnectError::Unprepared);
        }
        let client = Client::new(client_settings.clone()).map_err(|source| ConnectError::Unreachable {
            url: url::without_secrets(&settings.url),
            source: source.into(),
        })?;
        Ok(Self {
            settings: client_settings,
            prefix: settings.prefix.clone(),
            ride_out: settings.ride_out,
            current: Mutex::new(Current { client, made: 0, at: Instant::now() }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, and which one it is.
    pub(super) fn client(&self) -> (Client, u64) {
        let current = self.lock();
        (current.client.clone(), current.made)
    }

    /// Takes note of a problem that a client had: it may be replaced by another.
    pub(super) fn note(&self, problem: &Problem, made: u64) {
        let is_cluster = self.settings.hosts().len() > 1 || self.settings.is_dns_discovery_enabled();
        let mut current = self.lock();
        // Of one server the connection is made anew by the client itself.
        let is_stuck = is_cluster && problem.may_pass() && current.at.elapsed() >= RENEW_AFTER;
        if current.made != made || !(problem.is_the_end() || is_stuck) {
            return;
        }
        if let Ok(client) = Client::new(self.settings.clone()) {
            *current = Current { client, made: made + 1, at: Instant::now() };
        }
    }

    /// Calls once.
    pub(super) async fn once<T, F>(&self, question: impl FnOnce(Client) -> F + Send) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let (client, made) = self.client();
        let answer = within(REQUEST_LIMIT, question(client)).await;
        answer.inspect_err(|problem| self.note(problem, made))
    }

    /// Asks something that may be asked twice, again when the server cannot answer now.
    pub(super) async fn ask<T, F>(&self, question: impl Fn(Client) -> F + Send + Sync) -> Result<T, BoxError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let begin = Instant::now();
        loop {
            match self.once(&question).await {
                Ok(answer) => return Ok(answer),
                Err(problem) if problem.may_pass() && begin.elapsed() < ASK_LIMIT => {
                    tokio::time::sleep(ASK_WAIT).await;
                }
                Err(problem) => return Err(problem.into()),
            }
        }
    }

    /// Makes sure that a server was found that can be asked.
    pub(super) async fn find(&self) -> Result<(), Problem> {
        self.once(async |client| client.server_info().await.map(|_| ())).await
    }

    /// What the names of all our streams begin with.
    pub(super) fn all(&self) -> String {
        format!("{}.evt.", self.prefix)
    }
}

/// The answer of the client, unless it is late or the client panics.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Problem> {
    match tokio::time::timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => answer.map_err(Problem::Answer),
        Ok(Err(_)) => Err(Problem::Unreadable),
        Err(_) => Err(Problem::Late),
    }
}
