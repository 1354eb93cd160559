//! After a swap: the old release is drained when nothing goes to it any more, or cut when the limit is over.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use crate::app::{App, OK};
use crate::site::{LIMIT, Site, until, within};
use crate::websocket;

/// Answers each request when it is allowed to.
async fn answering_when(allowed: &Arc<Semaphore>) -> App {
    let allowed = Arc::clone(allowed);
    App::new(move |mut conn| {
        let allowed = Arc::clone(&allowed);
        async move {
            while conn.request().await.is_some() {
                allowed.acquire().await.unwrap().forget();
                conn.write(OK).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_drain_waits_for_a_request_of_a_second_and_a_half() {
    let old = App::new(|mut conn| async move {
        conn.request().await;
        tokio::time::sleep(Duration::from_millis(1_500)).await; // This much the request takes.
        conn.write(OK).await;
    })
    .await;
    let new = App::answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew").await;
    let site = Site::of(&old).await;
    let mut caller = site.caller().await;
    let asking = tokio::spawn(async move { caller.get("/").await });
    until("the request to be with the old release", || old.seen().len() == 1).await;
    site.route("a.test", "v2", &[new.address]);
    assert_eq!(site.caller().await.get("/").await.text(), "new");
    assert_eq!(site.edge.table().in_flight("a.test", "v1"), 1);
    assert!(site.edge.table().drained("a.test", "v1", LIMIT).await);
    old.kill();
    let answer = asking.await.unwrap();
    assert_eq!((answer.status, answer.text(), answer.is_whole), (200, "ok", true));
}

#[tokio::test]
async fn the_drain_is_not_over_before_the_last_request_and_is_at_once_after_it() {
    let allowed = Arc::new(Semaphore::new(0));
    let (old, new) = (answering_when(&allowed).await, App::answering(OK).await);
    let site = Site::of(&old).await;
    let mut asking = Vec::new();
    for _ in 0..3 {
        let mut caller = site.caller().await;
        asking.push(tokio::spawn(async move { caller.get("/").await.status }));
    }
    until("the requests to be with the old release", || old.seen().len() == 3).await;
    let draining = tokio::spawn({
        let edge = Arc::clone(&site.edge);
        async move { edge.table().drained("a.test", "v1", LIMIT).await }
    });
    // It is still routed, and then still in flight.
    assert!(!draining.is_finished());
    site.route("a.test", "v2", &[new.address]);
    allowed.add_permits(2);
    until("two requests to end", || site.edge.table().in_flight("a.test", "v1") == 1).await;
    assert!(!draining.is_finished());
    allowed.add_permits(1);
    assert!(draining.await.unwrap());
    for one in asking {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert!(site.edge.table().drained("nobody", "v1", LIMIT).await);
}

#[tokio::test]
async fn the_limit_cuts_a_websocket() {
    let (old, new) = (websocket::echo().await, App::answering(OK).await);
    let site = Site::of(&old).await;
    let mut socket = websocket::open(&site).await;
    site.route("a.test", "v2", &[new.address]);
    socket.send(Message::text("still here")).await.unwrap();
    assert!(within("the echo", socket.next()).await.unwrap().is_ok());
    assert!(!site.edge.table().drained("a.test", "v1", Duration::from_millis(20)).await);
    assert!(within("the cut", socket.next()).await.is_none_or(|message| message.is_err()));
    assert!(site.edge.table().drained("a.test", "v1", LIMIT).await);
}

#[tokio::test]
async fn the_limit_cuts_a_stream_and_a_request_without_an_answer() {
    let old = App::new(|mut conn| async move {
        if conn.request().await.is_some_and(|request| request.starts_with("GET /stream")) {
            conn.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
        }
        std::future::pending().await
    })
    .await;
    let site = Site::of(&old).await;
    let (mut one, mut two) = (site.caller().await, site.caller().await);
    let stream = tokio::spawn(async move { one.get("/stream").await });
    let silence = tokio::spawn(async move { two.get("/silence").await });
    until("both to be with the old release", || old.seen().len() == 2).await;
    site.route("a.test", "v2", &[App::answering(OK).await.address]);
    assert!(!site.edge.table().drained("a.test", "v1", Duration::from_millis(20)).await);
    let cut = stream.await.unwrap();
    assert_eq!((cut.status, cut.text(), cut.is_whole), (200, "hi", false));
    let cut = silence.await.unwrap();
    assert_eq!((cut.status, cut.error()), (503, Some("drained")));
    assert!(site.edge.table().drained("a.test", "v1", LIMIT).await);
}

#[tokio::test]
async fn a_release_that_is_still_routed_is_never_cut() {
    let app = websocket::echo().await;
    let site = Site::of(&app).await;
    let mut socket = websocket::open(&site).await;
    assert!(!site.edge.table().drained("a.test", "v1", Duration::from_millis(20)).await);
    socket.send(Message::text("still here")).await.unwrap();
    assert!(within("the echo", socket.next()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_release_that_was_cut_can_be_routed_again() {
    let old = websocket::echo().await;
    let site = Site::of(&old).await;
    let _socket = websocket::open(&site).await;
    let route = site.edge.table().get("a.test").unwrap();
    site.edge.table().remove("a.test");
    assert!(!site.edge.table().drained("a.test", "v1", Duration::ZERO).await);
    site.edge.table().set("a.test", route);
    let mut socket = websocket::open(&site).await;
    socket.send(Message::text("back")).await.unwrap();
    assert!(within("the echo", socket.next()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_release_is_routed_until_its_last_hostname_is_gone() {
    let (old, new) = (App::answering(OK).await, App::answering(OK).await);
    let site = Site::of(&old).await;
    let route = site.edge.table().get("a.test").unwrap();
    site.edge.table().set("www.a.test", route);
    site.route("a.test", "v2", &[new.address]);
    assert!(!site.edge.table().drained("a.test", "v1", Duration::from_millis(20)).await);
    site.edge.table().remove("www.a.test");
    assert!(site.edge.table().drained("a.test", "v1", LIMIT).await);
}
