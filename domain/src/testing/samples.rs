//! One sample of every event type, with values as they are met in use. They stand in `schemas/samples/` for
//! ever.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::NOW;
use super::values::command_line;
use crate::deployment::CancelReason;
use crate::deployment::step::{Failure, Fence, Output, Step};
use crate::digest::Digest;
use crate::event::Event;
use crate::hostname::Hostname;
use crate::id::{DeploymentId, EnvironmentId, OrganizationId, ProjectId, ServiceId, TokenId, UserId};
use crate::name::VariableName;
use crate::plan::{Health, Language, Plan, Run, Start};
use crate::project::Environment;
use crate::secret::Sealed;
use crate::service::release::{Build, Instance, InstanceId, ReleaseNumber, Specification};
use crate::service::{Outcome, Subject};
use crate::source::{Revision, Source};
use crate::stream::AggregateKind;
use crate::{claim, deployment, organization, project, service, user};

const ORGANIZATION: OrganizationId =
    OrganizationId(Uuid::from_u128(0x019b_76da_a800_7001_8000_0000_0000_0001));
const OWNER: UserId = UserId(Uuid::from_u128(0x019b_76da_a800_7002_8000_0000_0000_0002));
const TOKEN: TokenId = TokenId(Uuid::from_u128(0x019b_76da_a800_7003_8000_0000_0000_0003));
const PRODUCTION: EnvironmentId = EnvironmentId(Uuid::from_u128(0x019b_76da_a800_7004_8000_0000_0000_0004));
const STAGING: EnvironmentId = EnvironmentId(Uuid::from_u128(0x019b_76da_a800_7005_8000_0000_0000_0005));
const PREVIEW: EnvironmentId = EnvironmentId(Uuid::from_u128(0x019b_76da_a800_7006_8000_0000_0000_0006));
const PROJECT: ProjectId = ProjectId(Uuid::from_u128(0x019b_76da_a800_7007_8000_0000_0000_0007));
const SERVICE: ServiceId = ServiceId(Uuid::from_u128(0x019b_76da_a800_7008_8000_0000_0000_0008));
const DEPLOYMENT: DeploymentId = DeploymentId(Uuid::from_u128(0x019b_76da_a800_7009_8000_0000_0000_0009));
const NEWER: DeploymentId = DeploymentId(Uuid::from_u128(0x019b_76da_a800_700a_8000_0000_0000_000a));
const KEY: Uuid = Uuid::from_u128(0x019b_76da_a800_700b_8000_0000_0000_000b);

/// One event of each type.
#[must_use]
pub fn all() -> Vec<Event> {
    let mut samples: Vec<Event> = vec![];
    samples.extend(of_user().map(Event::from));
    samples.extend(of_organization().map(Event::from));
    samples.extend(of_project().map(Event::from));
    samples.extend(of_service().map(Event::from));
    samples.extend(of_releases().map(Event::from));
    samples.extend(of_deployment().map(Event::from));
    samples.extend(of_its_end().map(Event::from));
    samples.extend(of_claim().map(Event::from));
    samples
}

fn of_user() -> [user::Event; 3] {
    use user::Event;
    [
        Event::Registered { name: "owner".into() },
        Event::TokenIssued {
            token: TOKEN,
            name: "laptop".into(),
            organization: ORGANIZATION,
            hash: digest(1).hex().into(),
        },
        Event::TokenRevoked { token: TOKEN },
    ]
}

fn of_organization() -> [organization::Event; 1] {
    [organization::Event::Created { name: "home".into(), owner: OWNER }]
}

fn of_project() -> [project::Event; 5] {
    use project::Event;
    let environment = |id, name: &str| Environment { id, name: name.parse().expect("a name") };
    [
        Event::Created {
            name: "shop".parse().expect("a name"),
            environments: vec![environment(PRODUCTION, "production"), environment(STAGING, "staging")],
        },
        Event::Renamed { name: "Web_Shop".parse().expect("a name") },
        Event::EnvironmentAdded { environment: environment(PREVIEW, "preview-42") },
        Event::EnvironmentRemoved { environment: PREVIEW },
        Event::Deleted {},
    ]
}

fn of_service() -> [service::Event; 9] {
    use service::Event;
    let subject = Subject::Source { source: repository(), fresh: false };
    [
        Event::Created {
            project: PROJECT,
            environment: PRODUCTION,
            name: "web".parse().expect("a name"),
            hostname: hostname(),
        },
        Event::VariablesChanged { set: variables(), unset: BTreeSet::from([name("OLD_FLAG")]) },
        Event::VariablesRevealed { names: BTreeSet::from([name("DATABASE_URL")]) },
        Event::Scaled { replicas: 3 },
        Event::DeploymentRequested { deployment: DEPLOYMENT, subject },
        Event::DeploymentAdmitted { deployment: DEPLOYMENT },
        Event::DeploymentSuperseded { deployment: DEPLOYMENT, by: NEWER },
        Event::DeploymentWithdrawn { deployment: DEPLOYMENT },
        Event::Deleted {},
    ]
}

