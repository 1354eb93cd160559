//! Services, and deployments of them.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn a_service_has_a_hostname_from_the_beginning() {
    let house = House::new().await;
    let service = house.web().await;
    let shown = house.get(&service).await;
    assert_eq!(shown.data()["hostname"], "web.shop.localhost");
    assert_eq!(shown.data()["url"], "http://web.shop.localhost");
    assert_eq!(shown.data()["status"], "NONE");
    let staging = house.post("/projects/shop/environments/staging/services", json!({ "name": "web" })).await;
    assert_eq!(staging.data()["hostname"], "web.staging.shop.localhost");
}

#[tokio::test]
async fn a_second_service_of_one_name_is_refused() {
    let house = House::new().await;
    house.web().await;
    let again = house.post("/projects/shop/environments/production/services", json!({ "name": "web" })).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "service_name_taken"));
}

#[tokio::test]
async fn a_deployment_is_accepted_shown_and_cancelled() {
    let house = House::new().await;
    let service = house.web().await;
    let body = json!({ "source": { "kind": "repository", "url": "https://example.com/a.git", "reference": "main" } });
    let asked = house.post(&format!("{service}/deployments"), body).await;
    assert_eq!(asked.status, StatusCode::ACCEPTED);
    assert_eq!(asked.data()["status"], "PENDING");
    let id = asked.data()["id"].as_str().unwrap().to_owned();
    let shown = house.get(&format!("/deployments/{id}")).await;
    assert_eq!(shown.data()["source"], "https://example.com/a.git");
    assert_eq!(shown.data()["requested_by"]["name"], "owner");
    let cancelled = house.post(&format!("/deployments/{id}/cancel"), json!({})).await;
    assert_eq!(cancelled.data()["status"], "CANCELLED");
}

#[tokio::test]
async fn the_newest_of_those_that_wait_supersedes_the_others() {
    let house = House::new().await;
    let path = format!("{}/deployments", house.web().await);
    let body = json!({ "source": { "kind": "repository", "url": "https://example.com/a.git" } });
    let mut ids = vec![];
    for _ in 0..3 {
        ids.push(house.post(&path, body.clone()).await.data()["id"].as_str().unwrap().to_owned());
    }
    let listed = house.get(&path).await;
    let statuses: Vec<_> = listed.data().as_array().unwrap().iter().map(|d| d["status"].clone()).collect();
    assert_eq!(statuses, ["PENDING", "SUPERSEDED", "PENDING"]);
    assert_eq!(listed.data()[0]["waits_for"], ids[0]);
}

#[tokio::test]
async fn a_source_that_breaks_a_rule_is_refused_and_nothing_is_asked_for() {
    let house = House::new().await;
    let path = format!("{}/deployments", house.web().await);
    let repository = |url: &str| json!({ "source": { "kind": "repository", "url": url } });
    for (body, code) in [
        (repository("ext::sh -c id"), "repository_invalid"),
        (repository("-u"), "repository_invalid"),
        (repository("https://user:hunter2@example.com/a"), "repository_invalid"),
        (
            json!({ "source": { "kind": "repository", "url": "https://a.b/c", "reference": "-x" } }),
            "reference_invalid",
        ),
        (json!({ "source": { "kind": "upload", "digest": "nonsense" } }), "body_invalid"),
        (json!({ "source": { "kind": "magic" } }), "body_invalid"),
        (json!({}), "body_invalid"),
        (json!({ "release": "nine" }), "body_invalid"),
        (json!({ "release": null }), "nothing_deployed"),
        (json!({ "release": "v7" }), "release_not_found"),
    ] {
        let refused = house.post(&path, body.clone()).await;
        assert_eq!(refused.code(), code, "{body}");
        assert!(!refused.body.to_string().contains("hunter2"));
    }
    assert_eq!(house.get(&path).await.data().as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn scaling_outside_the_limits_is_refused() {
    let house = House::new().await;
    let path = format!("{}/scale", house.web().await);
    for replicas in [0, -1, 101, 1_000_000] {
        let refused = house.post(&path, json!({ "replicas": replicas })).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "replicas_invalid"), "{replicas}");
    }
    assert_eq!(house.post(&path, json!({ "replicas": 100 })).await.data()["deployment"], json!(null));
}

#[tokio::test]
async fn an_environment_says_how_its_services_are() {
    let house = House::new().await;
    house.web().await;
    let status = house.get("/projects/shop/environments/production/status").await;
    let web = &status.data()["services"][0];
    assert_eq!((&web["name"], &web["health"]), (&json!("web"), &json!("UNKNOWN")));
    assert_eq!(web["replicas"], json!({ "wanted": 0, "ready": 0 }));
}

#[tokio::test]
async fn an_upload_is_answered_with_its_digest_and_has_to_be_an_archive_by_type() {
    let house = House::new().await;
    let path = format!("{}/sources", house.web().await);
    let mut request = house.request(Method::POST, &path, None).await;
    *request.body_mut() = "bytes".into();
    assert_eq!(house.send(request).await.code(), "content_type");
    let mut request = house.request(Method::POST, &path, None).await;
    *request.body_mut() = "bytes".into();
    request.headers_mut().insert("content-type", "application/gzip".parse().unwrap());
    let taken = house.send(request).await;
    assert_eq!(taken.status, StatusCode::CREATED);
    assert!(taken.data()["digest"].as_str().unwrap().starts_with("sha256:"));
}
