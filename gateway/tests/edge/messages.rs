//! Ordinary messages, and the corners of the protocol that applications and clients do use.

use tokio::io::AsyncWriteExt;

use crate::app::{App, OK, header};
use crate::site::Site;

#[tokio::test]
async fn requests_and_answers_pass_unchanged() {
    let app =
        App::answering("HTTP/1.1 201 Made Here\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 4\r\n\r\nbody").await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    let request =
        "PUT /a/../b%2F?q=%20&x HTTP/1.1\r\nHost: a.test\r\nCookie: a=b; c=d\r\nContent-Length: 3\r\n\r\nabc";
    caller.send(request).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.text()), (201, "body"));
    assert_eq!(answer.head.to_lowercase().matches("x-a: ").count(), 2);
    let seen = &app.seen()[0];
    assert!(seen.starts_with("PUT /a/../b%2F?q=%20&x HTTP/1.1\r\n"), "{seen}");
    assert_eq!((header(seen, "cookie"), header(seen, "content-length")), (Some("a=b; c=d"), Some("3")));
    assert!(seen.ends_with("\r\n\r\nabc"));
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    for _ in 0..10 {
        assert_eq!(caller.get("/").await.text(), "ok");
    }
    assert_eq!((app.seen().len(), app.connections()), (10, 1));
}

#[tokio::test]
async fn requests_sent_without_waiting_are_answered_in_order() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    let one = |n: usize| format!("POST /{n} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi");
    caller.send((0..20).map(one).collect::<String>()).await;
    for _ in 0..20 {
        assert_eq!(caller.answer().await.status, 200);
    }
    let paths: Vec<_> = app.seen().iter().map(|seen| seen.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, (0..20).map(|n| format!("/{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connections_in_step() {
    let app = App::new(|mut conn| async move {
        while let Some(request) = conn.request().await {
            conn.write(match request.split_once(" HTTP").unwrap().0 {
                "HEAD /" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                "GET /204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "GET /304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n",
                "GET /100" => {
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                     HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                }
                _ => OK,
            })
            .await;
        }
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller.send("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(header(&caller.head().await.unwrap(), "content-length"), Some("1000"));
    for (path, status) in [("/204", 204), ("/304", 304), ("/100", 200), ("/", 200)] {
        assert_eq!(caller.get(path).await.status, status, "{path}");
    }
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn an_answer_of_unknown_length_ends_where_the_application_ends_it() {
    let app = App::new(|mut conn| async move {
        while let Some(request) = conn.request().await {
            if request.starts_with("GET /chunked") {
                conn.write(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                )
                .await;
            } else {
                conn.write("HTTP/1.0 200 OK\r\n\r\nabcde").await;
                return;
            }
        }
    })
    .await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    for path in ["/chunked", "/closed", "/chunked"] {
        let answer = caller.get(path).await;
        assert_eq!((answer.status, answer.text(), answer.is_whole), (200, "abcde", true), "{path}");
    }
}

#[tokio::test]
async fn clients_of_http_1_0_are_served() {
    let app =
        App::answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.text(), answer.header("transfer-encoding")), (200, "ok", None));
    assert!(app.seen()[0].starts_with("GET / HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_body_passes_whatever_the_method() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    for method in ["GET", "DELETE", "PATCH", "REPORT"] {
        let head = format!("{method} / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        caller.send(head + "2\r\nhi\r\n0\r\n\r\n").await;
        assert_eq!(caller.answer().await.status, 200);
        assert!(app.seen().last().unwrap().ends_with("\r\n\r\nhi"), "{method}");
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_and_the_application_is_not_asked() {
    let app = App::answering(OK).await;
    let site = Site::of(&app).await;
    let mut caller = site.caller().await;
    caller.send("POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 100);
    caller.send("hi").await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(header(&app.seen()[0], "expect"), None);
}

#[tokio::test]
async fn an_answer_to_a_body_that_was_not_read_arrives() {
    let app = App::new(|mut conn| async move {
        conn.head().await;
        conn.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
        conn.stream.shutdown().await.unwrap();
        while conn.take(1 << 16).await.is_some() {}
    })
    .await;
    let site = Site::of(&app).await;
    for _ in 0..10 {
        let mut caller = site.caller().await;
        caller.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4000000\r\n\r\n").await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.text()), (401, "no"));
        // A client that sends before it reads must not meet a reset: it could lose the answer by it.
        caller.send_all(vec![b'x'; 2_000_000]).await;
    }
}

#[tokio::test]
async fn hostnames_are_found_whatever_their_case_and_port() {
    let app = App::answering(OK).await;
    let site = Site::start().await;
    site.route("A.Test", "v1", &[app.address]);
    let mut caller = site.caller().await;
    for host in ["a.test", "A.TEST", "a.test.", "a.test:8080"] {
        caller.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(caller.answer().await.status, 200, "{host}");
    }
}