fn of_releases() -> [service::Event; 6] {
    use service::Event;
    let release = ReleaseNumber(7);
    let instance = instances()[0].id;
    let specification = Box::new(Specification {
        build: Build { artifact: digest(2), source: repository(), revision: Some(revision()), plan: plan() },
        variables: variables(),
        hostnames: BTreeSet::from([hostname()]),
        replicas: 2,
    });
    [
        Event::RollbackRequested { from: Some(release), to: ReleaseNumber(5), deployment: NEWER },
        Event::ReleaseCut { release, deployment: DEPLOYMENT, specification },
        Event::ReleaseActivated { release, deployment: DEPLOYMENT, instances: instances() },
        Event::InstancesMoved { release, instances: instances() },
        Event::InstanceExited { release, instance, exit: "exit status 1".into() },
        Event::DeploymentEnded { deployment: DEPLOYMENT, outcome: Outcome::Succeeded },
    ]
}

fn of_deployment() -> [deployment::Event; 5] {
    use deployment::Event;
    let subject = Subject::Source {
        source: Source::Upload { digest: digest(3), revision: Some(revision()) },
        fresh: true,
    };
    let unreachable = Failure {
        code: "repository_unreachable".into(),
        message: "https://git.example.com does not answer; is it up, and can this machine reach it?".into(),
        permanent: false,
    };
    [
        Event::Begun { service: SERVICE, subject },
        Event::StepStarted { step: Step::Build, attempt: 1, fence: Fence(3), deadline: after_minutes(15) },
        Event::StepSucceeded { fence: Fence(2), output: Output::Detect { plan: Box::new(plan()) } },
        Event::StepFailed {
            step: Step::Fetch,
            fence: Fence(1),
            failure: unreachable,
            retry_at: Some(after_minutes(1)),
        },
        Event::CancelRequested { reason: CancelReason::Requested },
    ]
}

fn of_its_end() -> [deployment::Event; 6] {
    use deployment::Event;
    let busy = Failure {
        code: "directory_busy".into(),
        message: "the workspace of the build is still in use".into(),
        permanent: false,
    };
    let unhealthy = Failure {
        code: "health_check_failed".into(),
        message: "GET /healthz answered 500 for 60 s; `switchback logs` shows what the release said".into(),
        permanent: true,
    };
    [
        Event::UndoStarted { step: Step::RollOut, attempt: 1, fence: Fence(9), deadline: after_minutes(2) },
        Event::UndoSucceeded { step: Step::RollOut, fence: Fence(9) },
        Event::UndoFailed { step: Step::Build, fence: Fence(11), failure: busy, retry_at: None },
        Event::WentLive { release: ReleaseNumber(7) },
        Event::Failed { step: Step::Verify, failure: unhealthy },
        Event::Cancelled { reason: CancelReason::ServiceDeleted },
    ]
}

fn of_claim() -> [claim::Event; 2] {
    let owner = claim::Owner { organization: ORGANIZATION, kind: AggregateKind::Service, id: SERVICE.0 };
    let key =
        claim::Key::ServiceName { organization: ORGANIZATION, environment: PRODUCTION, name: "web".into() };
    [claim::Event::Taken { key, owner, at: NOW }, claim::Event::Released {}]
}

fn after_minutes(minutes: i64) -> DateTime<Utc> {
    NOW + TimeDelta::minutes(minutes) + TimeDelta::milliseconds(250)
}

fn digest(n: u8) -> Digest {
    let mut bytes = [0xc5; 32];
    bytes[0] = n;
    Digest::from_sha256(bytes)
}

fn hostname() -> Hostname {
    "web.shop.localhost".parse().expect("a hostname")
}

fn name(name: &str) -> VariableName {
    name.parse().expect("a name")
}

fn variables() -> BTreeMap<VariableName, Sealed> {
    let sealed = |data: &str, fingerprint: &str| Sealed {
        key: KEY,
        data: data.to_owned(),
        fingerprint: fingerprint.to_owned(),
    };
    let url = sealed(
        "q5PLJeIAyV1mzVb2cVYVJbNoZ6nQn0uYyW7rGJrA0uP3bYpDq7c2tq8kM1o0cXvBf2mJ5wYxYxE6zM7h",
        "9f86d081884c7d659a2feaa0c55ad015",
    );
    let flag = sealed("Zk1Q0p9WbqH3vJ6yR8sT2uX4aC5dE7fGhIjKlMnOpQrStUvW", "3e23e8160039594a33894f6564e1b134");
    BTreeMap::from([(name("DATABASE_URL"), url), (name("FEATURE_X"), flag)])
}

fn repository() -> Source {
    Source::Repository {
        url: "https://git.example.com/acme/shop.git".parse().expect("an address"),
        reference: Some("main".parse().expect("a branch")),
    }
}

fn revision() -> Revision {
    Revision {
        id: "4f9c2b7d1e0a8365c4b2f1907d6e5a3b8c9d0e1f".parse().expect("a revision"),
        subject: "Show the price with tax".into(),
    }
}

fn plan() -> Plan {
    let mut run = Run::new(Start::Command(command_line("node server.js --port $PORT")));
    run.release = Some(command_line("./migrate"));
    run.port = Some(3000);
    run.health = Health { path: Some("/healthz".into()), timeout_ms: 60_000 };
    run.replicas = 2;
    run.memory_bytes = Some(256 << 20);
    run.cpu_millis = Some(500);
    Plan {
        language: Language::Node,
        detected_by: "package.json, package-lock.json".into(),
        root: "apps/web".into(),
        dockerfile: None,
        install: vec![command_line("npm ci")],
        build: vec![command_line("npm run build")],
        run,
    }
}

fn instances() -> Vec<Instance> {
    let instance = |ordinal: u16| Instance {
        id: InstanceId { deployment: DEPLOYMENT, ordinal },
        address: ([127, 0, 0, 1], 41_000 + ordinal).into(),
    };
    vec![instance(0), instance(1)]
}
