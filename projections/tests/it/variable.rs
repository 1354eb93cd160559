//! Variables after a given history.

use std::collections::{BTreeMap, BTreeSet};

use domain::service;
use insta::assert_json_snapshot;
use switchback_projections::variable::{get, list};

use crate::database::{on_both, told};
use crate::story::{ACME, OTHER, Shop, sealed, variable};

on_both! {
    async fn variables_are_listed_by_name_without_their_values(database: Database) {
        let mut shop = Shop::open().await;
        for (name, value) in [("PORT_NAME", "a"), ("API_KEY", "b"), ("OLD", "c"), ("API_KEY", "d")] {
            shop.story.stage(shop.web, name, value, None).await;
        }
        let change = service::Command::ChangeVariables {
            set: BTreeMap::from([(variable("NEW"), sealed("e"))]),
            unset: BTreeSet::from([variable("OLD")]),
            deploy: None,
        };
        shop.story.service_command(shop.web, change).await;
        let store = told(&database, &shop.story).await;
        let listed = list(&store, ACME, shop.web).await.unwrap();
        assert_json_snapshot!("variables", listed);
        let key = get(&store, ACME, shop.web, &variable("API_KEY")).await.unwrap().unwrap();
        assert_eq!((key.sealed.data.clone(), key.sealed), (sealed("d").data, sealed("d")));
        assert_eq!(get(&store, ACME, shop.web, &variable("OLD")).await.unwrap(), None);
        assert_eq!(get(&store, OTHER, shop.web, &variable("NEW")).await.unwrap(), None);
        assert!(list(&store, ACME, shop.worker).await.unwrap().is_empty());
    }

    async fn a_rollback_brings_variables_back(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        story.stage(web, "COLOR", "red", None).await;
        story.deploy(web, 1).await;
        story.set(web, "COLOR", "blue").await;
        story.set(web, "EXTRA", "1").await;
        story.roll_back(web, 1).await;
        let store = told(&database, story).await;
        let listed = list(&store, ACME, web).await.unwrap();
        let now: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.sealed.clone())).collect();
        assert_eq!(now, [("COLOR", sealed("red"))]);
    }
}
