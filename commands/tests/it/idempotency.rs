//! The same command given twice.

use commands::error::CommandError;
use commands::idempotency::command_id;
use commands::request::Request;
use domain::context::Actor;

use crate::{HOME, House, OWNER, repository};

fn keyed(key: &str, body: &str) -> Request {
    Request::repeatable(Actor::user(OWNER), command_id(OWNER.0, key, body.as_bytes()))
}

#[tokio::test]
async fn has_one_effect_and_one_answer_also_after_a_restart() {
    let house = House::new().await;
    let request = keyed("k1", "create shop");
    let first = house.bus.create_project(&request, HOME, "shop".parse().unwrap()).await.unwrap();
    let head = house.log.head().await.unwrap();
    for bus in [house.bus.clone(), house.restarted()] {
        let again = bus.create_project(&request, HOME, "shop".parse().unwrap()).await.unwrap();
        assert_eq!(again.0, first.0);
        assert_eq!(again.1.position, first.1.position);
    }
    assert_eq!(house.log.head().await.unwrap(), head, "nothing was appended");
}

#[tokio::test]
async fn a_deployment_asked_for_twice_is_one() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    let request = keyed("k2", "deploy");
    let (first, _) = house.bus.deploy(&request, HOME, service, repository(), false).await.unwrap();
    let (again, _) = house.restarted().deploy(&request, HOME, service, repository(), false).await.unwrap();
    assert_eq!(first, again);
}

#[tokio::test]
async fn the_same_key_for_something_else_is_refused() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    house.bus.scale(&keyed("k3", "2"), HOME, service, 2).await.unwrap();
    for bus in [house.bus.clone(), house.restarted()] {
        let refused = bus.scale(&keyed("k3", "3"), HOME, service, 3).await.unwrap_err();
        assert!(matches!(refused, CommandError::KeyReused), "{refused}");
    }
}
