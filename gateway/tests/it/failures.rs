//! What is not a sound request, and what happens when an engine is away.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use eventlog::faults::{FaultyLog, Rates};
use eventlog::memory::MemoryLog;
use futures::FutureExt;
use gateway::engine::Engine;
use serde_json::json;

use crate::house::House;

/// Every route, with a method it knows. A route that is added and not listed here fails the test below it.
const ROUTES: [(&str, &str); 31] = [
    ("GET", "/auth/me"),
    ("GET", "/auth/tokens"),
    ("POST", "/auth/tokens"),
    ("DELETE", "/auth/tokens/x"),
    ("GET", "/projects"),
    ("POST", "/projects"),
    ("GET", "/projects/x"),
    ("PATCH", "/projects/x"),
    ("DELETE", "/projects/x"),
    ("GET", "/projects/x/environments"),
    ("POST", "/projects/x/environments"),
    ("DELETE", "/projects/x/environments/y"),
    ("GET", "/projects/x/environments/y/status"),
    ("GET", "/projects/x/environments/y/services"),
    ("POST", "/projects/x/environments/y/services"),
    ("GET", "/projects/x/environments/y/services/z"),
    ("DELETE", "/projects/x/environments/y/services/z"),
    ("GET", "/projects/x/environments/y/services/z/variables"),
    ("PATCH", "/projects/x/environments/y/services/z/variables"),
    ("POST", "/projects/x/environments/y/services/z/scale"),
    ("POST", "/projects/x/environments/y/services/z/sources"),
    ("POST", "/projects/x/environments/y/services/z/deployments"),
    ("GET", "/projects/x/environments/y/services/z/deployments"),
    ("GET", "/projects/x/environments/y/services/z/logs"),
    ("GET", "/projects/x/environments/y/services/z/releases"),
    ("GET", "/projects/x/environments/y/services/z/releases/v1"),
    ("POST", "/projects/x/environments/y/services/z/rollback"),
    ("GET", "/deployments/x"),
    ("POST", "/deployments/x/cancel"),
    ("GET", "/deployments/x/logs"),
    ("GET", "/history"),
];
const STREAMS: [(&str, &str); 2] = [("GET", "/events"), ("GET", "/events/stream")];

fn without_token(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(format!("/api/v1{path}")).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn no_route_answers_without_a_token_that_works() {
    let house = House::new().await;
    for (method, path) in ROUTES.into_iter().chain(STREAMS) {
        let refused = house.send(without_token(method, path)).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (401, "token_missing"), "{method} {path}");
        for token in ["Bearer sbk_nonsense", "Bearer", "Basic x", &house.token] {
            let mut request = without_token(method, path);
            request.headers_mut().insert(header::AUTHORIZATION, token.parse().unwrap());
            let refused = house.send(request).await;
            assert_eq!(
                (refused.status.as_u16(), refused.code()),
                (401, "token_invalid"),
                "{method} {path} {token}"
            );
        }
    }
}

#[test]
fn every_route_of_the_router_is_listed_here() {
    let router = include_str!("../../src/router.rs");
    let (begin, end) = (router.find("pub fn api").unwrap(), router.find("fn compressible").unwrap());
    let methods = ["get(", "post(", "patch(", "delete("];
    let routed: usize = methods.iter().map(|method| router[begin..end].matches(method).count()).sum();
    // Those that need no token stand in operations.rs.
    assert_eq!(routed, ROUTES.len() + STREAMS.len());
}

