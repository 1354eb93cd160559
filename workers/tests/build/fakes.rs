//! The fakes of source, builder and registry: the same promises, a ledger, and faults.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use domain::deployment::step::{Fence, Step};
use domain::id::{DeploymentId, ServiceId};
use domain::source::Source as Origin;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::builder::fake::FakeBuilder;
use workers::builder::{BuildRequest, Builder};
use workers::key::StepKey;
use workers::ledger::{Fault, Ledger, Operation};
use workers::output::Output;
use workers::registry::Registry;
use workers::registry::fake::FakeRegistry;
use workers::source::Source;
use workers::source::fake::FakeSource;

use crate::platform::located;

struct Fakes {
    ledger: Ledger,
    source: FakeSource,
    builder: FakeBuilder,
    registry: FakeRegistry,
    request: BuildRequest,
    directory: TempDir,
    cancel: CancellationToken,
}

impl Fakes {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::default();
        let deployment = DeploymentId(Uuid::now_v7());
        let url = "https://host.example/shop".parse().expect("an address");
        let request = BuildRequest {
            service: ServiceId(Uuid::now_v7()),
            deployment,
            source: Origin::Repository { url, reference: None },
            revision: None,
            directory: directory.path().join(deployment.to_string()).join("app"),
            variables: BTreeMap::new(),
            fresh: false,
        };
        Self {
            source: FakeSource::new(ledger.clone()),
            builder: FakeBuilder::new(ledger.clone(), directory.path()),
            registry: FakeRegistry::new(ledger.clone()),
            ledger,
            request,
            directory,
            cancel: CancellationToken::new(),
        }
    }

    fn key(&self, step: Step, fence: u32) -> StepKey {
        StepKey { deployment: self.request.deployment, step, fence: Fence(fence) }
    }

    async fn fetch(&self, fence: u32) -> Result<String, String> {
        let (key, into) = (self.key(Step::Fetch, fence), &self.request.directory);
        let source = &self.request.source;
        let fetched = self.source.fetch(key, source, None, into, &Output::nowhere(), &self.cancel).await;
        let revision = fetched.map_err(|error| error.to_string())?;
        Ok(revision.expect("of a repository").id.to_string())
    }

    async fn build(&self, fence: u32) -> Result<(), String> {
        let plan = self.builder.detect(&self.request, &Output::nowhere()).await.expect("detected");
        let key = self.key(Step::Build, fence);
        let built = self.builder.build(key, &self.request, &plan, &Output::nowhere(), &self.cancel).await;
        built.map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn what_is_done_twice_is_visible_once() {
    let fakes = Fakes::new();
    let deployment = fakes.request.deployment;
    for fence in 1..3 {
        fakes.fetch(fence).await.expect("fetched");
        fakes.build(fence).await.expect("built");
        let key = fakes.key(Step::Push, fence);
        let digest = fakes.registry.push(key, &fakes.request, "recipe").await.expect("pushed");
        assert_eq!(located(&fakes.registry, &digest).await.expect("there"), fakes.request.directory);
        let found = fakes.registry.find(fakes.request.service, "recipe").await.expect("looked");
        assert_eq!(found, Some(digest));
    }
    let once = [Operation::Fetch(deployment), Operation::Build(deployment), Operation::Push(deployment)];
    assert_eq!(fakes.ledger.visible(), once.map(|operation| (operation, 1)).into());
    assert_eq!(fakes.ledger.effects().len(), 8);
    // What the registry has taken stays.
    fakes.builder.clean(deployment).await.expect("cleaned");
    assert!(fakes.request.directory.join("built").exists());
}

#[tokio::test]
async fn a_branch_that_moves_gives_another_revision() {
    let fakes = Fakes::new();
    let first = fakes.fetch(1).await.expect("fetched");
    assert_eq!(fakes.fetch(2).await.expect("fetched"), first);
    fakes.source.advance();
    let second = fakes.fetch(3).await.expect("fetched");
    assert_ne!(second, first);
    assert_eq!(fs::read_to_string(fakes.request.directory.join("revision")).expect("written"), second);
}

#[tokio::test]
async fn faults_fail_hang_and_give_no_answer_with_the_effect_done_or_not() {
    for (fault, done) in [
        (Fault::Fail { permanent: false }, false),
        (Fault::NoAnswer { done: false }, false),
        (Fault::NoAnswer { done: true }, true),
        (Fault::Hang { done: true }, true),
    ] {
        let fakes = Fakes::new();
        fakes.ledger.faults(move |operation, nth| {
            (matches!(operation, Operation::Build(_)) && nth == 1).then_some(fault)
        });
        match tokio::time::timeout(Duration::from_millis(50), fakes.build(1)).await {
            Ok(built) => assert!(built.is_err(), "{fault:?}"),
            Err(_) => assert_eq!(fault, Fault::Hang { done: true }),
        }
        assert_eq!(fakes.request.directory.join("built").exists(), done, "{fault:?}");
        fakes.build(2).await.expect("only the first time");
        assert_eq!(fakes.ledger.visible()[&Operation::Build(fakes.request.deployment)], 1);
    }
}

#[tokio::test]
async fn a_build_that_hangs_can_be_cancelled() {
    let fakes = Fakes::new();
    fakes.ledger.faults(|operation, _| {
        matches!(operation, Operation::Build(_)).then_some(Fault::Hang { done: false })
    });
    fakes.cancel.cancel();
    assert_eq!(fakes.build(1).await, Err("it was cancelled".to_owned()));
}

#[tokio::test]
async fn an_earlier_worker_is_refused() {
    let fakes = Fakes::new();
    fakes.fetch(2).await.expect("fetched");
    fakes.fetch(1).await.expect_err("an earlier worker");
    assert_eq!(fakes.ledger.effects().len(), 1);
}

#[tokio::test]
async fn an_artifact_that_is_lost_is_missing_and_a_deployment_that_was_not_pushed_is_removed() {
    let fakes = Fakes::new();
    fakes.fetch(1).await.expect("fetched");
    fakes.builder.clean(fakes.request.deployment).await.expect("cleaned");
    assert_eq!(fs::read_dir(fakes.directory.path()).expect("there").count(), 0);
    fakes.fetch(2).await.expect("fetched");
    let digest =
        fakes.registry.push(fakes.key(Step::Push, 1), &fakes.request, "recipe").await.expect("pushed");
    fakes.registry.lose(&digest);
    assert_eq!(located(&fakes.registry, &digest).await.expect_err("lost").code, "artifact_missing");
    assert_eq!(fakes.registry.find(fakes.request.service, "recipe").await.expect("looked"), None);
}
