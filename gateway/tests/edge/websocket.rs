//! WebSockets: the only upgrade that passes, and only when the application agrees to it.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use switchback_gateway::edge::settings::Settings;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::app::{App, OK, header};
use crate::site::{Site, until, within};

pub(crate) const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Sends back every message, and says so when the client has closed.
pub(crate) async fn echo() -> App {
    App::new(|conn| async move {
        let mut socket = accept_async(conn.stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

pub(crate) async fn open(site: &Site) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(site.address).await.unwrap();
    let (socket, response) = client_async("ws://a.test/ws", stream).await.unwrap();
    assert_eq!(response.status(), 101);
    socket
}

#[tokio::test]
async fn messages_of_any_size_go_there_and_back() {
    let app = echo().await;
    let site = Site::of(&app).await;
    let mut socket = open(&site).await;
    for len in [0, 1, 125, 126, 65_536, 1 << 20] {
        let text = "x".repeat(len);
        socket.send(Message::text(text.clone())).await.unwrap();
        let back = within("the echo", socket.next()).await.unwrap().unwrap();
        assert_eq!(back.into_text().unwrap().as_str(), text);
    }
    assert_eq!((site.edge.counters().in_flight, site.edge.counters().tunnels_opened), (1, 1));
    socket.close(None).await.unwrap();
    within("the close", async { while let Some(Ok(_)) = socket.next().await {} }).await;
    until("the tunnel to end", || site.edge.counters().in_flight == 0).await;
}

#[tokio::test]
async fn bytes_sent_before_the_101_arrive_after_it() {
    let app = App::new(|mut conn| async move {
        let head = conn.head().await.unwrap();
        assert_eq!(
            (header(&head, "upgrade"), header(&head, "connection")),
            (Some("websocket"), Some("upgrade"))
        );
        // Right behind the 101, in the same packet.
        conn.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome",
        )
        .await;
        let early = conn.take(5).await.unwrap();
        conn.write(early).await;
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller.send(format!("{HANDSHAKE}early")).await;
    assert!(caller.head().await.unwrap().starts_with("HTTP/1.1 101"));
    assert_eq!(caller.rest().await, "welcomeearly");
}

#[tokio::test]
async fn an_application_that_does_not_agree_gets_no_tunnel() {
    let app = App::answering("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno").await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    // What stands behind is a request of its own, for another host, and not the tunnel's first bytes.
    caller.send(format!("{HANDSHAKE}GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")).await;
    assert_eq!(caller.answer().await.status, 426);
    assert_eq!(caller.answer().await.error(), Some("no_route"));
    assert_eq!((app.seen().len(), site.edge.counters().tunnels_opened), (1, 0));
}

#[tokio::test]
async fn a_101_nobody_asked_for_or_to_something_else_is_a_502() {
    let foo = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
    let websocket = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (asked, answered) in [(HANDSHAKE, foo), ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", websocket)] {
        let app = App::answering(answered).await;
        let site = Site::of(&app).await;
        let mut caller = site.caller().await;
        caller.send(asked).await;
        assert_eq!(caller.answer().await.error(), Some("upstream_invalid"), "{answered}");
    }
}

#[tokio::test]
async fn a_tunnel_on_which_nothing_moves_is_cut() {
    let app = echo().await;
    let site = Site::with(Settings { quiet_limit: Duration::from_millis(60), ..Settings::default() }).await;
    site.route("a.test", "v1", &[app.address]);
    let mut socket = open(&site).await;
    assert!(within("the cut", socket.next()).await.is_none_or(|message| message.is_err()));
    until("the tunnel to end", || site.edge.counters().in_flight == 0).await;
}

#[tokio::test]
async fn a_side_that_goes_away_takes_the_other_along() {
    let app = echo().await;
    let site = Site::of(&app).await;
    let socket = open(&site).await;
    drop(socket);
    until("the tunnel to end", || site.edge.counters().in_flight == 0).await;
    let mut socket = open(&site).await;
    app.kill();
    assert!(within("the cut", socket.next()).await.is_none_or(|message| message.is_err()));
    until("the tunnel to end", || site.edge.counters().in_flight == 0).await;
}

#[tokio::test]
async fn a_plain_request_goes_over_a_connection_beside_it() {
    let app = App::new(|mut conn| async move {
        while let Some(request) = conn.request().await {
            match header(&request, "upgrade") {
                Some(_) => {
                    conn.write("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await
                }
                None => conn.write(OK).await,
            }
        }
    })
    .await;
    let site = Site::of(&app).await;
    let (mut one, mut two) = (site.caller().await, site.caller().await);
    assert_eq!(two.get("/").await.status, 200);
    one.send(HANDSHAKE).await;
    assert_eq!(one.answer().await.status, 101);
    assert_eq!(two.get("/").await.status, 200);
    // The tunnel took the idle connection, so the second request needed another; nothing is shared.
    assert_eq!(app.connections(), 2);
}
