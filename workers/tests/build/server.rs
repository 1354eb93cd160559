//! A server of repositories by HTTP, as simple as one can be, and as unfriendly as a test wants it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// Serves files of a directory below `/files`, and what its other paths say.
pub(crate) struct Server {
    address: String,
}

impl Server {
    /// Runs until the tests end.
    pub(crate) fn start(directory: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let directory = Arc::new(directory);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let directory = directory.clone();
                thread::spawn(move || answer(stream, &directory));
            }
        });
        Self { address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }
}

fn answer(mut stream: TcpStream, directory: &std::path::Path) {
    let mut lines = BufReader::new(stream.try_clone().expect("cloned")).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let (status, head, body) = match path.trim_start_matches('/').split('/').next().unwrap_or_default() {
        "files" => match fs::read(directory.join(path.trim_start_matches("/files/"))) {
            Ok(body) => ("200 OK", String::new(), body),
            Err(_) => ("404 Not Found", String::new(), vec![]),
        },
        // As GitLab does: only the address that ends in .git is served.
        "strict.git" => match fs::read(directory.join(path.trim_start_matches("/strict.git/"))) {
            Ok(body) => ("200 OK", String::new(), body),
            Err(_) => ("404 Not Found", String::new(), vec![]),
        },
        "strict" => {
            let to = path.replacen("/strict", "/strict.git", 1);
            ("301 Moved Permanently", format!("Location: {to}\r\n"), vec![])
        }
        "moved" => ("302 Found", "Location: http://169.254.169.254/\r\n".to_owned(), vec![]),
        "private" => ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n".to_owned(), vec![]),
        "broken" => ("500 Internal Server Error", String::new(), vec![]),
        "hang" => loop {
            thread::park();
        },
        _ => ("404 Not Found", String::new(), vec![]),
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{head}\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
