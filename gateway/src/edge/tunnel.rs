//! A WebSocket after its 101: two connections and the bytes between them.
//!
//! It ends when both sides have, when nothing moves for the quiet limit, when its release is cut, and when
//! the edge stops: a client can open a new one, and waiting for it would only make the stop longer.

use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{Either, select};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::edge::client::ClientIo;
use crate::edge::stop::Stage;
use crate::edge::target::Admitted;
use crate::edge::upstream::Busy;

/// When one side has ended: the other is cut off after this.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The upstream's half of a tunnel, with the counts it holds.
pub(crate) struct Tunnel {
    pub(crate) upstream: TcpStream,
    /// What the upstream sent right behind its 101.
    pub(crate) early: Bytes,
    pub(crate) busy: Busy,
    pub(crate) admitted: Admitted,
}

impl Tunnel {
    /// Runs the tunnel to its end. `early` is what the client sent right behind its request; it goes on only
    /// now.
    pub(crate) async fn run<S>(mut self, mut io: ClientIo<S>, early: Bytes)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let client = io.client().clone();
        let settings = client.edge.settings();
        let mut stage = client.stop.watch();
        let mut tick = tokio::time::interval(settings.tick());
        let cut = self.admitted.release().cut_token().clone();
        let copy = copy(&mut io, early, &mut self.upstream, &self.early);
        tokio::pin!(copy);
        let (mut bytes, mut moved) = (client.bytes(), Instant::now());
        loop {
            tokio::select! {
                () = &mut copy => break,
                () = cut.cancelled() => break,
                closing = stage.wait_for(|stage| matches!(stage, Stage::Closing | Stage::Over)) => {
                    drop(closing);
                    break;
                }
                _at = tick.tick() => {
                    if client.bytes() != bytes {
                        (bytes, moved) = (client.bytes(), Instant::now());
                    } else if moved.elapsed() >= settings.quiet_limit {
                        break;
                    }
                }
            }
        }
        drop(self.busy);
    }
}

/// Copies in both directions. A WebSocket has no half: when one side has ended, the other gets a moment to
/// say its last words.
async fn copy<S>(io: &mut ClientIo<S>, from_client: Bytes, upstream: &mut TcpStream, from_upstream: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client_read, mut client_write) = tokio::io::split(io);
    let (mut upstream_read, mut upstream_write) = upstream.split();
    let up = pin!(pass_on(&from_client, &mut client_read, &mut upstream_write));
    let down = pin!(pass_on(from_upstream, &mut upstream_read, &mut client_write));
    // Either side may go away at any time, in any way; that is how a tunnel ends.
    match select(up, down).await {
        Either::Left((_ended, down)) => drop(timeout(LAST_WORDS, down).await),
        Either::Right((_ended, up)) => drop(timeout(LAST_WORDS, up).await),
    }
}

async fn pass_on<R, W>(early: &[u8], from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    to.write_all(early).await?;
    tokio::io::copy(from, to).await?;
    to.shutdown().await
}
