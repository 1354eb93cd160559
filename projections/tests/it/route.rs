//! Routes after a given history.

use domain::service;
use domain::service::release::ReleaseNumber;
use insta::assert_json_snapshot;
use switchback_projections::route::{all, hostnames};

use crate::database::{on_both, told};
use crate::story::{Shop, instance};

on_both! {
    async fn only_what_is_live_has_a_route(database: Database) {
        let shop = Shop::busy().await;
        let store = told(&database, &shop.story).await;
        let (routes, position) = all(&store).await.unwrap();
        assert_json_snapshot!("routes", routes);
        assert_eq!(position.0, 102);
        let named: Vec<_> = hostnames(&store).await.unwrap().into_iter().map(|name| name.service).collect();
        assert_eq!(named, [shop.web, shop.worker], "what has nothing live has a name all the same");
    }

    async fn moved_instances_are_followed_and_a_deleted_service_has_none(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        let id = story.deploy(web, 1).await;
        let instances = vec![instance(id, 3), instance(id, 4)];
        let release = ReleaseNumber(1);
        let moved = service::Command::MoveInstances { release, instances: instances.clone() };
        story.service_as_saga(web, moved).await;
        let store = told(&database, story).await;
        let (routes, _) = all(&store).await.unwrap();
        assert_eq!(routes[0].instances, instances);
        story.service_command(web, service::Command::Delete).await;
        let store = told(&database, story).await;
        assert_eq!(all(&store).await.unwrap().0, []);
    }
}
