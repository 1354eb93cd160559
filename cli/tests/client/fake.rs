//! A server that remembers what it was asked and answers what a test told it to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Below `/api/v1`, with its query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Canned {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<String>,
    after: After,
}

/// What comes after the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The end.
    End,
    /// The connection breaks.
    Break,
    /// Nothing, for a long time.
    Silence,
}

/// An answer with data.
pub(crate) fn data(data: Value) -> Canned {
    status(200, json!({"data": data, "meta": {"position": 7}}))
}

/// A list with a next page.
pub(crate) fn page(data: Value, next: Option<&str>) -> Canned {
    let meta = json!({"pagination": {"next": next, "limit": 50}});
    status(200, json!({"data": data, "meta": meta}))
}

/// A refusal.
pub(crate) fn refusal(code: u16, word: &str, message: &str) -> Canned {
    let error = json!({"code": word, "message": message, "details": [], "request_id": "r-1"});
    status(code, json!({"error": error}))
}

/// Any answer.
pub(crate) fn status(code: u16, body: Value) -> Canned {
    Canned { status: code, headers: vec![], pieces: vec![body.to_string()], after: After::End }
}

/// Server-sent events.
pub(crate) fn stream(events: &[String]) -> Canned {
    let headers = vec![("content-type", "text/event-stream".to_owned())];
    Canned { status: 200, headers, pieces: events.to_vec(), after: After::End }
}

/// An event of a stream.
pub(crate) fn event(name: &str, id: Option<u64>, data: &Value) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n")
}

/// A line of a log as an event.
pub(crate) fn line(number: u64, channel: &str, text: &str) -> String {
    let at = "2026-10-05T14:00:00.000Z";
    let line = json!({"number": number, "at": at, "channel": channel, "origin": "build", "text": text});
    event("line", Some(number), &line)
}

impl Canned {
    /// With one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// And then the connection breaks.
    pub(crate) fn then_breaks(mut self) -> Self {
        self.after = After::Break;
        self
    }

    /// And then nothing comes.
    pub(crate) fn then_is_silent(mut self) -> Self {
        self.after = After::Silence;
        self
    }

    fn response(self) -> Response {
        let Self { status, headers, pieces, after } = self;
        let mut builder = Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>).collect::<VecDeque<_>>();
        let body = futures::stream::unfold((pieces, after), |(mut pieces, after)| async move {
            match (pieces.pop_front(), after) {
                (Some(piece), after) => Some((piece, (pieces, after))),
                (None, After::End) => None,
                (None, After::Break) => {
                    // What was said before is sent once there is nothing more to say.
                    tokio::task::yield_now().await;
                    Some((Err(std::io::Error::other("broken")), (pieces, After::End)))
                }
                (None, After::Silence) => {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                    None
                }
            }
        });
        builder.body(Body::from_stream(body)).expect("a response")
    }
}

#[derive(Default)]
struct Script {
    answers: Mutex<BTreeMap<String, VecDeque<Canned>>>,
    asked: Mutex<Vec<Asked>>,
}

/// The server. It ends with its value.
pub(crate) struct Fake {
    pub(crate) url: String,
    script: Arc<Script>,
    _runtime: Runtime,
}

impl Fake {
    /// Begins to serve, with nothing to answer.
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Arc::new(Script::default());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&script));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, script, _runtime: runtime }
    }

    /// Answers a request. Told twice, the second answer is for the second request; the last one stays.
    pub(crate) fn on(&self, request: &str, answer: Canned) -> &Self {
        self.script.answers.lock().unwrap().entry(request.to_owned()).or_default().push_back(answer);
        self
    }

    /// Everything that was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    /// The lines of everything that was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(Asked::line).collect()
    }

    /// The requests with this line, queries aside.
    pub(crate) fn asked_for(&self, request: &str) -> Vec<Asked> {
        let is_it = |asked: &Asked| without_query(&asked.line()) == request;
        self.asked().into_iter().filter(is_it).collect()
    }
}

fn without_query(line: &str) -> &str {
    line.split('?').next().unwrap_or(line)
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 50_000_000).await.unwrap_or_default();
    let whole = parts.uri.to_string();
    let path = whole.strip_prefix("/api/v1").unwrap_or(&whole).to_owned();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    let asked = Asked { method: parts.method.to_string(), path, headers: headers.collect(), body };
    let line = asked.line();
    script.asked.lock().unwrap().push(asked);
    let mut answers = script.answers.lock().unwrap();
    let key = if answers.contains_key(&line) { line.clone() } else { without_query(&line).to_owned() };
    let found = answers
        .get_mut(&key)
        .and_then(|queue| if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() });
    drop(answers);
    let nothing = || refusal(404, "route_not_found", &format!("the test has no answer to {line}"));
    let answer = found.unwrap_or_else(nothing);
    if answer.status == StatusCode::NO_CONTENT.as_u16() {
        return Response::builder().status(204).header("Switchback-Position", 9).body(Body::empty()).unwrap();
    }
    answer.response()
}
