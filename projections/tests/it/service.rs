//! Services after a given history.

use domain::service;
use domain::service::release::InstanceId;
use insta::assert_json_snapshot;
use switchback_projections::page::Page;
use switchback_projections::service::{Filter, find, get, list, locate, place};

use crate::database::{on_both, told};
use crate::story::{ACME, OTHER, Shop, Story};

on_both! {
    async fn services_say_what_is_live_and_whose_turn_it_is(database: Database) {
        let mut shop = Shop::busy().await;
        let next = shop.story.request(shop.web).await;
        let waiting = shop.story.request(shop.web).await;
        let store = told(&database, &shop.story).await;
        let services = list(&store, ACME, &Filter::default(), &Page::default()).await.unwrap();
        assert_eq!(services.items.len(), 2);
        let web = get(&store, ACME, shop.web).await.unwrap().unwrap();
        assert_eq!((web.turn, web.waiting), (Some(next), Some(waiting)));
        assert_json_snapshot!("services", services);
    }

    async fn a_service_is_found_by_name_or_id_in_its_environment_only(database: Database) {
        let shop = Shop::open().await;
        let store = told(&database, &shop.story).await;
        let found = |environment, text: String| {
            let store = store.clone();
            async move { find(&store, ACME, environment, &text).await.unwrap().map(|service| service.id) }
        };
        assert_eq!(found(shop.production, "web".into()).await, Some(shop.web));
        assert_eq!(found(shop.production, shop.web.to_string()).await, Some(shop.web));
        assert_eq!(found(shop.staging, "web".into()).await, None);
        assert_eq!(found(shop.staging, shop.web.to_string()).await, None);
        assert_eq!(found(shop.production, "w%".into()).await, None);
    }

    async fn a_service_is_located_by_names_in_its_organization_only(database: Database) {
        let shop = Shop::open().await;
        let store = told(&database, &shop.story).await;
        let located = async |organization, project: &str, environment: &str, service: &str| {
            locate(&store, organization, project, environment, service).await.unwrap()
        };
        assert_eq!(located(ACME, "shop", "production", "web").await, Some(shop.web));
        assert_eq!(located(ACME, "Shop", "production", "web").await, Some(shop.web));
        assert_eq!(located(OTHER, "shop", "production", "web").await, None);
        assert_eq!(located(ACME, "shop", "staging", "web").await, None);
        assert_eq!(located(ACME, "shop", "production", "w%").await, None);
        assert_eq!(located(ACME, "other", "production", "web").await, None);
    }

    async fn a_change_that_was_taken_back_is_not_staged(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        story.stage(web, "COLOR", "red", None).await;
        story.deploy(web, 1).await;
        let staged = async |story: &Story| {
            let store = told(&database, story).await;
            get(&store, ACME, web).await.unwrap().unwrap().staged
        };
        assert!(!staged(story).await, "what is deployed is not staged");
        story.stage(web, "COLOR", "blue", None).await;
        assert!(staged(story).await, "another value is staged");
        story.stage(web, "COLOR", "red", None).await;
        assert!(!staged(story).await, "the same value as before is not");
        story.service_command(web, service::Command::Scale { replicas: 3, deploy: None }).await;
        assert!(staged(story).await, "another number of instances is");
    }

    async fn exits_are_counted_for_the_live_release(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        let deployment = story.deploy(web, 1).await;
        let release = story.services[&web.0].active().unwrap().live.as_ref().unwrap().number;
        for exit in ["exit status 1", "signal 9", "exit status 2"] {
            let instance = InstanceId { deployment, ordinal: 0 };
            let exited = service::Command::RecordExit { release, instance, exit: exit.into() };
            story.service_as_saga(web, exited).await;
        }
        let store = told(&database, story).await;
        let live = get(&store, ACME, web).await.unwrap().unwrap().live.unwrap();
        let exits = live.exits.unwrap();
        assert_eq!((exits.times, exits.last_exit.as_str()), (3, "exit status 2"));
        story.deploy(web, 2).await;
        let store = told(&database, story).await;
        let live = get(&store, ACME, web).await.unwrap().unwrap().live.unwrap();
        assert_eq!(live.exits, None, "the new release has none yet");
    }

    async fn a_deleted_service_is_found_by_its_place_only(database: Database) {
        let mut shop = Shop::busy().await;
        shop.story.service_command(shop.web, service::Command::Delete).await;
        let store = told(&database, &shop.story).await;
        assert_eq!(get(&store, ACME, shop.web).await.unwrap(), None);
        let place = place(&store, ACME, shop.web).await.unwrap().unwrap();
        assert_eq!((place.name.as_str(), place.project), ("web", shop.project));
        let left = database.query("SELECT name FROM variables".into(), 1).await;
        assert!(left.is_empty(), "its sealed values are gone: {left:?}");
    }
}
