//! The API, as a client speaks it: a token, a key for every command, and reads that have seen the last
//! command.
//!
//! A request that got no answer, or 503, is sent again a few times; a command under the same key, so it
//! counts once.

mod error;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, TryStreamExt, stream};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};
use uuid::Uuid;

pub(crate) use self::error::ApiError;
use self::error::Refusal;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an answer may take; the server gives up after 30 s.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long an upload may take.
const UPLOAD_LIMIT: Duration = Duration::from_mins(30);
/// How much of a file is sent at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How often a request is sent.
const ATTEMPTS: u32 = 5;
/// How long to wait before the second attempt, unless the server says; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// What a server may say at most.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How many pages of a list are read at most.
const PAGES_MAX: usize = 1_000;
/// How much of a list is asked for at once.
const PAGE_LIMIT: usize = 100;

/// A server and how to speak to it.
#[derive(Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    server: Url,
    token: Option<String>,
    /// Where the log was after the last command: what is read afterwards must have reached it.
    position: AtomicU64,
    has_answered: AtomicBool,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// The data; null when there is none.
    pub(crate) data: Value,
    /// Where in the log it stands.
    pub(crate) position: Option<u64>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
}

impl Answer {
    /// The data, in the form that it has by the contract.
    ///
    /// # Errors
    /// [`ApiError::NotUnderstood`].
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        read(&self.data)
    }
}

/// Data in the form that it has by the contract.
///
/// # Errors
/// [`ApiError::NotUnderstood`].
pub(crate) fn read<T: DeserializeOwned>(data: &Value) -> Result<T, ApiError> {
    T::deserialize(data).map_err(ApiError::NotUnderstood)
}

