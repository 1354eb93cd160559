//! Releases after a given history.

use domain::deployment::step::Step;
use domain::service;
use domain::service::release::{ReleaseNumber, ReleaseStatus};
use insta::assert_json_snapshot;
use switchback_projections::page::Page;
use switchback_projections::release::{find, list};

use crate::database::{on_both, told};
use crate::story::{ACME, Shop};

on_both! {
    async fn releases_are_listed_newest_first_with_what_each_changed(database: Database) {
        let shop = Shop::busy().await;
        let store = told(&database, &shop.story).await;
        assert_json_snapshot!("releases", list(&store, ACME, shop.web, &Page::default()).await.unwrap());
    }

    async fn the_release_before_is_found_on_another_page_too(database: Database) {
        let shop = Shop::busy().await;
        let store = told(&database, &shop.story).await;
        let whole = list(&store, ACME, shop.web, &Page::default()).await.unwrap().items;
        let (mut paged, mut cursor) = (vec![], None);
        loop {
            let page = Page::new(Some(1), cursor.as_deref()).unwrap();
            let listed = list(&store, ACME, shop.web, &page).await.unwrap();
            paged.extend(listed.items);
            cursor = listed.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(paged, whole);
        let third = find(&store, ACME, shop.web, ReleaseNumber(3)).await.unwrap();
        assert_eq!(third.as_ref(), whole.iter().find(|release| release.number.0 == 3));
        assert_eq!(find(&store, ACME, shop.worker, ReleaseNumber(3)).await.unwrap(), None);
    }

    async fn a_release_that_never_ran_is_compared_with_what_was_live(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        story.deploy(web, 1).await;
        let failing = story.request(web).await;
        story.begin_deployment(web, failing).await;
        while let Some(step) = story.next_step(failing).filter(|step| *step != Step::Verify) {
            story.step(web, failing, step, 2).await;
        }
        let store = told(&database, story).await;
        let cut = find(&store, ACME, web, ReleaseNumber(2)).await.unwrap().unwrap();
        assert_eq!((cut.status, cut.before), (ReleaseStatus::Cut, Some(ReleaseNumber(1))));
        story.fail(web, failing, Step::Verify, "it did not listen on port 3000").await;
        story.deploy(web, 3).await;

        let store = told(&database, story).await;
        let failed = find(&store, ACME, web, ReleaseNumber(2)).await.unwrap().unwrap();
        assert_eq!((failed.status, failed.live_at), (ReleaseStatus::Failed, None));
        let third = find(&store, ACME, web, ReleaseNumber(3)).await.unwrap().unwrap();
        assert_eq!(third.before, Some(ReleaseNumber(1)), "what never ran is no release before");
        story.service_command(web, service::Command::Delete).await;
        let store = told(&database, story).await;
        let third = find(&store, ACME, web, ReleaseNumber(3)).await.unwrap().unwrap();
        assert_eq!(third.status, ReleaseStatus::Retired, "nothing of a deleted service is live");
    }

    async fn no_sealed_value_stands_in_a_release(database: Database) {
        let shop = Shop::busy().await;
        told(&database, &shop.story).await;
        let with = database.query("SELECT specification FROM releases".into(), 1).await;
        let specifications: Vec<_> = with.into_iter().flatten().flatten().collect();
        assert!(specifications.iter().any(|text| text.contains("GREETING")));
        assert!(specifications.iter().all(|text| !text.contains("sealed-")), "{specifications:?}");
    }
}
