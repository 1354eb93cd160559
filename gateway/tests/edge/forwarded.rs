//! What an application is told of its client, and by whom.

use crate::app::{App, OK, header};
use crate::site::Site;

#[tokio::test]
async fn a_client_cannot_speak_for_the_edge() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller
        .send(
            "GET / HTTP/1.1\r\nHost: A.test:8080\r\nX-Forwarded-For: 10.0.0.1\r\n\
             X-Forwarded-For: 10.0.0.2\r\nX_Forwarded_For: 10.0.0.3\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: admin.test\r\n\
             X-Forwarded-Port: 443\r\nX-Real-IP: 10.0.0.4\r\nForwarded: for=10.0.0.5\r\nX-Kept: 1\r\n\r\n",
        )
        .await;
    assert_eq!(caller.answer().await.status, 200);
    let seen = &app.seen()[0];
    assert_eq!(header(seen, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(seen, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(seen, "x-forwarded-host"), Some("A.test:8080"));
    assert_eq!(header(seen, "host"), Some("A.test:8080"));
    assert_eq!(header(seen, "x-kept"), Some("1"));
    for gone in ["10.0.0.", "https", "admin.test", "443"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
}

#[tokio::test]
async fn a_client_cannot_have_taken_out_what_the_edge_says() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller
        .send(
            "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: x-forwarded-for, X-Forwarded-Host, host\r\n\
             Connection: content-length, x-mine\r\nX-Mine: 1\r\n\
             X-Forwarded-For: 10.0.0.1\r\nContent-Length: 2\r\n\r\nhi",
        )
        .await;
    assert_eq!(caller.answer().await.status, 200);
    let seen = &app.seen()[0];
    assert_eq!(header(seen, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(seen, "x-forwarded-host"), Some("a.test"));
    assert_eq!(header(seen, "host"), Some("a.test"));
    assert_eq!(header(seen, "x-mine"), None);
    assert_eq!(header(seen, "connection"), None);
    assert!(seen.ends_with("\r\n\r\nhi"));
}

#[tokio::test]
async fn an_application_cannot_speak_for_the_edge_either() {
    let app = App::answering(
        "HTTP/1.1 200 OK\r\nSwitchback-Error: no_route\r\nConnection: keep-alive, X-Inner\r\nX-Inner: 1\r\n\
         Keep-Alive: timeout=5\r\nX-Outer: 1\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let site = Site::of(&app).await;
    let answer = site.caller().await.get("/").await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!((answer.error(), answer.header("x-inner")), (None, None));
    assert_eq!((answer.header("keep-alive"), answer.header("connection")), (None, None));
    assert_eq!(answer.header("x-outer"), Some("1"));
}
