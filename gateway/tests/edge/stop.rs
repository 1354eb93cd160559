//! Stopping: no client loses a request, and nothing is waited for longer than the limits say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use switchback_gateway::edge::settings::Settings;
use tokio::sync::Semaphore;

use crate::app::{App, OK};
use crate::caller::Caller;
use crate::http2;
use crate::site::{Site, until, within};
use crate::websocket;

async fn site_of(app: &App, settings: Settings) -> Site {
    let site = Site::with(settings).await;
    site.route("a.test", "v1", &[app.address]);
    site
}

fn short_duck() -> Settings {
    Settings { lame_duck: Duration::from_millis(30), ..Settings::default() }
}

/// Asks on one connection until it is told not to come back.
async fn ask_until_told(mut caller: Caller, answered: Arc<AtomicUsize>) {
    loop {
        let answer = caller.get("/").await;
        assert_eq!((answer.status, answer.is_whole), (200, true));
        answered.fetch_add(1, Ordering::SeqCst);
        if answer.closes() {
            assert_eq!(caller.rest().await, "");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_keep_their_connections_lose_nothing() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings { lame_duck: Duration::from_secs(10), ..Settings::default() }).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(tokio::spawn(ask_until_told(site.caller().await, Arc::clone(&answered))));
    }
    until("the clients to be busy", || answered.load(Ordering::SeqCst) > 1_000).await;
    let mut idle = site.caller().await;
    assert_eq!(idle.get("/").await.status, 200);
    site.shutdown.cancel();
    for client in clients {
        within("the client to be told", client).await.unwrap();
    }
    // A connection that comes late is served and told too, and so is one that was idle meanwhile.
    let mut late = site.caller().await;
    assert!(late.get("/").await.closes());
    assert!(idle.get("/").await.closes());
    // With the last connection the lame-duck time ends; its ten seconds were only a limit.
    within("the edge to stop", site.serving).await.unwrap();
}

#[tokio::test]
async fn an_idle_edge_stops_at_once_and_accepts_nothing_after() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings { lame_duck: Duration::from_secs(3_600), ..Settings::default() }).await;
    assert_eq!(site.caller().await.get("/").await.status, 200);
    site.shutdown.cancel();
    within("the edge to stop", site.serving).await.unwrap();
    assert!(tokio::net::TcpStream::connect(site.address).await.is_err());
}

#[tokio::test]
async fn idle_connections_are_closed_when_the_lame_duck_time_is_over() {
    let app = App::answering(OK).await;
    let site = site_of(&app, short_duck()).await;
    let (mut used, mut fresh, mut h2) =
        (site.caller().await, site.caller().await, http2::client(&site).await);
    assert_eq!(used.get("/").await.status, 200);
    assert_eq!(h2.send_request(http2::get("http://a.test/")).await.unwrap().status(), 200);
    until("all to be accepted", || site.edge.counters().connections == 3).await;
    site.shutdown.cancel();
    assert_eq!((used.rest().await, fresh.rest().await), (String::new(), String::new()));
    within("the edge to stop", site.serving).await.unwrap();
}

#[tokio::test]
async fn a_request_in_flight_finishes() {
    let allowed = Arc::new(Semaphore::new(0));
    let app = App::new({
        let allowed = Arc::clone(&allowed);
        move |mut conn| {
            let allowed = Arc::clone(&allowed);
            async move {
                while conn.request().await.is_some() {
                    allowed.acquire().await.unwrap().forget();
                    conn.write(OK).await;
                }
            }
        }
    })
    .await;
    let site = site_of(&app, short_duck()).await;
    let mut caller = site.caller().await;
    let mut h2 = http2::client(&site).await;
    let asking = tokio::spawn(async move { caller.get("/").await });
    let streaming = tokio::spawn(async move { h2.send_request(http2::get("http://a.test/")).await.unwrap() });
    until("both to be with the application", || app.seen().len() == 2).await;
    site.shutdown.cancel();
    until("nothing to be accepted any more", || std::net::TcpStream::connect(site.address).is_err()).await;
    assert!(!site.serving.is_finished());
    allowed.add_permits(2);
    let answer = asking.await.unwrap();
    assert_eq!((answer.status, answer.text(), answer.closes()), (200, "ok", true));
    assert_eq!(http2::text(streaming.await.unwrap()).await, "ok");
    within("the edge to stop", site.serving).await.unwrap();
}

#[tokio::test]
async fn what_does_not_finish_within_the_limit_is_cut() {
    let app = App::new(|mut conn| async move {
        conn.request().await;
        std::future::pending().await
    })
    .await;
    let site = site_of(&app, Settings { drain_limit: Duration::from_millis(30), ..short_duck() }).await;
    let mut caller = site.caller().await;
    caller.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    until("the request to be with the application", || app.seen().len() == 1).await;
    site.shutdown.cancel();
    within("the edge to stop", site.serving).await.unwrap();
    assert!(caller.try_answer().await.is_none());
    assert_eq!(site.edge.counters().in_flight, 0);
}

#[tokio::test]
async fn a_websocket_does_not_keep_the_edge_from_stopping() {
    let app = websocket::echo().await;
    let site = site_of(&app, short_duck()).await;
    let mut socket = websocket::open(&site).await;
    site.shutdown.cancel();
    within("the edge to stop", site.serving).await.unwrap();
    assert!(within("the cut", socket.next()).await.is_none_or(|message| message.is_err()));
}

#[tokio::test]
async fn a_second_listener_is_not_stopped_with_the_first() {
    let app = App::answering(OK).await;
    let site = site_of(&app, Settings::default()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _other = tokio::spawn(Arc::clone(&site.edge).serve(listener, Default::default()));
    site.shutdown.cancel();
    within("the edge to stop", site.serving).await.unwrap();
    let answer = Caller::connect(address).await.get("/").await;
    assert_eq!((answer.status, answer.closes()), (200, false));
}