/// A parameter of a query.
pub(crate) type Parameter = (&'static str, String);

/// A token opened by somebody else must not be sent in the clear: whether the address is this machine's.
pub(crate) fn is_local(server: &Url) -> bool {
    match server.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl Api {
    /// A client for a server.
    ///
    /// # Errors
    /// [`ApiError::Client`] when this machine cannot speak TLS at all.
    pub(crate) fn new(server: Url, token: Option<String>) -> Result<Self, ApiError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("switchback/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            // A token goes to the server it is for, and nowhere else.
            .redirect(redirect::Policy::none());
        if is_local(&server) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(ApiError::Client)?;
        Ok(Self { http, server, token, position: AtomicU64::new(0), has_answered: AtomicBool::new(false) })
    }

    /// The server's address.
    pub(crate) fn server(&self) -> &Url {
        &self.server
    }

    /// Reads.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn get(&self, path: &[&str], query: &[Parameter]) -> Result<Answer, ApiError> {
        let url = self.url(path, query)?;
        self.answer(|| self.request(Method::GET, &url)).await
    }

    /// Reads a list to its end, or so many of it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn list(
        &self,
        path: &[&str],
        query: &[Parameter],
        most: usize,
    ) -> Result<Vec<Value>, ApiError> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = query.to_vec();
            query.push(("limit", (most - all.len()).clamp(1, PAGE_LIMIT).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let answer = self.get(path, &query).await?;
            all.append(&mut answer.read::<Vec<Value>>()?);
            cursor = answer.next;
            if cursor.is_none() || all.len() >= most {
                break;
            }
        }
        all.truncate(most);
        Ok(all)
    }

    /// Orders something.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn command(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Answer, ApiError> {
        let url = self.url(path, &[])?;
        self.command_to(method, url, body).await
    }

    /// Orders something, with parameters.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn post_with(
        &self,
        path: &[&str],
        query: &[Parameter],
        body: &Value,
    ) -> Result<Answer, ApiError> {
        let url = self.url(path, query)?;
        self.command_to(Method::POST, url, Some(body)).await
    }

    async fn command_to(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, ApiError> {
        let key = Uuid::now_v7().to_string();
        let build = || {
            let request = self.request(method.clone(), &url).header("Idempotency-Key", &key);
            if let Some(body) = body { request.json(body) } else { request }
        };
        let answer = self.answer(build).await?;
        self.position.fetch_max(answer.position.unwrap_or(0), Ordering::Relaxed);
        Ok(answer)
    }

    /// Sends a file. It has one effect, however often it is sent: it is kept under its digest.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn upload(
        &self,
        path: &[&str],
        file: &Arc<File>,
        bytes: u64,
        on_progress: impl Fn(Sent) + Clone + Send + Sync + 'static,
    ) -> Result<Answer, ApiError> {
        let url = self.url(path, &[])?;
        let build = || {
            on_progress(Sent::Nothing);
            let on_progress = on_progress.clone();
            let body = pieces(Arc::clone(file)).inspect_ok(move |piece| {
                on_progress(Sent::More(piece.len() as u64));
            });
            let request = self.request(Method::POST, &url).timeout(UPLOAD_LIMIT);
            let request = request.header(CONTENT_TYPE, "application/gzip").header(CONTENT_LENGTH, bytes);
            request.body(reqwest::Body::wrap_stream(body))
        };
        self.answer(build).await
    }

    /// Opens a stream of events, after the event `last_id`. One attempt: who follows decides about more.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn open_stream(
        &self,
        path: &[&str],
        query: &[Parameter],
        last_id: Option<&str>,
    ) -> Result<Response, ApiError> {
        let url = self.url(path, query)?;
        let mut request = self.request(Method::GET, &url).header(ACCEPT, "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let answer = tokio::time::timeout(ANSWER_LIMIT, request.send()).await;
        let answer = answer.map_err(|_| ApiError::TimedOut { server: self.server.clone() })?;
        let response = answer.map_err(|error| self.no_answer(error))?;
        self.has_answered.store(true, Ordering::Relaxed);
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    fn url(&self, path: &[&str], query: &[Parameter]) -> Result<Url, ApiError> {
        let mut url = self.server.clone();
        // A URL resolves these; a name that a person mistyped must not become another address.
        if let Some(bad) = path.iter().find(|part| matches!(**part, "" | "." | "..")) {
            return Err(ApiError::Name((*bad).to_owned()));
        }
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(["api", "v1"]).extend(path);
            }
            Err(()) => return Err(ApiError::Name(self.server.to_string())),
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let mut request = self.http.request(method, url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        match self.position.load(Ordering::Relaxed) {
            0 => request,
            position => request.header("Switchback-Position", position),
        }
    }

    /// Sends a request until it is answered with something else than 503.
    async fn answer(&self, build: impl Fn() -> RequestBuilder) -> Result<Answer, ApiError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let error = match self.attempt(build()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let said = match error.retry_after() {
                Some(said) if attempt < ATTEMPTS => said,
                _ => return Err(error),
            };
            tokio::time::sleep(said.unwrap_or(pause).min(PAUSE_MAX)).await;
            pause *= 2;
        }
        unreachable!("the last attempt returns")
    }

    async fn attempt(&self, request: RequestBuilder) -> Result<Answer, ApiError> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(ApiError::Client)?;
        request.timeout_mut().get_or_insert(ANSWER_LIMIT);
        let response = client.execute(request).await.map_err(|error| self.no_answer(error))?;
        self.has_answered.store(true, Ordering::Relaxed);
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let header = response.headers().get("Switchback-Position");
        let position = header.and_then(|value| value.to_str().ok()?.parse().ok());
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Answer { position, ..Answer::default() });
        }
        let body = response.bytes().await.map_err(|error| self.no_answer(error))?;
        let Body { data, meta } = serde_json::from_slice(&body)
            .map_err(|source| ApiError::NotOurs { server: self.server.clone(), source: Some(source) })?;
        Ok(Answer {
            data,
            position: position.or_else(|| meta["position"].as_u64()),
            next: meta["pagination"]["next"].as_str().map(ToOwned::to_owned),
        })
    }

    fn no_answer(&self, source: reqwest::Error) -> ApiError {
        ApiError::no_answer(&self.server, source, self.has_answered.load(Ordering::Relaxed))
    }

    async fn refused(&self, response: Response) -> ApiError {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after =
            header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        if status.is_redirection() {
            let to = header(reqwest::header::LOCATION).unwrap_or("another address").to_owned();
            return ApiError::Redirected { server: self.server.clone(), to };
        }
        let body = response.bytes().await.unwrap_or_default();
        match Refusal::read(status, retry_after, &body) {
            Some(refusal) => ApiError::Refused(Box::new(refusal)),
            None if status == StatusCode::SERVICE_UNAVAILABLE => {
                ApiError::Refused(Box::new(Refusal::bare(status, retry_after)))
            }
            None => ApiError::NotOurs { server: self.server.clone(), source: None },
        }
    }
}

/// A file from its beginning, whoever else reads it.
fn pieces(file: Arc<File>) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
    stream::try_unfold((file, 0), |(file, at)| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read_at(&mut piece, at)?;
        piece.truncate(read);
        Ok((read > 0).then_some((piece, (file, at + read as u64))))
    })
}

/// What every answer with a body has.
#[derive(Deserialize)]
struct Body {
    data: Value,
    #[serde(default)]
    meta: Value,
}

/// How an upload gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It begins, or begins again.
    Nothing,
    /// So many bytes more.
    More(u64),
}
