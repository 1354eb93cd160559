//! The built-in edge, as the workers' port to traffic: the one of this process, or all there are.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::id::ServiceId;
use domain::service::release::ReleaseNumber;
use eventlog::calls::{Handler, SharedCalls};
use futures::FutureExt;
use gateway::edge::Edge;
use gateway::route::CurrentReleases;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;
use workers::traffic::Traffic;

/// The edge of this process.
pub(crate) struct EdgeTraffic {
    edge: Arc<Edge>,
    current: CurrentReleases,
}

impl EdgeTraffic {
    /// Over an edge and what is known of its routes.
    pub(crate) fn new(edge: Arc<Edge>, current: CurrentReleases) -> Self {
        Self { edge, current }
    }
}

#[async_trait]
impl Traffic for EdgeTraffic {
    async fn arrived(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool {
        self.current.arrived(service, release, limit).await
    }

    async fn drained(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool {
        self.edge.table().drained(&service.to_string(), &release.to_string(), limit).await
    }
}

/// What calls to edges are known by.
const EDGES: &str = "edge";
/// How long to wait before an edge tries again to be asked.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is asked who is there.
const LOOK_OUT_EVERY: Duration = Duration::from_secs(10);
/// What an answer may take longer than what it waits for.
const SLACK: Duration = Duration::from_secs(2);

/// What a worker asks every edge.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
enum Question {
    /// Are you there?
    Here {},
    /// Do requests go to the release?
    Arrived { service: ServiceId, release: ReleaseNumber, limit_ms: u64 },
    /// Does nothing in flight go to it any more?
    Drained { service: ServiceId, release: ReleaseNumber, limit_ms: u64 },
}

/// Every edge of the installation, wherever it runs.
pub(crate) struct RemoteTraffic {
    calls: SharedCalls,
    /// Knows who is there, so that nobody waits for those who are not.
    _looking: AbortOnDropHandle<()>,
}

impl RemoteTraffic {
    /// By calls.
    pub(crate) fn new(calls: SharedCalls) -> Self {
        let looking = tokio::spawn(look_out(SharedCalls::clone(&calls)));
        Self { calls, _looking: AbortOnDropHandle::new(looking) }
    }

    /// Whether all edges say so. One that cannot be asked has no word in it: it goes on with the routes that
    /// it knows, and hears of the others when it is back.
    async fn all_say(&self, question: &Question, limit: Duration) -> bool {
        let asked = match serde_json::to_value(question) {
            Ok(value) => self.calls.ask(EDGES, value, limit + SLACK).await,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "the edges cannot be asked");
                return false;
            }
        };
        match asked {
            Ok(answers) => {
                answers.is_complete()
                    && answers.answers.iter().all(|answer| answer.value == Value::Bool(true))
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "the edges cannot be asked");
                tokio::time::sleep(limit).await; // What is in flight gets its time all the same.
                false
            }
        }
    }
}

#[async_trait]
impl Traffic for RemoteTraffic {
    async fn arrived(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool {
        let question = Question::Arrived { service, release, limit_ms: in_ms(limit) };
        self.all_say(&question, limit).await
    }

    async fn drained(&self, service: ServiceId, release: ReleaseNumber, limit: Duration) -> bool {
        let question = Question::Drained { service, release, limit_ms: in_ms(limit) };
        self.all_say(&question, limit).await
    }
}

/// Asks now and then who is there.
async fn look_out(calls: SharedCalls) {
    loop {
        let question = serde_json::to_value(Question::Here {}).unwrap_or_default();
        // One that does not answer is found out when it is asked for more.
        let _ = calls.ask(EDGES, question, SLACK).await;
        tokio::time::sleep(LOOK_OUT_EVERY).await;
    }
}

fn in_ms(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
}

/// Answers the workers' questions for an edge, until it is told to stop.
pub(crate) async fn answer(
    calls: SharedCalls,
    name: String,
    traffic: Arc<EdgeTraffic>,
    stop: CancellationToken,
) {
    let handler: Handler = Arc::new(move |question| {
        let traffic = Arc::clone(&traffic);
        async move {
            let is_so = match serde_json::from_value(question) {
                Ok(Question::Arrived { service, release, limit_ms }) => {
                    traffic.arrived(service, release, Duration::from_millis(limit_ms)).await
                }
                Ok(Question::Drained { service, release, limit_ms }) => {
                    traffic.drained(service, release, Duration::from_millis(limit_ms)).await
                }
                Ok(Question::Here {}) => true,
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "a worker's question is not understood");
                    false
                }
            };
            Value::Bool(is_so)
        }
        .boxed()
    });
    loop {
        match calls.serve(EDGES, &name, Arc::clone(&handler)).await {
            Ok(_serving) => return stop.cancelled().await,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "workers cannot ask this edge yet");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
