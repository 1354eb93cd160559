//! Projects and environments after a given history.

use domain::id::EnvironmentId;
use domain::project::{self, Environment};
use insta::assert_json_snapshot;
use switchback_projections::page::Page;
use switchback_projections::project::{environment_of, environments, find, get, list};
use uuid::Uuid;

use crate::database::{on_both, told};
use crate::story::{ACME, Shop, environment_name};

on_both! {
    async fn a_project_has_its_environments_and_counts(database: Database) {
        let mut shop = Shop::open().await;
        let (qa, name) = (EnvironmentId(Uuid::from_u128(0xAA)), environment_name("qa"));
        let add = project::Command::AddEnvironment { environment: Environment { id: qa, name } };
        shop.story.project_command(shop.project, add).await;
        shop.story.project("Zoo_Keeper").await;
        let store = told(&database, &shop.story).await;
        assert_json_snapshot!("projects", list(&store, ACME, None, &Page::default()).await.unwrap());
    }

    async fn a_project_is_found_by_id_slug_or_name(database: Database) {
        let mut shop = Shop::open().await;
        let (zoo, ..) = shop.story.project("Zoo_Keeper").await;
        let store = told(&database, &shop.story).await;
        for text in [zoo.to_string().as_str(), "zoo-keeper", "Zoo_Keeper", "zoo_keeper"] {
            let found = find(&store, ACME, text).await.unwrap();
            assert_eq!(found.map(|project| project.project.id), Some(zoo), "{text}");
        }
        for text in ["zoo", "keeper", "%", "", "zoo-keeper'", &Uuid::nil().to_string()] {
            assert_eq!(find(&store, ACME, text).await.unwrap(), None, "{text}");
        }
    }

    async fn the_text_that_is_looked_for_is_no_pattern(database: Database) {
        let mut shop = Shop::open().await;
        shop.story.project("my_shop").await;
        let store = told(&database, &shop.story).await;
        let found = async |text: &str| {
            let listed = list(&store, ACME, Some(text), &Page::default()).await.unwrap();
            listed.items.into_iter().map(|project| project.project.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("SHOP").await, ["my_shop", "shop"]);
        assert_eq!(found("_").await, ["my_shop"]);
        assert_eq!(found("%").await, [""; 0]);
    }

    async fn a_renamed_project_is_found_by_its_new_name_only(database: Database) {
        let mut shop = Shop::open().await;
        let rename = project::Command::Rename { name: "market".parse().unwrap() };
        let position = shop.story.project_command(shop.project, rename).await;
        let store = told(&database, &shop.story).await;
        assert_eq!(find(&store, ACME, "shop").await.unwrap(), None);
        let found = find(&store, ACME, "market").await.unwrap().unwrap();
        assert_eq!((found.project.id, found.project.position), (shop.project, position));
    }

    async fn what_was_removed_or_deleted_is_not_found(database: Database) {
        let mut shop = Shop::open().await;
        let remove = project::Command::RemoveEnvironment { environment: shop.staging };
        shop.story.project_command(shop.project, remove).await;
        let store = told(&database, &shop.story).await;
        let left = environments(&store, ACME, shop.project).await.unwrap();
        assert_eq!(left.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["production"]);
        assert_eq!(environment_of(&store, ACME, shop.project, "staging").await.unwrap(), None);
        let by_id = environment_of(&store, ACME, shop.project, &shop.production.to_string()).await.unwrap();
        assert_eq!(by_id.map(|environment| environment.id), Some(shop.production));

        shop.story.project_command(shop.project, project::Command::Delete).await;
        let store = told(&database, &shop.story).await;
        assert_eq!(get(&store, ACME, shop.project).await.unwrap(), None);
        assert_eq!(find(&store, ACME, "shop").await.unwrap(), None);
        assert!(environments(&store, ACME, shop.project).await.unwrap().is_empty());
        assert!(list(&store, ACME, None, &Page::default()).await.unwrap().items.is_empty());
    }
}
