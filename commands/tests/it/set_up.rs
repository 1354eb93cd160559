//! The first start, tokens, and who may.

use commands::error::CommandError;
use commands::request::Request;
use commands::user::Installation;
use domain::context::Actor;
use domain::id::{OrganizationId, UserId};
use uuid::Uuid;

use crate::{HOME, House, OWNER, by_owner};

#[tokio::test]
async fn the_second_start_makes_nothing_again() {
    let house = House::new().await;
    let before = house.log.head().await.unwrap();
    house.restarted().set_up(Installation { owner: OWNER, organization: HOME }).await.unwrap();
    assert_eq!(house.log.head().await.unwrap(), before);
}

#[tokio::test]
async fn a_log_that_another_installation_began_is_refused_and_nothing_is_written() {
    let house = House::new().await;
    let before = house.log.head().await.unwrap();
    let other = Installation {
        owner: UserId(Uuid::from_u128(98)),
        organization: OrganizationId(Uuid::from_u128(99)),
    };
    let refused = house.restarted().set_up(other).await.unwrap_err();
    assert_eq!(refused.code(), Some("log_of_another_installation"));
    assert_eq!(house.log.head().await.unwrap(), before);
}

#[tokio::test]
async fn a_token_says_who_asks_until_it_is_revoked() {
    let house = House::new().await;
    let (id, token, _) = house.bus.issue_token(&by_owner(), HOME, OWNER, "laptop").await.unwrap();
    for bus in [house.bus.clone(), house.restarted()] {
        let caller = bus.authenticate(token.reveal()).await.unwrap().expect("it works");
        assert_eq!((caller.user, caller.organization, caller.token), (OWNER, HOME, id));
    }
    house.bus.revoke_token(&by_owner(), HOME, OWNER, id).await.unwrap();
    assert_eq!(house.bus.authenticate(token.reveal()).await.unwrap(), None);
}

#[tokio::test]
async fn the_log_never_holds_a_token() {
    let house = House::new().await;
    let (_, token, _) = house.bus.issue_token(&by_owner(), HOME, OWNER, "laptop").await.unwrap();
    let page = house.log.read_all(domain::stream::Position::ZERO, &eventlog::log::Filter::all(), 100).await;
    let told = format!("{:?}", page.unwrap());
    assert!(!told.contains(&token.reveal()[30..60]));
}

#[tokio::test]
async fn a_stranger_may_not_do_anything() {
    let house = House::new().await;
    let stranger = Request::new(Actor::user(UserId(Uuid::from_u128(99))));
    let refused = house.bus.create_project(&stranger, HOME, "shop".parse().unwrap()).await.unwrap_err();
    assert!(matches!(refused, CommandError::Forbidden(_)), "{refused}");
    let elsewhere = OrganizationId(Uuid::from_u128(98));
    let refused =
        house.bus.create_project(&by_owner(), elsewhere, "shop".parse().unwrap()).await.unwrap_err();
    assert!(matches!(refused, CommandError::Forbidden(_)), "{refused}");
}
