//! Values of variables: sealed before they are decided on, opened by their place alone.

use std::collections::{BTreeMap, BTreeSet};

use commands::keyring::Place;
use commands::service::VariableChange;
use domain::secret::Secret;
use domain::service::Service;
use domain::stream::{Position, StreamId};
use eventlog::log::{Filter, MAX_PAGE};

use crate::{HOME, House, by_owner};

const CANARY: &str = "canary-7f3a9c-value";

fn set(name: &str, value: &str) -> VariableChange {
    let set = BTreeMap::from([(name.parse().unwrap(), Secret::new(value))]);
    VariableChange { set, unset: BTreeSet::new(), deploy: true }
}

#[tokio::test]
async fn the_log_never_holds_a_value_and_the_keyring_opens_it() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    house.bus.change_variables(&by_owner(), HOME, service, set("TOKEN", CANARY)).await.unwrap();
    let page = house.log.read_all(Position::ZERO, &Filter::all(), MAX_PAGE).await.unwrap();
    let stored = page.commits.iter().flat_map(|commit| &commit.events);
    for recorded in stored {
        assert!(!recorded.event.to_wire().data.to_string().contains(CANARY));
    }
    let state = house.bus.state::<Service>(StreamId::service(HOME, service)).await.unwrap();
    let name = "TOKEN".parse().unwrap();
    let sealed = &state.active().unwrap().variables[&name];
    let place = Place { organization: HOME, service, name: &name };
    assert_eq!(house.restarted().keyring().unseal(place, sealed).await.unwrap().reveal(), CANARY);
}

#[tokio::test]
async fn the_same_value_again_changes_nothing() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    house.bus.change_variables(&by_owner(), HOME, service, set("A", "1")).await.unwrap();
    let (_, again) = house.bus.change_variables(&by_owner(), HOME, service, set("A", "1")).await.unwrap();
    assert!(!again.changed);
    let (_, other) = house.bus.change_variables(&by_owner(), HOME, service, set("A", "2")).await.unwrap();
    assert!(other.changed);
}

#[tokio::test]
async fn a_value_that_breaks_a_rule_is_refused_and_not_repeated() {
    let house = House::new().await;
    let service = house.service(house.project("shop").await, "web").await;
    let long = CANARY.repeat(60);
    let refused = house.bus.change_variables(&by_owner(), HOME, service, set("A", &long)).await.unwrap_err();
    assert_eq!(refused.code(), Some("variable_invalid"));
    assert!(!refused.to_string().contains(CANARY));
}
