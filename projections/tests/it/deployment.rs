//! Deployments after a given history.

use domain::deployment::step::Step;
use domain::deployment::{self, CancelReason};
use domain::id::DeploymentId;
use domain::service::{self, Outcome, Subject};
use insta::assert_json_snapshot;
use switchback_projections::deployment::{Filter, Status, Trigger, get, list};
use switchback_projections::page::Page;
use uuid::Uuid;

use crate::database::{on_both, told};
use crate::story::{ACME, Shop};

on_both! {
    async fn deployments_are_listed_newest_first_with_who_and_why(database: Database) {
        let shop = Shop::busy().await;
        let store = told(&database, &shop.story).await;
        let listed = list(&store, ACME, &Filter::default(), &Page::default()).await.unwrap();
        assert_json_snapshot!("deployments", listed);
    }

    async fn the_status_follows_the_steps(database: Database) {
        let mut shop = Shop::open().await;
        let web = shop.web;
        let id = shop.story.request(web).await;
        let mut seen = vec![];
        let look = async |shop: &Shop| {
            let store = told(&database, &shop.story).await;
            let now = get(&store, ACME, id).await.unwrap().unwrap();
            (now.status, now.step)
        };
        seen.push(look(&shop).await);
        shop.story.begin_deployment(web, id).await;
        seen.push(look(&shop).await);
        while let Some(step) = shop.story.next_step(id) {
            shop.story.step(web, id, step, 1).await;
            seen.push(look(&shop).await);
        }
        seen.dedup();
        let expected = [
            (Status::Pending, None),
            (Status::Building, Some(Step::Fetch)),
            (Status::Building, Some(Step::Detect)),
            (Status::Building, Some(Step::Build)),
            (Status::Building, Some(Step::Push)),
            (Status::Deploying, Some(Step::Cut)),
            (Status::Deploying, Some(Step::Prepare)),
            (Status::Deploying, Some(Step::RollOut)),
            (Status::Deploying, Some(Step::Verify)),
            (Status::Success, None),
        ];
        assert_eq!(seen, expected);
    }

    async fn a_deployment_says_what_brought_it_about(database: Database) {
        let mut shop = Shop::busy().await;
        let (story, web) = (&mut shop.story, shop.web);
        let id = DeploymentId(Uuid::from_u128(0xF0));
        story.service_command(web, service::Command::Scale { replicas: 2, deploy: Some(id) }).await;
        story.carry_out(web, id, 0).await;
        let restart = DeploymentId(Uuid::from_u128(0xF1));
        let subject = Subject::Configuration {};
        story.service_command(web, service::Command::Deploy { deployment: restart, subject }).await;
        let store = told(&database, story).await;
        let listed = list(&store, ACME, &Filter::default(), &Page::default()).await.unwrap();
        let triggers: Vec<_> = listed.items.iter().rev().map(|deployment| deployment.trigger).collect();
        let number = domain::service::release::ReleaseNumber;
        let expected = [
            Trigger::Deploy,
            Trigger::Deploy,
            Trigger::Variables,
            Trigger::Rollback { from: Some(number(3)), to: number(1) },
            Trigger::Deploy,
            Trigger::Scale,
            Trigger::Restart,
        ];
        assert_eq!(triggers, expected);
    }

    async fn a_newer_one_supersedes_one_that_waits_and_a_cancelled_one_says_so(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        let running = story.request(web).await;
        story.begin_deployment(web, running).await;
        let first = story.request(web).await;
        let second = story.request(web).await;
        story.service_command(web, service::Command::Withdraw { deployment: second }).await;
        let cancel = deployment::Command::Cancel { reason: CancelReason::Requested };
        story.step(web, running, Step::Fetch, 1).await;
        story.deployment_command(running, cancel).await;
        let store = told(&database, story).await;
        let stopping = get(&store, ACME, running).await.unwrap().unwrap();
        assert_eq!(stopping.status, Status::Building);
        assert!(stopping.cancel_requested_at.is_some());
        story.clean_up(web, running, Outcome::Cancelled).await;

        let store = told(&database, story).await;
        let of = async |id| get(&store, ACME, id).await.unwrap().unwrap();
        let superseded = of(first).await;
        assert_eq!((superseded.status, superseded.superseded_by), (Status::Superseded, Some(second)));
        assert_eq!(of(second).await.status, Status::Cancelled);
        assert_eq!(of(running).await.status, Status::Cancelled);
        for id in [first, second, running] {
            assert!(of(id).await.finished_at.is_some());
        }
    }

    async fn one_that_waited_when_its_service_was_deleted_is_cancelled(database: Database) {
        let mut shop = Shop::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        let running = story.request(web).await;
        let waiting = story.request(web).await;
        story.service_command(web, service::Command::Delete).await;
        let store = told(&database, story).await;
        let waiting = get(&store, ACME, waiting).await.unwrap().unwrap();
        assert_eq!(waiting.status, Status::Cancelled);
        assert!(waiting.finished_at.is_some());
        let running = get(&store, ACME, running).await.unwrap().unwrap();
        assert_eq!(running.status, Status::Pending, "its own saga ends it");
        let filter = Filter { status: Some(Status::Cancelled), ..Filter::default() };
        assert_eq!(list(&store, ACME, &filter, &Page::default()).await.unwrap().items.len(), 1);
    }

    async fn deployments_are_filtered_by_where_they_are_and_how_they_stand(database: Database) {
        let mut shop = Shop::busy().await;
        shop.story.deploy(shop.worker, 7).await;
        let store = told(&database, &shop.story).await;
        let count = async |filter: Filter| {
            list(&store, ACME, &filter, &Page::default()).await.unwrap().items.len()
        };
        assert_eq!(count(Filter::default()).await, 6);
        assert_eq!(count(Filter { project: Some(shop.project), ..Filter::default() }).await, 6);
        assert_eq!(count(Filter { service: Some(shop.worker), ..Filter::default() }).await, 1);
        assert_eq!(count(Filter { environment: Some(shop.production), ..Filter::default() }).await, 5);
        assert_eq!(count(Filter { status: Some(Status::Failed), ..Filter::default() }).await, 1);
        assert_eq!(count(Filter { status: Some(Status::Pending), ..Filter::default() }).await, 0);
    }
}
