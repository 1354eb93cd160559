//! A small web server for the files of one directory: what the hidden subcommand `serve-static` runs for
//! static sites.
//!
//! It answers with files of the directory and nothing else: no links that lead out of it (the kernel sees to
//! that, see [`within`]), no hidden files, no lists of directories. A directory is its `index.html`; what is
//! not there is `404.html` when that is. A browser asks before it uses a file again (`no-cache` and entity
//! tags), so a new release and a rollback are seen at once.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tower_http::services::ServeDir;

use crate::static_files::within::Within;

mod within;

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take to send the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long answers that were begun may take to end when the server is stopped.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// The largest `404.html`.
const NOT_FOUND_PAGE_BYTES: u64 = 1 << 20;
/// Pause after a connection could not be accepted, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What the hidden subcommand does with the arguments after its name, which are `-- DIRECTORY`: it serves the
/// directory on the port in `PORT`, on the loopback address, until it gets SIGTERM. Prints one line when it
/// cannot.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    match serve(arguments.into_iter().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::Write::write_all(&mut io::stderr(), format!("{error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Vec<String>) -> io::Result<()> {
    let [dashes, directory] = arguments.as_slice() else { return Err(usage()) };
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok());
    let (Some(port), "--") = (port, dashes.as_str()) else { return Err(usage()) };
    let files = Files::open(Path::new(directory))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot serve {directory}: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        files.serve(listener, async { stopped().await }).await;
        Ok(())
    })
}

fn usage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "usage: PORT=<port> serve-static -- DIRECTORY")
}

async fn stopped() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        }
        (Err(_), _) | (_, Err(_)) => std::future::pending().await,
    }
}

/// The files that are served.
#[derive(Clone)]
struct Files {
    within: Within,
    directory: ServeDir<tower_http::services::fs::DefaultServeDirFallback, Within>,
}

impl Files {
    fn open(directory: &Path) -> io::Result<Self> {
        let within = Within::open(directory)?;
        let served = ServeDir::with_backend(".", within.clone()).ignore_multi_range_requests(true);
        Ok(Self { within, directory: served })
    }

    /// Serves until `stop`, and then ends what was begun.
    async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&listener, &room) => accepted,
            };
            let Ok((stream, place)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let files = self.clone();
            let service = service_fn(move |request| {
                let files = files.clone();
                async move { Ok::<_, Infallible>(files.answer(request).await) }
            });
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            tokio::spawn(async move {
                // A client that went away is no error of ours.
                let _ = connection.await;
                drop(place);
            });
        }
        drop(listener);
        let _ = tokio::time::timeout(STOP_LIMIT, graceful.shutdown()).await;
    }

    async fn answer(mut self, mut request: Request<Incoming>) -> Response<Body> {
        // Two slashes would make a redirect to a directory point to another host.
        if request.uri().path().starts_with("//") {
            return self.not_found().await;
        }
        self.prepare(&mut request).await;
        let mut response = match self.directory.try_call(request).await {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => return self.not_found().await,
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.not_found().await,
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n"),
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        name_charset(headers);
        response
    }

    /// Takes out conditions that cannot be answered by `ServeDir`, so that more is sent than had to be, never
    /// less.
    async fn prepare(&mut self, request: &mut Request<Incoming>) {
        // After a rollback a file may be older than the one that a client has, and yet another.
        request.headers_mut().remove(header::IF_MODIFIED_SINCE);
        let Some(condition) = request.headers_mut().remove(header::IF_RANGE) else { return };
        // A range of another file than the client began to read must not be sent (RFC 9110, 13.1.5).
        let mut question = Request::new(http_body_util::Empty::<Bytes>::new());
        *question.method_mut() = Method::HEAD;
        *question.uri_mut() = request.uri().clone();
        let now = self.directory.try_call(question).await.ok();
        if now.and_then(|now| now.headers().get(header::ETAG).cloned()) != Some(condition) {
            request.headers_mut().remove(header::RANGE);
        }
    }

    async fn not_found(&self) -> Response<Body> {
        let Ok(page) = self.within.read("404.html", NOT_FOUND_PAGE_BYTES).await else {
            return plain(StatusCode::NOT_FOUND, "404 Not Found\n");
        };
        answer(StatusCode::NOT_FOUND, "text/html; charset=utf-8", page.into())
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let body = Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Texts are in UTF-8; without a word about it a browser may take them for something older.
fn name_charset(headers: &mut HeaderMap) {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return };
    if kind.starts_with("text/")
        && !kind.contains("charset")
        && let Ok(kind) = HeaderValue::from_str(&format!("{kind}; charset=utf-8"))
    {
        headers.insert(header::CONTENT_TYPE, kind);
    }
}
