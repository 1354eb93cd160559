//! The things that events are about: the same ones whenever they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::command_line::CommandLine;
use crate::deployment::step::Failure;
use crate::digest::Digest;
use crate::hostname::Hostname;
use crate::id::{DeploymentId, EnvironmentId, OrganizationId, ProjectId, ServiceId};
use crate::name::VariableName;
use crate::plan::{Language, Plan, Run, Start};
use crate::secret::Sealed;
use crate::service::Subject;
use crate::service::release::{Build, Instance, InstanceId, Specification};
use crate::source::{Revision, Source};

/// The organisation of every test.
pub const ORGANIZATION: OrganizationId = OrganizationId(Uuid::from_u128(0x0_0001));
/// The project of every test.
pub const PROJECT: ProjectId = ProjectId(Uuid::from_u128(0x0_0002));
/// The environment of every test.
pub const ENVIRONMENT: EnvironmentId = EnvironmentId(Uuid::from_u128(0x0_0003));
/// The service of every test.
pub const SERVICE: ServiceId = ServiceId(Uuid::from_u128(0x0_0004));

/// The n-th deployment.
#[must_use]
pub const fn deployment(n: u32) -> DeploymentId {
    DeploymentId(Uuid::from_u128(0xd000_0000 + n as u128))
}

/// What the tests' keyring would make of a value: another text each time it would be sealed does not matter
/// to the domain, which looks at the fingerprint only.
///
/// # Panics
/// When `name` is no variable's name.
#[must_use]
pub fn sealed(name: &str, value: &str) -> (VariableName, Sealed) {
    let name = name.parse().expect("a test gives a valid name");
    let fingerprint = Digest::from_sha256(Sha256::digest(value).into()).hex()[..32].to_owned();
    (name, Sealed { key: Uuid::from_u128(0x4b), data: format!("c2VhbGVk{}", &fingerprint[..8]), fingerprint })
}

/// Several variables.
#[must_use]
pub fn variables<const N: usize>(values: [(&str, &str); N]) -> BTreeMap<VariableName, Sealed> {
    values.into_iter().map(|(name, value)| sealed(name, value)).collect()
}

/// Several names of variables.
///
/// # Panics
/// When one of them is no variable's name.
#[must_use]
pub fn names<const N: usize>(names: [&str; N]) -> BTreeSet<VariableName> {
    names.into_iter().map(|name| name.parse().expect("a test gives a valid name")).collect()
}

/// A command line.
///
/// # Panics
/// When it is not sound.
#[must_use]
pub fn command_line(line: &str) -> CommandLine {
    line.parse().expect("a test gives a sound command line")
}

/// What the service answers to from the beginning.
///
/// # Panics
/// Never.
#[must_use]
pub fn hostname() -> Hostname {
    "web.shop.localhost".parse().expect("a hostname")
}

/// A repository.
///
/// # Panics
/// Never.
#[must_use]
pub fn source() -> Source {
    Source::Repository { url: "https://example.com/shop.git".parse().expect("an address"), reference: None }
}

/// A deployment's subject: the repository.
#[must_use]
pub fn from_source() -> Subject {
    Subject::Source { source: source(), fresh: false }
}

/// The n-th revision of the repository.
///
/// # Panics
/// Never.
#[must_use]
pub fn revision(n: u32) -> Revision {
    Revision { id: format!("{n:040x}").parse().expect("forty digits"), subject: format!("change {n}") }
}

/// The n-th artifact.
#[must_use]
pub fn artifact(n: u32) -> Digest {
    Digest::from_sha256(Sha256::digest(n.to_be_bytes()).into())
}

/// How the repository is built and run.
#[must_use]
pub fn plan() -> Plan {
    Plan {
        language: Language::Python,
        detected_by: "requirements.txt, Procfile".to_owned(),
        root: String::new(),
        dockerfile: None,
        install: vec![command_line("pip install -r requirements.txt")],
        build: vec![],
        run: Run::new(Start::Command(command_line("gunicorn app:app -b 0.0.0.0:$PORT"))),
    }
}

/// The n-th build of the repository.
#[must_use]
pub fn build(n: u32) -> Build {
    Build { artifact: artifact(n), source: source(), revision: Some(revision(n)), plan: plan() }
}

/// What a release of the n-th build fixes, with these variables.
#[must_use]
pub fn specification(n: u32, variables: BTreeMap<VariableName, Sealed>) -> Specification {
    let build = build(n);
    let replicas = build.plan.run.replicas;
    Specification { build, variables, hostnames: BTreeSet::from([hostname()]), replicas }
}

/// The instances of the n-th deployment.
#[must_use]
pub fn instances(n: u32, replicas: u16) -> Vec<Instance> {
    let instance = |ordinal| Instance {
        id: InstanceId { deployment: deployment(n), ordinal },
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 20_000 + ordinal)),
    };
    (0..replicas).map(instance).collect()
}

/// A failure that may pass.
#[must_use]
pub fn transient() -> Failure {
    Failure { code: "unreachable".into(), message: "the registry does not answer".into(), permanent: false }
}

/// A failure that will not pass.
#[must_use]
pub fn permanent() -> Failure {
    Failure { code: "build_failed".into(), message: "the build ended with status 1".into(), permanent: true }
}
