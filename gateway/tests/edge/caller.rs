//! A client in front of the edge, on a bare socket: it sends what no HTTP library would.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::header;
use crate::site::within;

pub(crate) struct Caller {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// What the client was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The body came to its announced end.
    pub(crate) is_whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn error(&self) -> Option<&str> {
        self.header("switchback-error")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Caller {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Caller { stream, buffer: Vec::new() }
    }

    /// Sends bytes; a peer that is gone shows when the answer is read.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends bytes, every one of which the edge must take.
    pub(crate) async fn send_all(&mut self, bytes: impl AsRef<[u8]>) {
        within("the edge to take it", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        self.answer().await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Answer {
        let len = body.len();
        self.send(format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {len}\r\n\r\n{body}"))
            .await;
        self.answer().await
    }

    /// The next answer, which must come.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("the connection was closed without an answer")
    }

    /// The next answer; `None` when the connection ends before one begins.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let head = self.head().await?;
        let status: u16 = head[9..12].parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new(), is_whole: true };
        if status == 204 || status == 304 || status < 200 {
            return Some(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                if chunk.is_empty() {
                    return Some(answer);
                }
                answer.body.extend(chunk);
            }
            answer.is_whole = false;
            return Some(answer);
        }
        let len = answer.header("content-length").map(|len| len.parse::<usize>().unwrap());
        while answer.body.len() < len.unwrap_or(usize::MAX) {
            if self.buffer.is_empty() && !self.more().await {
                answer.is_whole = len.is_none();
                return Some(answer);
            }
            let take = self.buffer.len().min(len.unwrap_or(usize::MAX) - answer.body.len());
            answer.body.extend(self.buffer.drain(..take));
        }
        Some(answer)
    }

    /// Reads a head, and leaves the body to be read.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Some(String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next chunk of a chunked body; empty at its end, `None` when it was cut.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let len =
                    usize::from_str_radix(std::str::from_utf8(&self.buffer[..end]).unwrap(), 16).unwrap();
                if self.buffer.len() >= end + 2 + len + 2 {
                    let chunk: Vec<u8> = self.buffer.drain(..end + 2 + len + 2).collect();
                    return Some(chunk[end + 2..end + 2 + len].to_vec());
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Waits for the end of the connection; what came before it and was not read yet.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// `false` at the end of the connection, however it ended.
    async fn more(&mut self) -> bool {
        within("bytes from the edge", self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0) > 0
    }
}
