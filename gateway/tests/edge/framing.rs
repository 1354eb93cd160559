//! The table of framing attacks: a request that two readers could read in two ways reaches no application, or
//! reaches it in the one way the edge has read it.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::app::{App, OK, header};
use crate::caller::Answer;
use crate::site::Site;

/// Sends the bytes, reads that many answers, and then nothing more may come. Gives back what the application
/// saw.
async fn attack(bytes: &str, answers: usize) -> (Vec<Answer>, Vec<String>) {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller.send(bytes).await;
    let mut got = Vec::new();
    for _ in 0..answers {
        got.push(caller.answer().await);
    }
    let _ = caller.stream.shutdown().await;
    assert_eq!(caller.rest().await, "", "more was answered than asked: {bytes:?}");
    (got, app.seen())
}

/// The request is answered with 400 and nothing of it reaches the application.
async fn is_refused(bytes: &str) {
    let (answers, seen) = attack(bytes, 1).await;
    assert_eq!(answers[0].status, 400, "{bytes:?}");
    assert!(answers[0].closes() || answers[0].error().is_some(), "{bytes:?}: {}", answers[0].head);
    assert_eq!(seen, Vec::<String>::new(), "{bytes:?}");
}

#[tokio::test]
async fn length_and_chunks_together_go_on_as_chunks_only_and_the_connection_ends() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 7",
    ] {
        let bytes =
            format!("POST / HTTP/1.1\r\nHost: a.test\r\n{headers}\r\n\r\n3\r\nabc\r\n0\r\n\r\n{smuggled}");
        let (answers, seen) = attack(&bytes, 1).await;
        assert!(answers[0].closes(), "{headers}");
        assert_eq!(seen.len(), 1, "{headers}");
        assert_eq!(header(&seen[0], "content-length"), None);
        assert_eq!(header(&seen[0], "transfer-encoding"), Some("chunked"));
        assert!(seen[0].ends_with("\r\n\r\nabc"));
    }
}

