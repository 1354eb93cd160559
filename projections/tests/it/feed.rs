//! The feed: an organisation's events as CloudEvents, history and then live, without a gap or a repetition.

use std::time::Duration;

use domain::stream::{AggregateKind, Position};
use futures::StreamExt as _;
use switchback_projections::feed::{Item, Place, Wanted, follow, read};

use crate::random::Random;
use crate::story::{ACME, OTHER, Shop};

fn places(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| item.place.to_string()).collect()
}

#[tokio::test]
async fn pages_of_any_size_have_the_same_events() {
    let mut random = Random::begin(3).await;
    random.acts(150).await;
    let log = random.story.shared();
    let whole = read(&log, ACME, Place::START, &Wanted::default(), 1000).await.unwrap();
    assert!(whole.at_end && whole.items.len() > 100);
    for limit in [1, 2, 7, 50] {
        let (mut items, mut after) = (vec![], Place::START);
        loop {
            let page = read(&log, ACME, after, &Wanted::default(), limit).await.unwrap();
            assert!(page.items.len() <= limit);
            items.extend(page.items);
            after = page.next;
            if page.at_end {
                break;
            }
        }
        assert_eq!(items, whole.items, "in pages of {limit}");
    }
}

#[tokio::test]
async fn an_organization_reads_its_own_events_only_and_each_says_where_it_stands() {
    let mut random = Random::begin(4).await;
    random.acts(150).await;
    let log = random.story.shared();
    for organization in [ACME, OTHER] {
        let items = read(&log, organization, Place::START, &Wanted::default(), 1000).await.unwrap().items;
        assert!(!items.is_empty());
        for Item { place, event } in items {
            let subject = event["subject"].as_str().unwrap();
            assert!(subject.starts_with(&format!("sb.evt.{organization}.")), "{subject}");
            assert_eq!(event["sbposition"].as_str(), Some(place.position.to_string().as_str()));
            assert_eq!(event["streamversion"].as_u64(), place.version.map(|version| version.0));
            assert_eq!(event["specversion"], "1.0");
        }
    }
}

#[tokio::test]
async fn a_reader_that_goes_on_from_any_event_misses_none_and_gets_none_twice() {
    let mut shop = Shop::busy().await;
    let log = shop.story.shared();
    let whole = read(&log, ACME, Place::START, &Wanted::default(), 1000).await.unwrap().items;
    for (n, item) in whole.iter().enumerate() {
        let after: Place = item.place.to_string().parse().unwrap();
        let rest = read(&log, ACME, after, &Wanted::default(), 1000).await.unwrap().items;
        assert_eq!(places(&rest), places(&whole[n + 1..]), "after {after}");
    }
    // The same while it goes on: half of a commit was seen, the rest is history, and more comes.
    let middle = whole.iter().position(|item| item.place.position == Position(73)).unwrap() + 1;
    let expected = whole.len() - middle - 1 + 2;
    let live = follow(&log, ACME, whole[middle].place, Wanted::default()).await;
    let write = async {
        shop.story.stage(shop.worker, "A", "1", None).await;
        shop.story.stage(shop.worker, "B", "1", None).await;
    };
    let take = tokio::time::timeout(Duration::from_secs(10), live.take(expected).collect::<Vec<_>>());
    let (seen, ()) = tokio::join!(take, write);
    let seen: Vec<Item> = seen.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(places(&seen[..expected - 2]), places(&whole[middle + 1..]));
    assert!(seen[expected - 1].place.position > whole.last().unwrap().place.position);
}

#[tokio::test]
async fn events_are_chosen_by_type_and_by_aggregate() {
    let shop = Shop::busy().await;
    let log = shop.story.shared();
    let types = async |types: &[&str], aggregates: Vec<AggregateKind>| {
        let types = types.iter().map(|&name| name.to_owned()).collect();
        let wanted = Wanted { types, aggregates };
        let items = read(&log, ACME, Place::START, &wanted, 1000).await.unwrap();
        assert!(items.at_end);
        let mut types: Vec<_> =
            items.items.iter().map(|item| item.event["type"].as_str().unwrap().to_owned()).collect();
        types.dedup();
        types
    };
    let activated = "dev.switchback.service.release_activated.v1";
    assert_eq!(types(&["service.release_activated"], vec![]).await, [activated]);
    assert_eq!(types(&[activated], vec![AggregateKind::Service]).await, [activated]);
    assert!(types(&[activated], vec![AggregateKind::Project]).await.is_empty());
    let of_project = types(&[], vec![AggregateKind::Project]).await;
    assert_eq!(of_project, ["dev.switchback.project.created.v1"]);
}

#[tokio::test]
async fn reading_from_the_end_says_that_it_is_the_end_and_keeps_the_place() {
    let shop = Shop::open().await;
    let log = shop.story.shared();
    let end = Place::after(Position(5));
    let items = read(&log, ACME, end, &Wanted::default(), 10).await.unwrap();
    assert_eq!((items.items, items.next, items.at_end), (vec![], end, true));
    let last = read(&log, ACME, Place::from(Position(5)), &Wanted::default(), 10).await.unwrap();
    assert_eq!(places(&last.items), ["5.1"]);
}
