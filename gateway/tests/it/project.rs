//! Projects and environments.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn a_project_is_made_with_its_environments_and_found_by_name_slug_and_id() {
    let house = House::new().await;
    let made = house.post("/projects", json!({ "name": "My_Shop" })).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert!(made.headers.contains_key("switchback-position"));
    let names: Vec<_> =
        made.data()["environments"].as_array().unwrap().iter().map(|e| e["name"].clone()).collect();
    assert_eq!(names, ["production", "staging"]);
    for text in ["My_Shop", "my-shop", made.data()["id"].as_str().unwrap()] {
        let found = house.get(&format!("/projects/{text}")).await;
        assert_eq!(found.data()["id"], made.data()["id"], "{text}");
    }
}

#[tokio::test]
async fn names_outside_the_rules_are_refused_each_with_its_code_and_field() {
    let house = House::new().await;
    house.post("/projects", json!({ "name": "shop" })).await.data();
    for (name, status, code) in [
        ("ab", 422, "name_length"),
        (&*"a".repeat(51), 422, "name_length"),
        ("sh op", 422, "name_characters"),
        ("api", 422, "name_reserved"),
        ("Shop", 409, "project_name_taken"),
    ] {
        let refused = house.post("/projects", json!({ "name": name })).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{name}");
        assert_eq!(refused.body["error"]["details"][0]["field"], "name", "{name}");
    }
    assert_eq!(house.get("/projects").await.data().as_array().unwrap().len(), 1, "nothing half made stays");
}

#[tokio::test]
async fn a_project_is_renamed_and_deleted_when_it_is_empty() {
    let house = House::new().await;
    let service = house.web().await;
    let refused = house.ask(Method::DELETE, "/projects/shop", None).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "project_not_empty"));
    let renamed = house.ask(Method::PATCH, "/projects/shop", Some(json!({ "name": "store" }))).await;
    assert_eq!(renamed.data()["name"], "store");
    let service = service.replace("/shop/", "/store/");
    assert_eq!(house.ask(Method::DELETE, &service, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(house.ask(Method::DELETE, "/projects/store", None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get("/projects/store").await.code(), "project_not_found");
}

#[tokio::test]
async fn environments_are_added_and_removed() {
    let house = House::new().await;
    house.web().await;
    let added = house.post("/projects/shop/environments", json!({ "name": "qa" })).await;
    assert_eq!(added.status, StatusCode::CREATED);
    let again = house.post("/projects/shop/environments", json!({ "name": "qa" })).await;
    assert_eq!(again.code(), "environment_name_taken");
    let full = house.ask(Method::DELETE, "/projects/shop/environments/production", None).await;
    assert_eq!(full.code(), "environment_not_empty");
    let removed = house.ask(Method::DELETE, "/projects/shop/environments/qa", None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get("/projects/shop/environments/qa/services").await.code(), "environment_not_found");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let house = House::new().await;
    for n in 0..5 {
        house.post("/projects", json!({ "name": format!("shop-{n}") })).await.data();
    }
    let (mut seen, mut cursor) = (vec![], String::new());
    loop {
        let page = house.get(&format!("/projects?limit=2{cursor}")).await;
        seen.extend(page.data().as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()));
        match page.body["meta"]["pagination"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["shop-0", "shop-1", "shop-2", "shop-3", "shop-4"]);
    assert_eq!(house.get("/projects?limit=0").await.code(), "parameter_invalid");
    assert_eq!(house.get("/projects?cursor=nonsense").await.code(), "parameter_invalid");
}
