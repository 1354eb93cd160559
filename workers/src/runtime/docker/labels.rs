//! Names and labels: what is ours in an engine that others use too, and what it is.

use std::collections::HashMap;

use domain::deployment::step::{Fence, Step};
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::service::release::InstanceId;
use uuid::Uuid;

use crate::runtime::Environment;

pub(super) const INSTALLATION: &str = "dev.switchback.installation";
pub(super) const ORGANIZATION: &str = "dev.switchback.organization";
pub(super) const SERVICE: &str = "dev.switchback.service";
pub(super) const DEPLOYMENT: &str = "dev.switchback.deployment";
pub(super) const RELEASE: &str = "dev.switchback.release";
/// Which copy; only instances have it.
pub(super) const INSTANCE: &str = "dev.switchback.instance";
/// Which step; only commands have it.
pub(super) const STEP: &str = "dev.switchback.step";
/// Of the worker that made it.
pub(super) const FENCE: &str = "dev.switchback.fence";
/// Where it is to listen.
pub(super) const PORT: &str = "dev.switchback.port";

pub(super) type Labels = HashMap<String, String>;

/// A condition on a label, for lists.
pub(super) fn is(label: &str, value: impl std::fmt::Display) -> String {
    format!("{label}={value}")
}

/// The name of an instance's container: whoever starts it finds it again.
pub(super) fn instance_name(id: InstanceId) -> String {
    format!("switchback-{}-{}", id.deployment, id.ordinal)
}

/// The name of a command's container.
pub(super) fn command_name(deployment: DeploymentId, step: Step) -> String {
    format!("switchback-{deployment}-{step}")
}

/// The name of a service's network.
pub(super) fn network_name(service: ServiceId) -> String {
    format!("switchback-{service}")
}

/// All names that [`bridge_name`] gives, as the firewall writes it.
pub(super) const ALL_BRIDGES: &str = "sb-+";

/// The name of its bridge on the host, of which 15 characters count. The last digits of an id are its random
/// ones.
pub(super) fn bridge_name(service: ServiceId) -> String {
    let digits = service.0.simple().to_string();
    format!("sb-{}", &digits[digits.len() - 12..])
}

/// What all containers of a release have.
pub(super) fn of_release(
    installation: Uuid,
    deployment: DeploymentId,
    fence: Fence,
    given: &Environment,
) -> Labels {
    let mut labels = of_service(installation, given.organization, given.service);
    labels.insert(DEPLOYMENT.into(), deployment.to_string());
    labels.insert(FENCE.into(), fence.0.to_string());
    if let Some(release) = given.variables.get("SWITCHBACK_RELEASE") {
        labels.insert(RELEASE.into(), release.reveal().to_owned()); // A number, no secret.
    }
    labels
}

/// What a network has.
pub(super) fn of_service(installation: Uuid, organization: OrganizationId, service: ServiceId) -> Labels {
    Labels::from([
        (INSTALLATION.to_owned(), installation.to_string()),
        (ORGANIZATION.to_owned(), organization.to_string()),
        (SERVICE.to_owned(), service.to_string()),
    ])
}

/// The instance that a container is.
pub(super) fn instance(labels: &Labels) -> Option<InstanceId> {
    let deployment = labels.get(DEPLOYMENT)?.parse().ok()?;
    Some(InstanceId { deployment, ordinal: labels.get(INSTANCE)?.parse().ok()? })
}

/// The fence of the worker that made a container.
pub(super) fn fence(labels: &Labels) -> Fence {
    Fence(labels.get(FENCE).and_then(|number| number.parse().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_found_by_its_labels_and_a_command_is_none() {
        let id = InstanceId { deployment: DeploymentId(Uuid::from_u128(7)), ordinal: 2 };
        let mut labels = Labels::from([(DEPLOYMENT.to_owned(), id.deployment.to_string())]);
        assert_eq!(instance(&labels), None);
        labels.insert(INSTANCE.into(), "2".into());
        assert_eq!(instance(&labels), Some(id));
        assert_eq!(fence(&labels), Fence(0));
    }
}
