//! The things that histories are about.

use domain::deployment::step::Failure;
use domain::digest::Digest;
use domain::id::DeploymentId;
use domain::name::{EnvironmentName, VariableName};
use domain::plan::{Language, Plan, Run, Start};
use domain::secret::Sealed;
use domain::service::release::{Instance, InstanceId};
use domain::source::{Revision, Source};
use uuid::Uuid;

pub(crate) fn environment_name(name: &str) -> EnvironmentName {
    name.parse().unwrap()
}

pub(crate) fn variable(name: &str) -> VariableName {
    name.parse().unwrap()
}

/// "Sealed": what stands for the value is not the value, and equal values have equal fingerprints.
pub(crate) fn sealed(value: &str) -> Sealed {
    let fingerprint =
        format!("{:08x}", value.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte)));
    Sealed { key: Uuid::from_u128(0xE), data: format!("sealed-{fingerprint}"), fingerprint }
}

pub(crate) fn repository() -> Source {
    Source::Repository {
        url: "https://example.com/shop.git".parse().unwrap(),
        reference: Some("main".parse().unwrap()),
    }
}

pub(crate) fn revision(n: u8) -> Revision {
    Revision { id: format!("{n:02x}").repeat(20).parse().unwrap(), subject: format!("Change no. {n}") }
}

pub(crate) fn digest(n: u8) -> Digest {
    Digest::from_sha256([n; 32])
}

pub(crate) fn failure(message: &str) -> Failure {
    Failure { code: "build_failed".into(), message: message.into(), permanent: true }
}

pub(crate) fn plan() -> Plan {
    Plan {
        language: Language::Node,
        detected_by: "package.json".into(),
        root: String::new(),
        dockerfile: None,
        install: vec!["npm ci".parse().unwrap()],
        build: vec![],
        run: Run::new(Start::Command("node server.js".parse().unwrap())),
    }
}

pub(crate) fn instance(deployment: DeploymentId, ordinal: u16) -> Instance {
    Instance {
        id: InstanceId { deployment, ordinal },
        address: format!("127.0.0.1:{}", 20_000 + u32::from(ordinal)).parse().unwrap(),
    }
}
