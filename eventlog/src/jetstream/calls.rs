//! Calls by core NATS: what is asked goes to all who serve the kind, and what they say comes back to an
//! inbox.
//!
//! Nothing of it is stored.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, Message, Subject, Subscriber};
use async_trait::async_trait;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use crate::calls::{AT_ONCE_MAX, Answer, Answers, Calls, Handler, ROLL_CALL, Serving};
use crate::entries::Key;
use crate::error::{BoxError, StoreError};
use crate::jetstream::connection::Connection;
use crate::jetstream::{ConnectError, Settings};

/// For so long nobody new is expected.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// Calls by core NATS. Clones are the same.
#[derive(Clone)]
pub struct NatsCalls {
    connection: Connection,
    /// Who answered the last roll call of a kind, and when that was.
    known: Arc<Mutex<HashMap<String, RollCall>>>,
}

/// Who answered, and when.
type RollCall = (HashSet<Uuid>, Instant);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    request: Value,
    /// For how long whoever asks waits.
    limit_ms: u64,
}

/// What one who serves says: first that it is there, then its answer.
#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    /// Tells those of one name apart.
    server: Uuid,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answered>,
}

/// An answer, which may be null.
#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    value: Value,
}

fn unavailable(source: BoxError) -> StoreError {
    StoreError::Unavailable { doing: "call other processes", source }
}

impl NatsCalls {
    /// Connects.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        Ok(Self { connection: Connection::open(settings).await?, known: Arc::default() })
    }

    fn subject(&self, kind: &str) -> Result<String, BoxError> {
        let kind: Key = kind.parse()?;
        Ok(self.connection.subject(&format!("call.{kind}")))
    }
}

/// One who serves.
struct Server {
    client: Client,
    id: Uuid,
    name: String,
    handler: Handler,
    places: Semaphore,
}

impl Server {
    async fn run(self: Arc<Self>, mut calls: Subscriber) {
        // Those that are under way end with us.
        let mut under_way = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                call = calls.next() => {
                    let Some(call) = call else { return };
                    under_way.spawn(Arc::clone(&self).answer(call));
                }
                Some(_) = under_way.join_next() => {}
            }
        }
    }

    async fn answer(self: Arc<Self>, message: Message) {
        let Some(inbox) = message.reply else { return };
        let Ok(call) = serde_json::from_slice::<Call>(&message.payload) else { return };
        let over = Instant::now() + Duration::from_millis(call.limit_ms);
        self.say(&inbox, None).await;
        let answer = async {
            let Ok(_place) = self.places.acquire().await else { return };
            let value = (self.handler)(call.request).await;
            self.say(&inbox, Some(Answered { value })).await;
        };
        // Afterwards nobody waits for it.
        let _ = tokio::time::timeout_at(over, answer).await;
    }

    async fn say(&self, inbox: &Subject, answer: Option<Answered>) {
        let reply = Reply { server: self.id, name: self.name.clone(), answer };
        if let Ok(reply) = serde_json::to_vec(&reply) {
            // Whoever asked finds out that we do not answer.
            let _ = self.client.publish(inbox.clone(), reply.into()).await;
        }
    }
}

/// What whoever asks has heard.
#[derive(Default)]
struct Heard {
    present: HashSet<Uuid>,
    answers: HashMap<Uuid, Answer>,
}

impl Heard {
    fn take(&mut self, reply: Reply) {
        self.present.insert(reply.server);
        if let Some(Answered { value }) = reply.answer {
            self.answers.insert(reply.server, Answer { from: reply.name, value });
        }
    }

    fn is_complete(&self) -> bool {
        self.answers.len() == self.present.len()
    }
}

/// Hears what is said until the roll call is over and all have answered. The rest of the roll call is not
/// waited for when all have answered that answered one a moment ago. A call that nobody serves ends at once.
async fn hear(inbox: &mut Subscriber, known: &HashSet<Uuid>, heard: &mut Heard) {
    let roll_call = Instant::now() + ROLL_CALL;
    let all_known =
        |heard: &Heard| !known.is_empty() && known.iter().all(|id| heard.answers.contains_key(id));
    while !heard.is_complete() || (Instant::now() < roll_call && !all_known(heard)) {
        let until = if heard.is_complete() { roll_call } else { Instant::now() + ROLL_CALL };
        let Ok(said) = tokio::time::timeout_at(until, inbox.next()).await else { continue };
        let Some(message) = said.filter(|message| message.status.is_none()) else { return };
        if let Ok(reply) = serde_json::from_slice(&message.payload) {
            heard.take(reply);
        }
    }
}

#[async_trait]
impl Calls for NatsCalls {
    async fn serve(&self, kind: &str, name: &str, handler: Handler) -> Result<Serving, StoreError> {
        let subject = self.subject(kind).map_err(unavailable)?;
        let client = self.connection.client.clone();
        let calls = client.subscribe(subject).await.map_err(|err| unavailable(err.into()))?;
        // The server knows of it when this is answered.
        client.flush().await.map_err(|err| unavailable(err.into()))?;
        let (id, name, places) = (Uuid::now_v7(), name.to_owned(), Semaphore::new(AT_ONCE_MAX));
        let server = Arc::new(Server { client, id, name, handler, places });
        Ok(Serving(tokio::spawn(server.run(calls)).abort_handle()))
    }

    async fn ask(&self, kind: &str, request: Value, limit: Duration) -> Result<Answers, StoreError> {
        let subject = self.subject(kind).map_err(unavailable)?;
        let over = Instant::now() + limit;
        if !self.connection.wait_until_up(limit).await {
            return Err(unavailable("there is no connection to NATS".into()));
        }
        self.connection.ask(|| self.ask_once(&subject, &request, over)).await.map_err(unavailable)
    }
}

impl NatsCalls {
    /// Who answered a roll call that is not long ago.
    fn known(&self, subject: &str) -> HashSet<Uuid> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = known.get(subject).filter(|(_, at)| at.elapsed() < KNOWN_FOR);
        recent.map(|(ids, _)| ids.clone()).unwrap_or_default()
    }

    fn remember(&self, subject: &str, present: &HashSet<Uuid>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(subject.to_owned(), (present.clone(), Instant::now()));
    }

    async fn ask_once(&self, subject: &str, request: &Value, over: Instant) -> Result<Answers, BoxError> {
        let client = &self.connection.client;
        let left = over.saturating_duration_since(Instant::now());
        let limit_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let call = serde_json::to_vec(&Call { request: request.clone(), limit_ms })?;
        let inbox = Subject::from(client.new_inbox());
        let mut said = client.subscribe(inbox.clone()).await?;
        client.publish_with_reply(subject.to_owned(), inbox, call.into()).await?;
        let (mut heard, known) = (Heard::default(), self.known(subject));
        // Whether all were heard or the time is over: what counts is who was.
        let _ = tokio::time::timeout_at(over, hear(&mut said, &known, &mut heard)).await;
        self.remember(subject, &heard.present);
        let mut answers: Vec<Answer> = heard.answers.into_values().collect();
        answers.sort_by(|a, b| a.from.cmp(&b.from));
        Ok(Answers { present: heard.present.len(), answers })
    }
}
