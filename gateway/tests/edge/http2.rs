//! HTTP/2 from clients that know the edge speaks it, beside HTTP/1.1 on the same port.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::app::{App, OK, header};
use crate::site::{Site, until};

pub(crate) async fn client(site: &Site) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(site.address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn get(uri: &str) -> Request<Full<Bytes>> {
    request("GET", uri, "")
}

fn request(method: &str, uri: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(uri).body(Full::from(body)).unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn streams_are_forwarded_as_requests_of_http_1_1() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut client = client(&site).await;
    let mut asked = request("POST", "http://a.test/x?y", "hello");
    for crumb in ["a=1", "b=2"] {
        asked.headers_mut().append("cookie", crumb.parse().unwrap());
    }
    asked.headers_mut().append("x-forwarded-for", "10.0.0.1".parse().unwrap());
    let response = client.send_request(asked).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "ok");
    let seen = &app.seen()[0];
    assert!(seen.starts_with("POST /x?y HTTP/1.1\r\n") && seen.ends_with("hello"), "{seen}");
    assert_eq!(header(seen, "host"), Some("a.test"));
    assert_eq!(header(seen, "cookie"), Some("a=1; b=2"));
    assert_eq!(header(seen, "x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_hundred_streams_share_one_connection() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let client = client(&site).await;
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move {
                text(client.send_request(request("GET", "http://a.test/", "")).await.unwrap()).await
            })
        })
        .collect();
    for one in asking {
        assert_eq!(one.await.unwrap(), "ok");
    }
    assert_eq!((app.seen().len(), site.edge.counters().connections_accepted), (100, 1));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_stream_that_breaks_off() {
    let app = App::new(|mut conn| async move {
        conn.request().await;
        conn.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    })
    .await;
    let site = Site::of(&app).await;
    let mut client = client(&site).await;
    // The reset may overtake the head; what may not come is an end.
    if let Ok(response) = client.send_request(get("http://a.test/")).await {
        assert!(response.into_body().collect().await.is_err());
    }
    // The connection is not hurt.
    let other = client.send_request(request("GET", "http://b.test/", "")).await.unwrap();
    assert_eq!(
        (other.status().as_u16(), &other.headers()["switchback-error"]),
        (404, &"no_route".parse().unwrap())
    );
}

#[tokio::test]
async fn a_stream_the_client_gives_up_lets_the_application_go() {
    let app = App::new(|mut conn| async move {
        conn.request().await;
        std::future::pending().await
    })
    .await;
    let site = Site::of(&app).await;
    let mut client = client(&site).await;
    let asking = tokio::spawn({
        let mut client = client.clone();
        async move { client.send_request(request("GET", "http://a.test/", "")).await.is_ok() }
    });
    until("the request to be with the application", || app.seen().len() == 1).await;
    asking.abort();
    until("the application to be let go", || site.edge.counters().in_flight == 0).await;
    assert!(client.ready().await.is_ok());
}
