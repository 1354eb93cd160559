//! A request for an application that does not listen yet waits, and waits no longer than it may.

use std::time::Duration;

use switchback_gateway::edge::settings::Settings;

use crate::app::{App, OK};
use crate::site::{Site, nobody, until};

fn briefly() -> Settings {
    Settings { hold_limit: Duration::from_millis(80), hold_waiters_max: 2, ..Settings::default() }
}

#[tokio::test]
async fn a_request_is_held_until_its_application_listens() {
    let (site, address) = (Site::start().await, nobody().await);
    site.route("a.test", "v1", &[address]);
    let mut caller = site.caller().await;
    let asking = tokio::spawn(async move { caller.post("/", "hello").await });
    until("the request to be held", || site.edge.counters().held == 1).await;
    // While it waits, it keeps nothing from draining: nothing of it is with the application.
    until("nothing to be in flight", || site.edge.counters().in_flight == 0).await;
    let app = App::answering_at(address, OK).await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(app.seen().len(), 1);
    assert!(app.seen()[0].ends_with("hello"));
    assert_eq!(site.edge.counters().held, 0);
}

#[tokio::test]
async fn a_held_request_goes_to_the_release_that_is_routed_meanwhile() {
    let site = Site::start().await;
    site.route("a.test", "v1", &[]);
    let mut caller = site.caller().await;
    let asking = tokio::spawn(async move { caller.get("/").await });
    until("the request to be held", || site.edge.counters().held == 1).await;
    let app = App::answering(OK).await;
    site.route("a.test", "v2", &[app.address]);
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_held_request_whose_hostname_is_taken_out_is_a_404() {
    let site = Site::start().await;
    site.route("a.test", "v1", &[nobody().await]);
    let mut caller = site.caller().await;
    let asking = tokio::spawn(async move { caller.get("/").await });
    until("the request to be held", || site.edge.counters().held == 1).await;
    site.edge.table().remove("a.test");
    assert_eq!(asking.await.unwrap().error(), Some("no_route"));
}

#[tokio::test]
async fn an_application_that_never_listens_is_a_503_that_says_so() {
    let site = Site::with(briefly()).await;
    site.route("a.test", "v1", &[nobody().await, nobody().await]);
    let answer = site.caller().await.get("/").await;
    assert_eq!((answer.status, answer.error()), (503, Some("not_ready")));
    assert!(answer.header("retry-after").is_some());
    assert!(answer.text().contains("a.test (v1) does not accept connections"), "{}", answer.text());
}

#[tokio::test]
async fn no_more_requests_wait_for_one_release_than_may() {
    let settings = Settings { hold_limit: Duration::from_secs(10), ..briefly() };
    let site = Site::with(settings).await;
    let address = nobody().await;
    site.route("a.test", "v1", &[address]);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut caller = site.caller().await;
        waiting.push(tokio::spawn(async move { caller.get("/").await }));
    }
    until("two requests to be held", || site.edge.counters().held == 2).await;
    let mut caller = site.caller().await;
    let answer = caller.get("/").await;
    assert_eq!((answer.status, answer.error()), (503, Some("hold_full")));
    assert!(answer.header("retry-after").is_some());
    // The others are not disturbed, and another application has places of its own.
    let app = App::answering_at(address, OK).await;
    for one in waiting {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert_eq!(caller.get("/").await.status, 200);
    assert_eq!(app.seen().len(), 3);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let site = Site::start().await;
    site.route("a.test", "v1", &[nobody().await]);
    let mut caller = site.caller().await;
    caller.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    until("the request to be held", || site.edge.counters().held == 1).await;
    drop(caller);
    until("the place to be free", || site.edge.counters().held == 0).await;
}

#[tokio::test]
async fn an_instance_that_is_down_costs_no_request() {
    let app = App::answering(OK).await;
    let site = Site::with(briefly()).await;
    site.route("a.test", "v1", &[nobody().await, app.address, nobody().await]);
    let mut caller = site.caller().await;
    for _ in 0..30 {
        assert_eq!(caller.get("/").await.status, 200);
    }
    assert_eq!(app.seen().len(), 30);
}

#[tokio::test]
async fn instances_share_the_requests() {
    let apps = [App::answering(OK).await, App::answering(OK).await, App::answering(OK).await];
    let site = Site::start().await;
    site.route("a.test", "v1", &apps.each_ref().map(|app| app.address));
    let mut caller = site.caller().await;
    for _ in 0..30 {
        assert_eq!(caller.get("/").await.status, 200);
    }
    assert_eq!(apps.each_ref().map(|app| app.seen().len()), [10, 10, 10]);
}
