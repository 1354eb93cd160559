//! Lists at their edges: every page of every list, and rows that come and go in between.

use std::fmt::Debug;
use std::future::Future;

use domain::service;
use switchback_projections::page::{InvalidPage, Listed, Page};
use switchback_projections::store::QueryError;
use switchback_projections::{audit, deployment, organization, project, release, service as services};

use crate::database::{on_both, told};
use crate::story::{ACME, Shop};

/// All rows of a list, in pages of `limit`.
async fn in_pages<T, F: Future<Output = Result<Listed<T>, QueryError>>>(
    limit: u32,
    list: impl Fn(Page) -> F,
) -> Vec<T> {
    let (mut rows, mut cursor) = (vec![], None);
    loop {
        let listed = list(Page::new(Some(limit), cursor.as_deref()).unwrap()).await.unwrap();
        assert!(listed.items.len() <= limit as usize);
        assert!(listed.next.is_none() || listed.items.len() == limit as usize);
        rows.extend(listed.items);
        cursor = listed.next;
        if cursor.is_none() {
            return rows;
        }
    }
}

async fn is_the_same_in_pages<T: PartialEq + Debug, F: Future<Output = Result<Listed<T>, QueryError>>>(
    list: impl Fn(Page) -> F,
) {
    let whole = in_pages(200, &list).await;
    for limit in [1, 2, whole.len().max(2) as u32 - 1, whole.len() as u32, whole.len() as u32 + 1] {
        assert_eq!(in_pages(limit, &list).await, whole, "in pages of {limit}");
    }
}

on_both! {
    async fn every_list_is_the_same_in_pages_of_any_size(database: Database) {
        let mut shop = Shop::busy().await;
        for name in ["alpha", "Beta", "gamma_9"] {
            let (project, production, _) = shop.story.project(name).await;
            shop.story.service(project, production, "web").await;
        }
        let store = told(&database, &shop.story).await;
        let store = &store;
        is_the_same_in_pages(async |page| project::list(store, ACME, None, &page).await).await;
        is_the_same_in_pages(async |page| organization::members(store, ACME, &page).await).await;
        let all = services::Filter::default();
        is_the_same_in_pages(async |page| services::list(store, ACME, &all, &page).await).await;
        let all = deployment::Filter::default();
        is_the_same_in_pages(async |page| deployment::list(store, ACME, &all, &page).await).await;
        is_the_same_in_pages(async |page| release::list(store, ACME, shop.web, &page).await).await;
        let all = audit::Filter::default();
        is_the_same_in_pages(async |page| audit::list(store, ACME, &all, &page).await).await;
    }

    async fn rows_that_come_and_go_between_two_pages_make_none_come_twice_or_be_missed(database: Database) {
        let mut shop = Shop::open().await;
        for name in ["b", "d", "f", "h"] {
            shop.story.service(shop.project, shop.production, name).await;
        }
        let all = services::Filter { environment: Some(shop.production), ..services::Filter::default() };
        let store = told(&database, &shop.story).await;
        let first = services::list(&store, ACME, &all, &Page::new(Some(2), None).unwrap()).await.unwrap();
        let names = |listed: &Listed<services::Service>| {
            listed.items.iter().map(|service| service.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&first), ["b", "d"]);
        shop.story.service_command(first.items[1].id, service::Command::Delete).await;
        shop.story.service(shop.project, shop.production, "a").await;
        shop.story.service(shop.project, shop.production, "e").await;
        let store = told(&database, &shop.story).await;
        let page = Page::new(Some(9), first.next.as_deref()).unwrap();
        let second = services::list(&store, ACME, &all, &page).await.unwrap();
        assert_eq!(names(&second), ["e", "f", "h", "web"]);
    }

    async fn the_cursor_of_another_list_is_refused_and_not_asked_of_the_database(database: Database) {
        let shop = Shop::busy().await;
        let store = told(&database, &shop.story).await;
        let page = Page::new(Some(1), None).unwrap();
        let all = audit::Filter::default();
        let cursor = audit::list(&store, ACME, &all, &page).await.unwrap().next;
        let foreign = Page::new(Some(1), cursor.as_deref()).unwrap();
        let refused = |outcome: Result<(), QueryError>| {
            assert!(matches!(outcome, Err(QueryError::Page(InvalidPage::Cursor))), "{outcome:?}");
        };
        refused(project::list(&store, ACME, None, &foreign).await.map(drop));
        refused(organization::members(&store, ACME, &foreign).await.map(drop));
        refused(release::list(&store, ACME, shop.web, &foreign).await.map(drop));
        refused(services::list(&store, ACME, &services::Filter::default(), &foreign).await.map(drop));
        refused(deployment::list(&store, ACME, &deployment::Filter::default(), &foreign).await.map(drop));
    }
}
