//! Every limit, at its edge: what is too slow, too large or too many is ended, and its neighbours are not.

use std::time::Duration;

use switchback_gateway::edge::settings::Settings;

use crate::app::{App, OK};
use crate::site::{Site, until};

const SHORT: Duration = Duration::from_millis(60);

async fn site_of(app: &App, settings: Settings) -> Site {
    let site = Site::with(settings).await;
    site.route("a.test", "v1", &[app.address]);
    site
}

#[tokio::test]
async fn half_a_head_and_then_nothing_is_cut_off() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings { head_limit: SHORT, ..Settings::default() }).await;
    for bytes in ["", "G", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nHost: a."] {
        let mut caller = site.caller().await;
        caller.send(bytes).await;
        assert_eq!(caller.rest().await, "", "{bytes:?}");
    }
    // After a first request as well; and while it is idle, only the idle limit counts.
    let mut caller = site.caller().await;
    assert_eq!(caller.get("/").await.status, 200);
    tokio::time::sleep(SHORT * 3).await; // The one thing here that shows in nothing else than time.
    assert_eq!(caller.get("/").await.status, 200);
    caller.send("GET / HTTP/1.1\r\nHos").await;
    assert_eq!(caller.rest().await, "");
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings { idle_limit: SHORT, ..Settings::default() }).await;
    let mut caller = site.caller().await;
    assert_eq!(caller.get("/").await.status, 200);
    assert_eq!(caller.rest().await, "");
}

#[tokio::test]
async fn a_head_over_the_limit_is_a_431() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings { head_bytes_max: 2_000, ..Settings::default() }).await;
    let head = |len: usize| format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {}\r\n\r\n", "x".repeat(len - 37));
    assert_eq!(head(2_000).len(), 2_000);
    let mut caller = site.caller().await;
    caller.send(head(2_000)).await;
    assert_eq!(caller.answer().await.status, 200);
    caller.send(head(2_001)).await;
    assert_eq!(caller.answer().await.status, 431);
    assert_eq!(app.seen().len(), 1);
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_and_the_client_gets_to_read_it() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings { body_bytes_max: Some(100_000), ..Settings::default() }).await;
    let sized = |len: usize| format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {len}\r\n\r\n");
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for (head, len, status) in [
        (sized(100_000), 100_000, 200),
        (sized(100_001), 100_001, 413),
        (sized(5_000_000), 5_000_000, 413),
        (chunked.clone(), 100_000, 200),
        (chunked.clone(), 100_001, 413),
        (chunked, 5_000_000, 413),
    ] {
        let body = "x".repeat(len);
        let body = if head.contains("chunked") { format!("{len:x}\r\n{body}\r\n0\r\n\r\n") } else { body };
        let mut caller = site.caller().await;
        caller.send_all(head + &body).await;
        let answer = caller.answer().await;
        assert_eq!(answer.status, status, "{len}");
        assert_eq!(answer.error(), (status == 413).then_some("body_too_large"));
        assert!(answer.is_whole);
    }
    assert_eq!(app.seen().len(), 2);
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_a_408() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings { stall_limit: SHORT, ..Settings::default() }).await;
    let mut caller = site.caller().await;
    caller.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhel").await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.error()), (408, Some("client_stalled")));
    assert_eq!(app.seen().len(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let len = 64 << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n");
    let app = App::answering(head + &"x".repeat(len)).await;
    let site = site_of(&app, Settings { stall_limit: SHORT, ..Settings::default() }).await;
    let mut caller = site.caller().await;
    caller.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    until("the request to be forwarded", || app.seen().len() == 1).await;
    until("the connection to be cut", || site.edge.counters().connections == 0).await;
    until("the upstream to be let go", || site.edge.counters().in_flight == 0).await;
    assert!(!caller.answer().await.is_whole);
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut() {
    let app = App::new(|mut conn| async move {
        conn.request().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
        std::future::pending().await
    })
    .await;
    let site = site_of(&app, Settings { quiet_limit: SHORT, ..Settings::default() }).await;
    let answer = site.caller().await.get("/").await;
    assert_eq!((answer.status, answer.text(), answer.is_whole), (200, "hello", false));
    assert_eq!(site.edge.counters().answers_cut, 1);
}

#[tokio::test]
async fn more_connections_than_may_be_open_wait_for_a_place() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings { connections_max: 2, ..Settings::default() }).await;
    let (mut one, mut two, mut three) = (site.caller().await, site.caller().await, site.caller().await);
    assert_eq!((one.get("/").await.status, two.get("/").await.status), (200, 200));
    let third = tokio::spawn(async move { three.get("/").await.status });
    // As long as both are open, they are served and the third is not.
    for _ in 0..20 {
        assert_eq!((one.get("/").await.status, two.get("/").await.status), (200, 200));
    }
    assert_eq!((third.is_finished(), site.edge.counters().connections_accepted), (false, 2));
    drop(one);
    assert_eq!(third.await.unwrap(), 200);
}
