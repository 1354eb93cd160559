//! A request is sent to an application once, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;

use crate::app::{App, OK};
use crate::site::{Site, until};

/// Answers the first request of every connection and dies over the second.
async fn dying_over_the_second() -> App {
    App::new(|mut conn| async move {
        conn.request().await;
        conn.write(OK).await;
        conn.request().await;
    })
    .await
}

#[tokio::test]
async fn a_request_is_not_repeated_when_a_used_connection_dies_over_it() {
    for method in ["GET", "POST", "DELETE"] {
        let app = dying_over_the_second().await;
        let site = Site::of(&app).await;
        let mut caller = site.caller().await;
        assert_eq!(caller.get("/").await.status, 200);
        caller.send(format!("{method} /once HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi")).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.error()), (502, Some("upstream_closed")), "{method}");
        assert_eq!(app.seen().iter().filter(|seen| seen.contains("/once")).count(), 1, "{method}");
        assert_eq!(app.connections(), 1);
    }
}

#[tokio::test]
async fn a_request_is_not_repeated_on_another_instance_either() {
    let dying = || {
        App::new(|mut conn| async move {
            conn.request().await;
        })
    };
    let apps = [dying().await, dying().await];
    let site = Site::start().await;
    site.route("a.test", "v1", &apps.each_ref().map(|app| app.address));
    assert_eq!(site.caller().await.post("/", "hi").await.status, 502);
    assert_eq!(apps.iter().map(|app| app.seen().len()).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_connection_the_application_closed_while_it_was_idle_costs_nothing() {
    let closed = Arc::new(AtomicUsize::new(0));
    let app = App::new({
        let closed = Arc::clone(&closed);
        move |mut conn| {
            let closed = Arc::clone(&closed);
            async move {
                conn.request().await;
                conn.write(OK).await;
                conn.stream.shutdown().await.unwrap();
                closed.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    for round in 1..=100 {
        assert_eq!(caller.post("/", "hi").await.status, 200, "round {round}");
        until("the application to close", || closed.load(Ordering::SeqCst) == round).await;
    }
    assert_eq!(app.seen().len(), 100);
}

#[tokio::test]
async fn idle_connections_are_closed_before_the_application_would() {
    let ended = Arc::new(AtomicUsize::new(0));
    let app = App::new({
        let ended = Arc::clone(&ended);
        move |mut conn| {
            let ended = Arc::clone(&ended);
            async move {
                while conn.request().await.is_some() {
                    conn.write(OK).await;
                }
                ended.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    assert_eq!(caller.get("/").await.status, 200);
    until("the edge to close its idle connection", || ended.load(Ordering::SeqCst) == 1).await;
    assert_eq!(caller.get("/").await.status, 200);
    assert_eq!(app.connections(), 2);
}

#[tokio::test]
async fn an_address_that_is_given_to_another_application_starts_without_connections() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    assert_eq!(caller.get("/").await.status, 200);
    site.route("b.test", "v1", &[app.address]);
    caller.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(app.connections(), 2);
    // A new release of the same service, too.
    site.route("a.test", "v2", &[app.address]);
    assert_eq!(caller.get("/").await.status, 200);
    assert_eq!(app.connections(), 3);
    // Another hostname of the same release shares them.
    let route = site.edge.table().get("a.test").unwrap();
    site.edge.table().set("www.a.test", route);
    caller.send("GET / HTTP/1.1\r\nHost: www.a.test\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(app.connections(), 3);
}
