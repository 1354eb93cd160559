//! `Idempotency-Key`.

use axum::http::Method;
use serde_json::{Value, json};

use crate::house::{Answered, House};

async fn keyed(house: &House, key: &str, path: &str, body: Value) -> Answered {
    let mut request = house.request(Method::POST, path, Some(body)).await;
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    house.send(request).await
}

#[tokio::test]
async fn the_same_key_and_body_have_one_effect_and_one_answer() {
    let house = House::new().await;
    let first = keyed(&house, "k", "/projects", json!({ "name": "shop" })).await;
    let again = keyed(&house, "k", "/projects", json!({ "name": "shop" })).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(house.get("/projects").await.data().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let house = House::new().await;
    let service = house.web().await;
    let scale = format!("{service}/scale");
    keyed(&house, "k", &scale, json!({ "replicas": 2 })).await.data();
    let refused = keyed(&house, "k", &scale, json!({ "replicas": 3 })).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn a_key_that_cannot_be_taken_is_refused() {
    let house = House::new().await;
    for key in ["", "a b", &"x".repeat(256)] {
        let refused = keyed(&house, key, "/projects", json!({ "name": "shop" })).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "parameter_invalid"), "{key:?}");
    }
}
