//! The history after a given history.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::claim::{self, Key};
use domain::id::{TokenId, UserId};
use domain::service;
use domain::stream::{Position, StreamId};
use domain::testing::NOW;
use domain::user;
use eventlog::log::{EventLog as _, Filter as LogFilter};
use insta::assert_snapshot;
use switchback_projections::audit::{Entry, Filter, list};
use switchback_projections::page::Page;
use switchback_projections::store::ReadStore;
use uuid::Uuid;

use crate::database::{on_both, told};
use crate::story::{ACME, OTHER, OWNER, STRANGER, Shop, variable};

async fn whole(store: &ReadStore, filter: &Filter) -> Vec<Entry> {
    let (mut entries, mut cursor) = (vec![], None);
    loop {
        let page = Page::new(Some(50), cursor.as_deref()).unwrap();
        let listed = list(store, ACME, filter, &page).await.unwrap();
        entries.extend(listed.items);
        cursor = listed.next;
        if cursor.is_none() {
            return entries;
        }
    }
}

fn lines(entries: &[Entry]) -> String {
    let line = |entry: &Entry| {
        let who = entry.who.name.as_deref().unwrap_or("somebody");
        let mark = if entry.detail { " " } else { "*" };
        let kind = entry.event_type.trim_start_matches("dev.switchback.");
        format!("{:>4}.{:<3}{mark} {who} {}  [{kind}]", entry.position.0, entry.version.0, entry.summary)
    };
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

on_both! {
    async fn every_event_has_a_sentence(database: Database) {
        let mut shop = Shop::busy().await;
        let look = service::Command::RecordReveal { names: BTreeSet::from([variable("GREETING")]) };
        shop.story.service_command(shop.web, look).await;
        shop.story.service_command(shop.web, service::Command::Scale { replicas: 3, deploy: None }).await;
        let store = told(&database, &shop.story).await;
        let entries = whole(&store, &Filter::default()).await;
        assert_snapshot!("history", lines(&entries));
        assert!(!lines(&entries).contains("hello"), "the value of a variable");
    }

    async fn the_type_of_each_entry_is_that_of_its_event(database: Database) {
        let shop = Shop::busy().await;
        let store = told(&database, &shop.story).await;
        let page = shop.story.log.read_all(Position::ZERO, &LogFilter::all(), 2000).await.unwrap();
        let events = page.commits.iter().flat_map(|commit| &commit.events);
        let types: Vec<_> = events
            .filter(|recorded| recorded.stream != StreamId::user(OWNER))
            .map(|recorded| (recorded.id, recorded.event.type_name()))
            .collect();
        let entries = whole(&store, &Filter::default()).await.into_iter();
        let mut told: Vec<_> = entries.map(|entry| (entry.id, entry.event_type)).collect();
        told.reverse();
        assert_eq!(told, types);
    }

    async fn what_stands_in_the_platforms_own_streams_is_told_to_whom_it_concerns(database: Database) {
        let mut shop = Shop::open().await;
        let organization = ACME;
        let issue = user::Command::IssueToken {
            token: TokenId(Uuid::from_u128(0xD1)),
            name: "laptop".into(),
            organization,
            hash: "5e".repeat(32),
        };
        shop.story.user(OWNER, issue).await;
        let key = Key::Hostname { hostname: "web.shop.localhost".into() };
        let owner = StreamId::service(ACME, shop.web).into();
        shop.story.claim(claim::Command::Take { key: key.clone(), owner }, &key).await;
        shop.story.user(STRANGER, user::Command::Register { name: "eve".into() }).await;
        let store = told(&database, &shop.story).await;
        let newest: Vec<_> = whole(&store, &Filter::default()).await.into_iter().take(2).collect();
        let summaries: Vec<_> = newest.iter().map(|entry| entry.summary.as_str()).collect();
        assert_eq!(summaries, ["took the hostname web.shop.localhost", "made token laptop"]);
        let other = list(&store, OTHER, &Filter::default(), &Page::default()).await.unwrap();
        assert_eq!(other.items, []);
    }

    async fn a_history_is_filtered(database: Database) {
        let mut shop = Shop::busy().await;
        shop.story.turn_to(ACME, STRANGER);
        shop.story.stage(shop.worker, "COLOR", "red", None).await;
        let store = told(&database, &shop.story).await;
        let all = whole(&store, &Filter::default()).await;
        let count = async |filter: Filter| whole(&store, &filter).await.len();
        let some = |change: fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter
        };
        assert_eq!(count(some(|filter| filter.person = Some(STRANGER))).await, 1);
        assert_eq!(count(some(|filter| filter.person = Some(UserId(Uuid::nil())))).await, 0);
        assert_eq!(count(Filter { service: Some(shop.worker), ..Filter::default() }).await, 2);
        let of_web = count(Filter { service: Some(shop.web), ..Filter::default() }).await;
        assert_eq!(of_web + 2 + 2, all.len(), "steps are found by their service");
        assert_eq!(count(Filter { project: Some(shop.project), ..Filter::default() }).await, all.len() - 1);
        for name in ["service.variables_changed", "dev.switchback.service.variables_changed.v1"] {
            let filter = Filter { event_type: Some(name.into()), ..Filter::default() };
            assert_eq!(count(filter).await, 3, "{name}");
        }
        assert_eq!(count(some(|filter| filter.event_type = Some("service.%".into()))).await, 0);
        assert_eq!(count(some(|filter| filter.text = Some("SET variable greeting OF WEB".into()))).await, 1);
        assert_eq!(count(some(|filter| filter.text = Some("ada".into()))).await, all.len() - 1);
        assert_eq!(count(some(|filter| filter.since = Some(NOW + TimeDelta::days(1)))).await, 0);
        assert_eq!(count(some(|filter| filter.until = Some(NOW + TimeDelta::days(1)))).await, all.len());
        let half = all[all.len() / 2].at;
        let later = count(Filter { since: Some(half), ..Filter::default() }).await;
        let before = count(Filter { until: Some(half), ..Filter::default() }).await;
        assert_eq!(later + before, all.len());
        let facts = whole(&store, &some(|filter| filter.without_details = true)).await;
        assert!(facts.iter().all(|entry| !entry.detail) && facts.len() < all.len() / 2);
    }
}
