//! Users and their tokens after a given history.

use domain::id::{TokenId, UserId};
use domain::user;
use insta::assert_json_snapshot;
use switchback_projections::user::{get, names, tokens};
use uuid::Uuid;

use crate::database::{on_both, told};
use crate::story::{ACME, OTHER, OWNER, STRANGER, Story};

const LAPTOP: TokenId = TokenId(Uuid::from_u128(0xD1));
const CI: TokenId = TokenId(Uuid::from_u128(0xD2));

on_both! {
    async fn tokens_are_listed_newest_first_with_those_that_were_revoked(database: Database) {
        let mut story = Story::begin().await;
        for (token, name, organization) in [(LAPTOP, "laptop", ACME), (CI, "ci", ACME)] {
            let issue =
                user::Command::IssueToken { token, name: name.into(), organization, hash: "5e".repeat(32) };
            story.user(OWNER, issue).await;
        }
        story.user(OWNER, user::Command::RevokeToken { token: LAPTOP }).await;
        let store = told(&database, &story).await;
        assert_json_snapshot!("tokens", tokens(&store, ACME, OWNER).await.unwrap());
        assert_eq!(tokens(&store, OTHER, OWNER).await.unwrap(), []);
        assert_eq!(tokens(&store, ACME, STRANGER).await.unwrap(), []);
        let hashes = database.query("SELECT id FROM tokens WHERE name LIKE '%5e5e%'".into(), 1).await;
        assert!(hashes.is_empty());
    }

    async fn a_name_is_known_to_the_organizations_of_its_user_only(database: Database) {
        let mut story = Story::begin().await;
        story.user(STRANGER, user::Command::Register { name: "eve".into() }).await;
        let store = told(&database, &story).await;
        assert_eq!(names(&store, ACME).await.unwrap(), [(OWNER, "ada".to_owned())].into());
        assert_eq!(names(&store, OTHER).await.unwrap(), [].into());
        let name = async |user: UserId| get(&store, ACME, user).await.unwrap().map(|user| user.name);
        assert_eq!(name(OWNER).await.as_deref(), Some("ada"));
        assert_eq!(name(STRANGER).await, None);
    }

    async fn a_name_with_nul_in_it_stops_nobody(database: Database) {
        let mut story = Story::begin().await;
        story.user(STRANGER, user::Command::Register { name: "e\0ve".into() }).await;
        told(&database, &story).await;
        let names = database.query("SELECT name FROM users".into(), 1).await;
        assert_eq!(names, [[Some("ada".to_owned())], [Some("e\u{fffd}ve".to_owned())]]);
    }
}
