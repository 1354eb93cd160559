//! Variables: masked, revealed on record, never repeated.

use axum::http::Method;
use serde_json::{Value, json};

use crate::house::House;

const CANARY: &str = "canary-5e1f77-value";

async fn change(house: &House, path: &str, body: Value) -> crate::house::Answered {
    house.ask(Method::PATCH, path, Some(body)).await
}

#[tokio::test]
async fn a_value_is_masked_unless_somebody_asks_and_that_is_recorded() {
    let house = House::new().await;
    let path = format!("{}/variables", house.web().await);
    change(&house, &path, json!({ "set": { "TOKEN": CANARY } })).await.data();
    let masked = house.get(&path).await;
    assert_eq!(masked.data()[0]["value"], Value::Null);
    let revealed = house.get(&format!("{path}?reveal=true")).await;
    assert_eq!(revealed.data()[0]["value"], CANARY);
    let history = house.get("/history?type=service.variables_revealed").await;
    assert_eq!(history.data().as_array().unwrap().len(), 1);
    for path in ["/history?details=true&limit=200", "/events?limit=1000"] {
        assert!(!house.get(path).await.body.to_string().contains(CANARY), "{path}");
    }
}

#[tokio::test]
async fn names_and_values_outside_the_rules_are_refused_and_the_value_is_not_repeated() {
    let house = House::new().await;
    let path = format!("{}/variables", house.web().await);
    let long = CANARY.repeat(60);
    for (body, code) in [
        (json!({ "set": { "lower": CANARY } }), "name_characters"),
        (json!({ "set": { "1A": CANARY } }), "name_characters"),
        (json!({ "set": { "": CANARY } }), "name_length"),
        (json!({ "set": { "A": long } }), "variable_invalid"),
        (json!({ "set": { "PORT": CANARY } }), "variable_reserved"),
        (json!({ "set": { "A": 1 } }), "body_invalid"),
        (json!({ "unset": ["a"] }), "name_characters"),
    ] {
        let refused = change(&house, &path, body).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, code));
        assert!(!refused.body.to_string().contains(CANARY), "{code}");
    }
    let many: serde_json::Map<_, _> = (0..101).map(|n| (format!("V{n}"), json!("x"))).collect();
    assert_eq!(change(&house, &path, json!({ "set": many })).await.code(), "too_many_variables");
    assert_eq!(house.get(&path).await.data().as_array().unwrap().len(), 0);
}
