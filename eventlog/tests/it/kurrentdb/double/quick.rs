//! A connection that acknowledges at once what it reads.
//!
//! The client (eventstore 4.0.0) sends a request in two pieces and leaves Nagle's algorithm on, so the second
//! waits until the first is acknowledged: 40 ms for each request, as Linux does it. Seven hundred appends in
//! a row would take half a minute.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::Connected;

pub(super) struct Quick(TcpStream);

impl Quick {
    pub(super) fn new(connection: TcpStream) -> io::Result<Self> {
        connection.set_nodelay(true)?;
        Ok(Self(connection))
    }
}

impl Connected for Quick {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Quick {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buf);
        // It does not last, and that it fails is no matter: then it is slow.
        let _ = rustix::net::sockopt::set_tcp_quickack(&self.0, true);
        read
    }
}

impl AsyncWrite for Quick {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
