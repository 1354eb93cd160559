//! Events and history.

use axum::http::{Method, StatusCode};
use futures::StreamExt;
use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn events_are_cloud_events_of_the_callers_organisation_in_order() {
    let house = House::new().await;
    house.web().await;
    let events = house.get("/events?limit=1000").await;
    let types: Vec<_> =
        events.data().as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert!(types.contains(&"dev.switchback.project.created.v1"), "{types:?}");
    assert!(types.contains(&"dev.switchback.service.created.v1"), "{types:?}");
    // The hostname's claim is the installation's, not the organisation's.
    let claims = types.iter().filter(|name| name.contains(".claim.")).count();
    assert_eq!(claims, 2, "{types:?}");
    let only = house.get("/events?type=service&limit=1000").await;
    assert!(
        only.data().as_array().unwrap().iter().all(|e| e["type"].as_str().unwrap().contains(".service."))
    );
    let from = house.get("/events?from=nonsense").await;
    assert_eq!((from.status, from.code()), (StatusCode::BAD_REQUEST, "parameter_invalid"));
}

#[tokio::test]
async fn a_stream_of_events_goes_on_where_its_reader_was() {
    let house = House::new().await;
    house.web().await;
    let events = house.get("/events?limit=1000").await;
    let all = events.data().as_array().unwrap().len();
    let mut seen = vec![];
    let mut last: Option<String> = None;
    while seen.len() < all {
        // Two at a time, each time with a new connection.
        let mut request = house.request(Method::GET, "/events/stream", None).await;
        if let Some(last) = &last {
            request.headers_mut().insert("last-event-id", last.parse().unwrap());
        }
        let mut body = house.raw(request).await.into_body().into_data_stream();
        let mut text = String::new();
        while text.matches("id: ").count() < 2.min(all - seen.len()) || !text.ends_with("\n\n") {
            text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
        }
        let ids: Vec<String> =
            text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect();
        last = ids.last().cloned();
        seen.extend(ids);
    }
    let mut unique = seen.clone();
    unique.dedup();
    assert_eq!(unique, seen, "no event comes twice");
    assert_eq!(seen.len(), all, "none is missing");
}

#[tokio::test]
async fn history_says_who_did_what_newest_first() {
    let house = House::new().await;
    let service = house.web().await;
    house.post(&format!("{service}/scale"), json!({ "replicas": 3 })).await.data();
    let history = house.get("/history?project=shop").await;
    let newest = &history.data()[0];
    assert_eq!(newest["actor"]["name"], "owner");
    assert_eq!(newest["type"], "dev.switchback.service.scaled.v1");
    assert!(newest["position"].as_u64().unwrap() > history.data()[1]["position"].as_u64().unwrap());
    assert_eq!(house.get("/history?actor=owner&service=web&project=shop&q=3").await.status, StatusCode::OK);
    assert_eq!(house.get("/history?actor=nobody").await.code(), "parameter_invalid");
    assert_eq!(house.get("/history?service=web").await.code(), "parameter_invalid");
}
