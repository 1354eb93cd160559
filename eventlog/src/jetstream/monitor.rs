//! One page of a NATS server's monitoring endpoint: the least of HTTP that it takes.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::BoxError;

const LIMIT: Duration = Duration::from_secs(5);
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Fetches a page of `http://host:port`.
pub(super) async fn get(url: &str, path: &str) -> Result<Vec<u8>, BoxError> {
    let authority = url.strip_prefix("http://").ok_or("a monitoring endpoint begins with http://")?;
    let authority = authority.trim_end_matches('/');
    tokio::time::timeout(LIMIT, fetch(authority, path)).await.map_err(|_| "no answer in time")?
}

async fn fetch(authority: &str, path: &str) -> Result<Vec<u8>, BoxError> {
    let mut stream = TcpStream::connect(authority).await?;
    // 1.0: the answer ends with the connection, and comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(BYTES_MAX).read_to_end(&mut answer).await?;
    let is_good = answer.starts_with(b"HTTP/1.0 200 ") || answer.starts_with(b"HTTP/1.1 200 ");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    match end {
        Some(end) if is_good => Ok(answer.split_off(end + 4)),
        Some(_) | None => Err(format!("{path} was not answered with a page").into()),
    }
}
