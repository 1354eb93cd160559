//! The timelines of deployments after a given history.

use domain::deployment::step::{Failure, Step};
use domain::deployment::{self, Work};
use insta::assert_json_snapshot;
use switchback_projections::timeline::{State, of};

use crate::database::{on_both, told};
use crate::story::{ACME, OTHER, Shop};

on_both! {
    async fn a_timeline_has_each_step_with_what_it_found_out(database: Database) {
        let mut shop = Shop::open().await;
        let id = shop.story.deploy(shop.web, 1).await;
        let store = told(&database, &shop.story).await;
        assert_json_snapshot!("timeline", of(&store, ACME, id).await.unwrap());
        assert!(of(&store, OTHER, id).await.unwrap().is_empty());
    }

    async fn tries_take_overs_failures_and_what_was_taken_away_are_in_it(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        let id = story.request(web).await;
        story.begin_deployment(web, id).await;
        let fetch = Work::Do(Step::Fetch);
        let fence = story.start(id, fetch).await;
        let failure = Failure { code: "unreachable".into(), message: "no route".into(), permanent: false };
        story.deployment_command(id, deployment::Command::Fail { work: fetch, fence, failure }).await;
        story.start(id, fetch).await; // Its worker dies.
        story.step(web, id, Step::Fetch, 1).await;
        story.step(web, id, Step::Detect, 1).await;
        story.start(id, Work::Do(Step::Build)).await;
        let store = told(&database, story).await;
        let entries = of(&store, ACME, id).await.unwrap();
        let short: Vec<_> = entries.iter().map(|entry| (entry.step, entry.attempt, entry.state)).collect();
        let expected = [
            (Step::Fetch, 1, State::Failed),
            (Step::Fetch, 2, State::Abandoned),
            (Step::Fetch, 2, State::Succeeded),
            (Step::Detect, 1, State::Succeeded),
            (Step::Build, 1, State::Running),
        ];
        assert_eq!(short, expected);
        assert!(entries[0].retry_at.is_some());

        story.fail(web, id, Step::Build, "npm ended with status 1").await;
        let store = told(&database, story).await;
        let entries = of(&store, ACME, id).await.unwrap();
        let undone = entries.iter().filter(|entry| entry.undo).map(|entry| (entry.step, entry.state));
        let expected = [(Step::Build, State::Succeeded), (Step::Fetch, State::Succeeded)];
        assert_eq!(undone.collect::<Vec<_>>(), expected);
        let failures = entries.iter().filter_map(|entry| entry.failure.as_ref());
        let messages: Vec<_> = failures.map(|failure| failure.message.as_str()).collect();
        assert_eq!(messages, ["no route", "npm ended with status 1"]);
    }
}
