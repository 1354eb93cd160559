//! Bodies that do not end soon: they pass piece by piece, in whatever time they take, in little memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::app::{App, Conn};
use crate::caller::Caller;
use crate::site::{Site, until};

const MIB: usize = 1 << 20;
const HUNDRED: usize = 100 * MIB;

/// More than this over what there was is not flat. The whole body would be three times as much.
const FLAT: usize = 32 * MIB;

#[tokio::test]
async fn events_arrive_one_by_one() {
    let next = Arc::new(Semaphore::new(0));
    let app = App::new({
        let next = Arc::clone(&next);
        move |mut conn| {
            let next = Arc::clone(&next);
            async move {
                conn.request().await;
                conn.write(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n",
                )
                .await;
                for number in 0..5 {
                    next.acquire().await.unwrap().forget();
                    conn.write(format!("9\r\ndata: {number}\n\n\r\n")).await;
                }
                conn.write("0\r\n\r\n").await;
            }
        }
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(caller.head().await.unwrap().contains("text/event-stream"));
    for number in 0..5 {
        // The next event is only sent when this one has arrived.
        next.add_permits(1);
        assert_eq!(caller.chunk().await.unwrap(), format!("data: {number}\n\n").as_bytes());
    }
    assert_eq!(caller.chunk().await.unwrap(), b"");
}

#[tokio::test]
async fn a_body_in_both_directions_at_once() {
    let app = App::new(|mut conn| async move {
        conn.head().await;
        conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        while let Some(chunk) = conn.take(6).await {
            conn.write(&chunk).await; // A chunk of one byte, back as it came.
        }
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    assert!(caller.head().await.is_some());
    for letter in ["a", "b", "c"] {
        caller.send(format!("1\r\n{letter}\r\n")).await;
        assert_eq!(caller.chunk().await.unwrap(), letter.as_bytes());
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_is_seen_as_cut() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let app = App::new(move |mut conn| async move {
            conn.request().await;
            conn.write(answer).await;
        })
        .await;
        let site = Site::of(&app).await;
        let got = site.caller().await.get("/").await;
        assert_eq!((got.status, got.text(), got.is_whole), (200, "hello", false), "{answer}");
        until("nothing to be in flight", || site.edge.counters().in_flight == 0).await;
        assert_eq!(site.edge.counters().answers_cut, 1);
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let app = App::new(|mut conn| async move {
        conn.head().await;
        conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        while conn.take(1).await.is_some() {}
    })
    .await;
    let site = Site::of(&app).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nhi",
    ] {
        let mut caller = site.caller().await;
        caller.send(request).await;
        assert!(caller.head().await.is_some());
        assert_eq!(site.edge.counters().in_flight, 1);
        drop(caller);
        until("the application to be let go", || site.edge.counters().in_flight == 0).await;
    }
}

/// Reads a body to its end without keeping it, counting the bytes.
async fn swallow(conn: &mut Conn, count: &AtomicUsize) {
    let mut buffer = vec![0; 64 << 10];
    count.fetch_add(conn.buffered().len(), Ordering::SeqCst);
    loop {
        let read = conn.stream.read(&mut buffer).await.unwrap_or(0);
        count.fetch_add(read, Ordering::SeqCst);
        if read == 0 || buffer[..read].ends_with(b"0\r\n\r\n") || count.load(Ordering::SeqCst) == HUNDRED {
            return;
        }
    }
}

async fn swallowing(count: &Arc<AtomicUsize>) -> App {
    let count = Arc::clone(count);
    App::new(move |mut conn| {
        let count = Arc::clone(&count);
        async move {
            conn.head().await;
            swallow(&mut conn, &count).await;
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_100_mib_passes_in_flat_memory() {
    for is_chunked in [false, true] {
        let count = Arc::new(AtomicUsize::new(0));
        let app = swallowing(&count).await;
        let site = Site::of(&app).await;
        let mut caller = site.caller().await;
        let framing = if is_chunked {
            "Transfer-Encoding: chunked".into()
        } else {
            format!("Content-Length: {HUNDRED}")
        };
        caller.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n")).await;
        let piece = if is_chunked { chunk_of(MIB) } else { vec![b'x'; MIB] };
        let mut memory = Memory::now();
        for _ in 0..100 {
            caller.send(&piece).await;
            memory.look();
        }
        if is_chunked {
            caller.send("0\r\n\r\n").await;
        }
        assert_eq!(caller.answer().await.text(), "done");
        assert!(count.load(Ordering::SeqCst) >= HUNDRED);
        memory.is_flat();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_does_not_read_holds_the_client_back() {
    let go_on = Arc::new(Semaphore::new(0));
    let count = Arc::new(AtomicUsize::new(0));
    let app = App::new({
        let (go_on, count) = (Arc::clone(&go_on), Arc::clone(&count));
        move |mut conn| {
            let (go_on, count) = (Arc::clone(&go_on), Arc::clone(&count));
            async move {
                conn.head().await;
                go_on.acquire().await.unwrap().forget();
                swallow(&mut conn, &count).await;
                conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
            }
        }
    })
    .await;
    let site = Site::of(&app).await;
    let caller = site.caller().await;
    let (mut read, mut write) = caller.stream.into_split();
    let mut memory = Memory::now();
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = tokio::spawn({
        let sent = Arc::clone(&sent);
        async move {
            let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {HUNDRED}\r\n\r\n");
            write.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..100 {
                write.write_all(&vec![b'x'; MIB]).await.unwrap();
                sent.fetch_add(MIB, Ordering::SeqCst);
            }
            write
        }
    });
    stands_still(&sent).await;
    assert!(sent.load(Ordering::SeqCst) < HUNDRED / 2, "somebody keeps the body");
    memory.look();
    memory.is_flat();
    go_on.add_permits(1);
    let _write = sending.await.unwrap();
    let mut answer = [0; 12];
    read.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_holds_the_application_back() {
    let sent = Arc::new(AtomicUsize::new(0));
    let app = App::new({
        let sent = Arc::clone(&sent);
        move |mut conn| {
            let sent = Arc::clone(&sent);
            async move {
                conn.request().await;
                conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {HUNDRED}\r\n\r\n")).await;
                for _ in 0..100 {
                    conn.write(vec![b'x'; MIB]).await;
                    sent.fetch_add(MIB, Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    let mut memory = Memory::now();
    caller.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert!(caller.head().await.is_some());
    stands_still(&sent).await;
    assert!(sent.load(Ordering::SeqCst) < HUNDRED / 2, "somebody keeps the body");
    memory.look();
    memory.is_flat();
    assert!(read_all(&mut caller).await >= HUNDRED - MIB);
}

async fn read_all(caller: &mut Caller) -> usize {
    let (mut buffer, mut count) = (vec![0; 256 << 10], 0);
    while count < HUNDRED {
        let read = tokio::time::timeout(Duration::from_secs(1), caller.stream.read(&mut buffer)).await;
        let Ok(Ok(1..)) = read else { return count };
        count += read.unwrap().unwrap();
    }
    count
}

/// Waits until a count has begun and no longer changes.
async fn stands_still(count: &AtomicUsize) {
    let (mut last, mut same) = (usize::MAX, 0);
    while same < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = count.load(Ordering::SeqCst);
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
}

fn chunk_of(len: usize) -> Vec<u8> {
    let mut chunk = format!("{len:x}\r\n").into_bytes();
    chunk.extend(vec![b'x'; len]);
    chunk.extend(b"\r\n");
    chunk
}

/// What this process, the edge included, has in memory.
struct Memory {
    start: usize,
    most: usize,
}

impl Memory {
    fn now() -> Self {
        let start = resident();
        Memory { start, most: start }
    }

    fn look(&mut self) {
        self.most = self.most.max(resident());
    }

    fn is_flat(&self) {
        let more = self.most.saturating_sub(self.start);
        assert!(more < FLAT, "{} MiB more than before", more / MIB);
    }
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
