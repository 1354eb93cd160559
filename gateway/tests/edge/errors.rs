//! What the edge answers itself, and how to tell that it did.

use std::time::Duration;

use switchback_gateway::edge::settings::Settings;
use switchback_gateway::edge::table::Route;

use crate::app::{App, OK};
use crate::site::{Site, until};

#[tokio::test]
async fn an_unknown_hostname_is_named_in_a_404() {
    let site = Site::start().await;
    let mut caller = site.caller().await;
    caller.send("GET / HTTP/1.1\r\nHost: Nobody.test:80\r\n\r\n").await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.error()), (404, Some("no_route")));
    assert!(answer.text().contains("nobody.test"), "{}", answer.text());
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    caller.send("GET / HTTP/1.1\r\nHost: nobody.test\r\nAccept: text/html,*/*\r\n\r\n").await;
    let answer = caller.answer().await;
    assert!(answer.text().starts_with("<!doctype html>") && answer.text().contains("nobody.test"));
    assert_eq!(site.failures("no_route"), 2);
}

#[tokio::test]
async fn an_application_that_dies_before_its_answer_is_a_502() {
    let app = App::new(|mut conn| async move {
        conn.request().await;
    })
    .await;
    let site = Site::of(&app).await;
    let answer = site.caller().await.get("/").await;
    assert_eq!((answer.status, answer.error()), (502, Some("upstream_closed")));
    assert!(answer.text().contains("a.test (v1)"), "{}", answer.text());
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_a_502_of_its_own_kind() {
    for nonsense in
        ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\n\r\n"]
    {
        let app = App::answering(nonsense).await;
        let site = Site::of(&app).await;
        let answer = site.caller().await.get("/").await;
        assert_eq!((answer.status, answer.error()), (502, Some("upstream_invalid")), "{nonsense}");
    }
}

#[tokio::test]
async fn an_application_that_does_not_answer_in_time_is_a_504() {
    let app = App::new(|mut conn| async move {
        conn.request().await;
        std::future::pending().await
    })
    .await;
    let settings = Settings { answer_limit: Duration::from_millis(60), ..Settings::default() };
    let site = Site::with(settings).await;
    site.route("a.test", "v1", &[app.address]);
    let answer = site.caller().await.get("/").await;
    assert_eq!((answer.status, answer.error()), (504, Some("upstream_timeout")));
}

#[tokio::test]
async fn the_counters_say_what_happened() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller.get("/").await;
    caller.post("/", "hi").await;
    caller.send("nonsense\r\n\r\n").await;
    caller.answer().await;
    until("the connection to be over", || site.edge.counters().connections == 0).await;
    let counters = site.edge.counters();
    assert_eq!((counters.requests, counters.connections_accepted, counters.malformed), (2, 1, 1));
    assert_eq!((counters.in_flight, counters.held, counters.answers_cut), (0, 0, 0));
}

#[tokio::test]
async fn the_table_can_be_swapped_as_a_whole() {
    let (one, two) = (App::answering(OK).await, App::answering(OK).await);
    let site = Site::of(&one).await;
    let route = |upstream| Route { service: "b".into(), release: "v7".into(), upstreams: vec![upstream] };
    let mut caller = site.caller().await;
    assert_eq!(caller.get("/").await.status, 200);
    site.edge.table().replace_all([("B.test".to_owned(), route(two.address))]);
    assert_eq!(caller.get("/").await.status, 404);
    caller.send("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!((one.seen().len(), two.seen().len(), site.edge.table().len()), (1, 1, 1));
    assert_eq!(site.edge.table().get("b.TEST"), Some(route(two.address)));
    site.edge.table().remove("b.test");
    assert!(site.edge.table().is_empty());
}
