//! A WebSocket after its 101: two connections and the bytes between them.
//!
//! It ends when both sides have, when nothing moves for the quiet limit, when its release is cut, and when the edge
//! stops: a client can open a new one, and waiting for it would only make the stop longer.

use std::io;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::edge::client::ClientIo;
use crate::edge::stop::Stage;
use crate::edge::target::Admitted;
use crate::edge::upstream::Busy;

/// The upstream's half of a tunnel, with the counts it holds.
pub(crate) struct Tunnel {
    pub(crate) upstream: TcpStream,
    /// What the upstream sent right behind its 101.
    pub(crate) early: Bytes,
    pub(crate) busy: Busy,
    pub(crate) admitted: Admitted,
}

impl Tunnel {
    /// Runs the tunnel to its end. `early` is what the client sent right behind its request; it goes on only now.
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
                // Either side may go away at any time; that is how a tunnel ends.
                _ended = &mut copy => break,
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

async fn copy<S>(
    io: &mut ClientIo<S>,
    from_client: Bytes,
    upstream: &mut TcpStream,
    from_upstream: &[u8],
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    io.write_all(from_upstream).await?;
    upstream.write_all(&from_client).await?;
    copy_bidirectional(io, upstream).await?;
    Ok(())
}
