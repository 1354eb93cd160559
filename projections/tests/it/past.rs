//! The past: the same queries, on the read models as they were.

use domain::service::release::ReleaseNumber;
use domain::stream::Position;
use eventlog::log::EventLog as _;
use switchback_projections::page::Page;
use switchback_projections::past::{Moment, as_of};
use switchback_projections::{audit, deployment, organization, project, release, service, user};

use crate::database::{on_both, told};
use crate::random::{Random, seed};
use crate::story::{ACME, OTHER, OWNER, Shop};

#[tokio::test]
async fn a_service_is_seen_as_it_was() {
    let shop = Shop::busy().await;
    let log = shop.story.shared();
    let live = async |position: u64| {
        let past = as_of(&log, ACME, Moment::Position(Position(position))).await.unwrap();
        assert!(past.position.0 <= position);
        service::get(&past.store, ACME, shop.web)
            .await
            .unwrap()
            .and_then(|web| web.live)
            .map(|live| live.release.0)
    };
    let seen =
        [live(3).await, live(25).await, live(26).await, live(52).await, live(70).await, live(1000).await];
    assert_eq!(seen, [None, None, Some(1), Some(2), Some(3), Some(4)]);
}

#[tokio::test]
async fn a_time_means_all_that_was_decided_until_then() {
    let shop = Shop::busy().await;
    let log = shop.story.shared();
    let page = log.read_all(Position(25), &eventlog::log::Filter::all(), 1).await.unwrap();
    let at = page.commits[0].events[0].at;
    let past = as_of(&log, ACME, Moment::Time(at)).await.unwrap();
    assert_eq!(past.position, Position(26));
    let before = as_of(&log, ACME, Moment::Time(at - chrono::TimeDelta::milliseconds(1))).await.unwrap();
    assert_eq!(before.position, Position(25));
}

#[tokio::test]
async fn another_organization_is_not_in_it() {
    let shop = Shop::busy().await;
    let past = as_of(&shop.story.shared(), OTHER, Moment::Position(Position(1000))).await.unwrap();
    assert_eq!(past.position, Position::ZERO);
    let projects = project::list(&past.store, ACME, None, &Page::default()).await.unwrap();
    assert_eq!(projects.items, []);
}

on_both! {
    async fn the_past_of_now_is_what_the_read_models_say(database: Database) {
        let shop = Shop::busy().await;
        let store = told(&database, &shop.story).await;
        let head = shop.story.log.head().await.unwrap();
        let past = as_of(&shop.story.shared(), ACME, Moment::Position(head)).await.unwrap().store;
        let page = Page::new(Some(200), None).unwrap();
        macro_rules! same {
            ($query:path $(, $argument:expr)*) => {
                assert_eq!(
                    $query(&past, ACME $(, $argument)*).await.unwrap(),
                    $query(&store, ACME $(, $argument)*).await.unwrap()
                )
            };
        }
        same!(organization::get);
        same!(organization::members, &page);
        same!(user::get, OWNER);
        same!(project::list, None, &page);
        same!(service::list, &service::Filter::default(), &page);
        same!(deployment::list, &deployment::Filter::default(), &page);
        same!(release::list, shop.web, &page);
        same!(release::find, shop.web, ReleaseNumber(3));
        same!(audit::list, &audit::Filter::default(), &page);
    }
}

#[tokio::test]
async fn any_history_can_be_replayed() {
    let seed = seed();
    for n in 0..20 {
        let mut random = Random::begin(seed.wrapping_add(n)).await;
        random.acts(250).await;
        let log = random.story.shared();
        let head = log.head().await.unwrap();
        for organization in [ACME, OTHER] {
            as_of(&log, organization, Moment::Position(head)).await.unwrap();
        }
    }
}
