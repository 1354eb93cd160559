//! Serves one client connection: tells the protocol, runs it under its limits, and ends it properly.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::debug;

use crate::edge::body::ResponseBody;
use crate::edge::client::{Client, ClientIo, Limits, Overdue};
use crate::edge::counters::{Gauged, add};
use crate::edge::link::BUFFER_BYTES_MAX;
use crate::edge::proxy;
use crate::edge::settings::Settings;
use crate::edge::stop::Stage;
use crate::measure;

/// What an HTTP/2 client with prior knowledge sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// After an answer to a body that was not read: the client gets this long to stop sending and read the
/// answer.
const LINGER: Duration = Duration::from_secs(3);

/// A peer that answers no ping for this long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Serves a connection until it ends, and the tunnel it may turn into.
pub(crate) async fn serve<S>(stream: S, client: Arc<Client>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let edge = Arc::clone(&client.edge);
    let _open = Gauged::new(&edge.counting().connections);
    let mut io = ClientIo::new(stream, Arc::clone(&client));
    let mut stage = client.stop.watch();
    let protocol = tokio::select! {
        biased; // What has been asked already is answered.
        protocol = timeout(edge.settings().head_limit, protocol(&mut io)) => protocol,
        // Nothing was asked, so nothing is lost.
        closing = stage.wait_for(|stage| matches!(stage, Stage::Closing | Stage::Over)) => {
            drop(closing);
            return;
        }
    };
    match protocol {
        Ok(Some(Protocol::Http1)) => serve_http1(io, client).await,
        Ok(Some(Protocol::Http2)) => serve_http2(io, client).await,
        Ok(None) | Err(_) => {}
    }
}

enum Protocol {
    Http1,
    Http2,
}

/// Tells the protocol by the first bytes, which stay to be read. `None`: the client left without a byte.
async fn protocol<S: AsyncRead + Unpin>(io: &mut ClientIo<S>) -> Option<Protocol> {
    let mut first = BytesMut::with_capacity(PREFACE.len());
    while PREFACE.starts_with(&first) && first.len() < PREFACE.len() {
        let left = PREFACE.len() - first.len();
        if (&mut *io).take(left as u64).read_buf(&mut first).await.ok()? == 0 {
            break;
        }
    }
    let protocol = match &*first {
        [] => return None,
        PREFACE => Protocol::Http2,
        _ => Protocol::Http1,
    };
    io.unread(first.freeze());
    Some(protocol)
}

async fn serve_http1<S>(io: ClientIo<S>, client: Arc<Client>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let client = Arc::clone(&client);
        service_fn(move |request| answer(Arc::clone(&client), request))
    };
    let mut connection = http1_settings(client.edge.settings()).serve_connection(TokioIo::new(io), service);
    let ending = drive(&mut connection, &client, Limits::new(true), |connection, stage| {
        // An idle connection is left open for the lame-duck time: its next request is answered, with `close`.
        if stage == Stage::Closing {
            Pin::new(connection).graceful_shutdown();
        }
    })
    .await;
    if ending == Ending::Abandoned {
        return;
    }
    let parts = connection.into_parts();
    let io = parts.io.into_inner();
    if let Some(tunnel) = client.take_tunnel() {
        add(&client.edge.counting().tunnels_opened);
        tunnel.run(io, parts.read_buf).await;
    } else if client.has_unread_body() {
        linger(io).await;
    }
}

/// Answers a request, and counts that.
async fn answer(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let Ok(response) = proxy::handle(client, request).await;
    measure::edge_answered(response.status());
    Ok(response)
}

async fn serve_http2<S>(io: ClientIo<S>, client: Arc<Client>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = {
        let client = Arc::clone(&client);
        service_fn(move |request| answer(Arc::clone(&client), request))
    };
    let mut connection = http2_settings(client.edge.settings()).serve_connection(TokioIo::new(io), service);
    // GOAWAY says which streams will be answered, so it can be sent at once.
    drive(&mut connection, &client, Limits::new(false), |connection, _stage| {
        Pin::new(connection).graceful_shutdown();
    })
    .await;
}

fn http1_settings(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None) // Limits does it, without a timer per request.
        .max_header_size(settings.head_bytes_max)
        .max_buf_size(settings.head_bytes_max.max(BUFFER_BYTES_MAX));
    builder
}

fn http2_settings(settings: &Settings) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams { tick: settings.tick() });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams_max)
        .max_header_list_size(u32::try_from(settings.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// The protocol came to its end.
    Ended,
    /// A limit was over; the connection is to be dropped as it is.
    Abandoned,
}

/// Runs a connection under its limits, and passes the stages of a stop on to it.
async fn drive<C>(
    connection: &mut C,
    client: &Client,
    mut limits: Limits,
    stop: impl Fn(&mut C, Stage),
) -> Ending
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    let mut tick = ticks(client.edge.settings().tick());
    let mut stage = client.stop.watch();
    loop {
        tokio::select! {
            biased;
            ended = &mut *connection => {
                if let Err(error) = ended {
                    if error.is_parse() {
                        add(&client.edge.counting().malformed);
                    }
                    debug!(error = %error, "a client connection failed");
                }
                return Ending::Ended;
            }
            // The tick wakes the requests of this connection as well, for the limits they watch themselves.
            _at = tick.tick() => match limits.look(client) {
                None => {}
                Some(Overdue::Idle) => stop(connection, Stage::Closing),
                Some(Overdue::Stuck) => return Ending::Abandoned,
            },
            changed = stage.changed() => {
                let stage = *stage.borrow_and_update();
                if changed.is_err() || stage == Stage::Over {
                    return Ending::Abandoned;
                }
                if stage != Stage::Serving {
                    stop(connection, stage);
                }
            }
        }
    }
}

/// Runs the streams of an HTTP/2 connection as tasks, each of which is woken by the tick.
#[derive(Clone)]
struct Streams {
    tick: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let tick = self.tick;
        tokio::spawn(async move {
            let mut stream = pin!(stream);
            let mut tick = ticks(tick);
            loop {
                tokio::select! {
                    biased;
                    () = &mut stream => return,
                    _at = tick.tick() => {}
                }
            }
        });
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Reads what the client still sends, so that the answer it was given is not lost to a reset.
async fn linger<S: AsyncRead + Unpin>(mut io: ClientIo<S>) {
    let mut rest = [0; 8 << 10];
    let drained = async { while io.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    let _ = timeout(LINGER, drained).await;
}