#[tokio::test]
async fn transfer_codings_but_chunked_are_refused() {
    for coding in
        ["xchunked", "chunked, identity", "gzip, chunked", "identity", "chunked, chunked", "\x0bchunked"]
    {
        let body = "0\r\n\r\n";
        is_refused(&format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: {coding}\r\n\r\n{body}"))
            .await;
    }
    is_refused(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n\
         0\r\n\r\n",
    )
    .await;
    is_refused("POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn lengths_that_differ_or_are_no_numbers_are_refused() {
    for lengths in ["5\r\nContent-Length: 6", "5, 6", "+5", "-1", "0x5", "5 5", "18446744073709551616"] {
        is_refused(&format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {lengths}\r\n\r\nhello"))
            .await;
    }
}

#[tokio::test]
async fn a_request_without_one_host_is_refused() {
    is_refused("GET / HTTP/1.1\r\n\r\n").await;
    is_refused("GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n").await;
    is_refused("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n").await;
    is_refused("GET / HTTP/1.1\r\nHost:\r\n\r\n").await;
    is_refused("GET / HTTP/1.1\r\nHost: b.test@a.test\r\n\r\n").await;
    is_refused("GET http://b.test@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    is_refused("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").await;
}

#[tokio::test]
async fn header_lines_that_readers_disagree_on_are_refused() {
    for line in [
        "Content-Length : 5",
        "X-A: 1\r\n folded: 2",
        "X-A: 1\r\n\tTransfer-Encoding: chunked",
        "X A: 1",
        ": 1",
        "no colon",
        "X-A: 1\rX-B: 2",
        "X-A: \0",
    ] {
        is_refused(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{line}\r\n\r\n")).await;
    }
}

#[tokio::test]
async fn chunks_with_a_bad_size_do_not_complete_a_request() {
    for chunk in
        ["-1\r\n", "g\r\n", "fffffffffffffffff\r\na\r\n0\r\n\r\n", "3\r\nabcdef\r\n0\r\n\r\n", "1\na\n0\n\n"]
    {
        let head = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (answers, seen) = attack(&format!("{head}{chunk}"), 1).await;
        assert_eq!(answers[0].status, 400, "{chunk:?}");
        assert_eq!(seen, Vec::<String>::new(), "{chunk:?}");
    }
}

#[tokio::test]
async fn an_upgrade_to_anything_else_is_an_ordinary_request() {
    let (answers, seen) = attack(
        "GET /first HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n\
         GET /second HTTP/1.1\r\nHost: b.test\r\n\r\n",
        2,
    )
    .await;
    // The second request is not the first one's payload: it is routed by its own host.
    assert_eq!((answers[0].status, answers[1].status), (200, 404));
    assert_eq!(seen.len(), 1);
    assert_eq!((header(&seen[0], "upgrade"), header(&seen[0], "connection")), (None, None));
    let (_, seen) =
        attack("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 1).await;
    assert_eq!(header(&seen[0], "upgrade"), None);
}

#[tokio::test]
async fn the_authority_wins_over_host_and_replaces_it() {
    let (answers, seen) = attack("GET http://a.test/x?y=1 HTTP/1.1\r\nHost: admin.test\r\n\r\n", 1).await;
    assert_eq!(answers[0].status, 200);
    assert!(seen[0].starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{}", seen[0]);
    assert_eq!(header(&seen[0], "host"), Some("a.test"));
    assert_eq!(header(&seen[0], "x-forwarded-host"), Some("a.test"));
    assert!(!seen[0].contains("admin.test"));
    let (answers, seen) = attack("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 1).await;
    assert_eq!((answers[0].status, seen.len()), (404, 0));
}

#[tokio::test]
async fn bare_line_feeds_are_read_once_and_written_anew() {
    // The parser takes a bare LF for the end of a line, as RFC 9112 §2.2 allows. What must not happen is that
    // the application gets to read it once more.
    let (answers, seen) =
        attack("GET /x HTTP/1.1\nHost: a.test\nX-A: 1\n\nGET /y HTTP/1.1\r\nHost: b.test\r\n\r\n", 2).await;
    assert_eq!((answers[0].status, answers[1].status), (200, 404));
    assert_eq!(seen.len(), 1);
    assert_eq!(header(&seen[0], "x-a"), Some("1"));
    assert!(!seen[0].replace("\r\n", "").contains('\n'));
}

#[tokio::test]
async fn trailers_end_at_the_edge() {
    let (answers, seen) = attack(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTrailer: X-Real-IP\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Real-IP: 10.0.0.1\r\n\r\n",
        1,
    )
    .await;
    assert_eq!(answers[0].status, 200);
    assert!(!seen[0].to_lowercase().contains("x-real-ip"));
}

#[tokio::test]
async fn an_answer_with_length_and_chunks_is_read_as_chunks_by_both() {
    let app = App::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    for _ in 0..2 {
        let answer = caller.get("/").await;
        assert_eq!((answer.text(), answer.header("content-length")), ("hello", None));
    }
}

#[tokio::test]
async fn bytes_behind_an_answer_are_nobodys_answer() {
    for poison in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "x"] {
        let app = App::answering(format!("{OK}{poison}")).await;
        let site = Site::of(&app).await;
        let mut caller = site.caller().await;
        for round in 1..=5 {
            assert_eq!(caller.get("/").await.text(), "ok");
            assert_eq!(app.connections(), round, "the connection was used again");
        }
    }
}

#[tokio::test]
async fn an_answer_nobody_asked_for_on_an_idle_connection_is_nobodys_answer() {
    let (said, say) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let app = App::new({
        let (said, say) = (Arc::clone(&said), Arc::clone(&say));
        move |mut conn| {
            let (said, say) = (Arc::clone(&said), Arc::clone(&say));
            async move {
                conn.request().await;
                conn.write(OK).await;
                say.acquire().await.unwrap().forget();
                conn.write("HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\n\r\npoison").await;
                said.add_permits(1);
                conn.request().await;
            }
        }
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    for _ in 0..5 {
        assert_eq!(caller.post("/", "hi").await.text(), "ok");
        say.add_permits(1);
        said.acquire().await.unwrap().forget();
    }
    assert_eq!((app.seen().len(), app.connections()), (5, 5));
}
