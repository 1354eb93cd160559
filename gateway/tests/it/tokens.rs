//! Tokens: given out once, listed without their secret, ended.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn a_token_works_from_when_it_is_shown_until_it_is_revoked() {
    let house = House::new().await;
    let made = house.post("/auth/tokens", json!({ "name": "ci" })).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let token = made.data()["token"].as_str().unwrap().to_owned();
    let me = |token: String| {
        let request = Request::builder()
            .uri("/api/v1/auth/me")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        house.send(request.body(Body::empty()).unwrap())
    };
    assert_eq!(me(token.clone()).await.data()["user"]["name"], "owner");
    let listed = house.get("/auth/tokens").await;
    assert!(!listed.body.to_string().contains(&token[10..40]), "a list never shows a token");
    let path = format!("/auth/tokens/{}", made.data()["id"].as_str().unwrap());
    assert_eq!(house.ask(Method::DELETE, &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(me(token).await.code(), "token_invalid");
}

#[tokio::test]
async fn a_token_without_a_name_is_refused() {
    let house = House::new().await;
    for name in ["", "  ", "a\u{0}b", &"x".repeat(101)] {
        let refused = house.post("/auth/tokens", json!({ "name": name })).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (422, "body_invalid"), "{name:?}");
    }
    assert_eq!(house.ask(Method::DELETE, "/auth/tokens/x", None).await.code(), "token_not_found");
}
