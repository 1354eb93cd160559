//! Organisations and their members after a given history.

use insta::assert_json_snapshot;
use switchback_projections::organization::{get, members, of_member};
use switchback_projections::page::Page;

use crate::database::{on_both, told};
use crate::story::{ACME, OTHER, OWNER, STRANGER, Shop};

on_both! {
    async fn an_organization_counts_its_members_and_projects(database: Database) {
        let shop = Shop::open().await;
        let store = told(&database, &shop.story).await;
        assert_json_snapshot!("organization", get(&store, ACME).await.unwrap());
        assert_json_snapshot!("members", members(&store, ACME, &Page::default()).await.unwrap());
        assert_eq!(get(&store, OTHER).await.unwrap(), None);
    }

    async fn a_person_sees_the_organizations_it_belongs_to(database: Database) {
        let shop = Shop::open().await;
        let store = told(&database, &shop.story).await;
        let names = |found: Vec<switchback_projections::organization::Organization>| {
            found.into_iter().map(|organization| organization.name).collect::<Vec<_>>()
        };
        assert_eq!(names(of_member(&store, OWNER).await.unwrap()), ["Acme"]);
        assert!(of_member(&store, STRANGER).await.unwrap().is_empty());
    }
}