#[tokio::test]
async fn bodies_that_are_no_json_of_the_right_form_are_refused() {
    let house = House::new().await;
    let send = |body: &'static str, kind: &'static str| {
        let house = &house;
        async move {
            let mut request = house.request(Method::POST, "/projects", None).await;
            *request.body_mut() = body.into();
            request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
            let refused = house.send(request).await;
            (refused.status.as_u16(), refused.code().to_owned(), refused.body["error"]["details"].clone())
        }
    };
    let json = "application/json";
    assert_eq!(send("{", json).await.1, "body_not_json");
    assert_eq!(send("not json", json).await, (400, "body_not_json".into(), json!([])));
    assert_eq!(send("[]", json).await.1, "body_invalid");
    assert_eq!(send(r#"{"name": 1}"#, json).await.0, 422);
    assert_eq!(send(r#"{"nam": "x"}"#, json).await.2[0]["field"], "nam");
    assert_eq!(send(r#"{"name": "shop", "id": "x"}"#, json).await.2[0]["field"], "id");
    assert_eq!(send(r#"{"name": "shop"}"#, "text/plain").await, (415, "content_type".into(), json!([])));
    let mut request = house.request(Method::POST, "/projects", None).await;
    *request.body_mut() = " ".repeat(11 << 20).into();
    let refused = house.send(request).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (413, "body_too_large"));
}

#[tokio::test]
async fn what_is_not_there_is_404_in_the_same_form() {
    let house = House::new().await;
    house.web().await;
    for (path, code) in [
        ("/nonsense", "route_not_found"),
        ("/projects/none", "project_not_found"),
        ("/projects/shop/environments/none/services", "environment_not_found"),
        ("/projects/shop/environments/production/services/none", "service_not_found"),
        ("/projects/shop/environments/production/services/web/releases/v9", "release_not_found"),
        ("/projects/shop/environments/production/services/web/releases/nine", "release_not_found"),
        ("/deployments/0199aaaa-0000-7000-8000-000000000000", "deployment_not_found"),
        ("/deployments/x", "deployment_not_found"),
    ] {
        let refused = house.get(path).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (404, code), "{path}");
        assert!(refused.body["error"]["request_id"].is_string(), "{path}");
    }
    let refused = house.ask(Method::PUT, "/projects", None).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (405, "method_not_allowed"));
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_headers_of_an_api() {
    let house = House::new().await;
    for path in ["/projects", "/nonsense"] {
        let answer = house.get(path).await;
        for name in ["x-request-id", "content-security-policy", "x-content-type-options", "cache-control"] {
            assert!(answer.headers.contains_key(name), "{path}: {name}");
        }
    }
    let mut request = house.request(Method::GET, "/projects", None).await;
    request.headers_mut().insert("x-request-id", "mine-1".parse().unwrap());
    assert_eq!(house.send(request).await.headers["x-request-id"], "mine-1");
}

#[tokio::test]
async fn a_log_that_is_away_is_503_and_nothing_is_half_done() {
    let memory = Arc::new(MemoryLog::new());
    let house = House::over(Arc::<MemoryLog>::clone(&memory), vec![]).await;
    let away = Rates { unavailable: 1000, ..Rates::default() };
    let faulty = FaultyLog::new(memory, 1, away);
    let bus =
        commands::bus::Bus::new(faulty, Arc::new(commands::clock::SystemClock), house.bus.keyring().clone());
    let request = commands::request::Request::new(domain::context::Actor::user(crate::house::OWNER));
    let error = bus.create_project(&request, crate::house::HOME, "shop".parse().unwrap()).await.unwrap_err();
    let answer = axum::response::IntoResponse::into_response(gateway::error::ApiError::from(error));
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(house.get("/projects").await.data().as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn ready_names_the_engine_that_is_away() {
    let engine = |name, answer: Result<(), String>| Engine {
        name,
        kind: "test",
        probe: Arc::new(move || std::future::ready(answer.clone()).boxed()),
    };
    let engines = vec![engine("log", Ok(())), engine("read", Err("connection refused".into()))];
    let house = House::over(Arc::new(MemoryLog::new()), engines).await;
    let ask = |path: &str| Request::builder().uri(path).body(Body::empty()).unwrap();
    let ready = house.send(ask("/ready")).await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.body["engines"]["log"]["state"], "ok");
    assert_eq!(ready.body["engines"]["read"]["problem"], "connection refused");
    assert_eq!(house.send(ask("/health")).await.status, StatusCode::OK);
}
