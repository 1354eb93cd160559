//! Rollback: the plan and the doing, and what there is nothing to go back to.

use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn there_is_nothing_to_go_back_to_before_something_ran() {
    let house = House::new().await;
    let path = format!("{}/rollback", house.web().await);
    for (body, status, code) in [
        (json!({}), 409, "no_earlier_release"),
        (json!({ "to": "v1" }), 404, "release_not_found"),
        (json!({ "at": "2020-01-01T00:00:00Z" }), 409, "nothing_live_then"),
        (json!({ "position": 1 }), 409, "nothing_live_then"),
        (json!({ "to": "one" }), 422, "body_invalid"),
        (json!({ "to": "v1", "position": 1 }), 422, "body_invalid"),
        (json!({ "at": "yesterday" }), 422, "body_invalid"),
    ] {
        for dry_run in ["", "?dry_run=true"] {
            let refused = house.post(&format!("{path}{dry_run}"), body.clone()).await;
            assert_eq!((refused.status.as_u16(), refused.code()), (status, code), "{body} {dry_run}");
        }
    }
}
