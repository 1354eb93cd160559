//! Commands on deployments: asked for on the service's stream, which gives the turn; cancelled where they
//! are.

use domain::deployment::{CancelReason, Command as DeploymentCommand, Deployment, Rejection};
use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::service::release::ReleaseNumber;
use domain::service::{Command, Rejection as ServiceRejection, Service, Subject};
use domain::source::Source;
use domain::stream::StreamId;
use domain::{rollback, service};

use crate::bus::{Bus, Outcome};
use crate::error::CommandError;
use crate::policy::Action;
use crate::request::Request;

impl Bus {
    /// Deploys files: they are fetched, built and rolled out. With `fresh`, also when the same was built
    /// before.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn deploy(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        source: Source,
        fresh: bool,
    ) -> Result<(DeploymentId, Outcome), CommandError> {
        self.request_deployment(request, organization, service, Subject::Source { source, fresh }).await
    }

    /// Deploys what a release ran once more, with the configuration as it is now; the current one when none
    /// is named.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn redeploy(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        release: Option<ReleaseNumber>,
    ) -> Result<(DeploymentId, Outcome), CommandError> {
        let subject = match release {
            None => Subject::Configuration {},
            Some(release) => {
                let stream = StreamId::service(organization, service);
                let history = self.history::<service::Event>(stream).await?;
                let found = rollback::find(&history, rollback::Target::Release(release));
                let (release, then) = found.map_err(|nothing| CommandError::rejected(&nothing))?;
                Subject::Release { release, build: Box::new(then.build) }
            }
        };
        self.request_deployment(request, organization, service, subject).await
    }

    async fn request_deployment(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        subject: Subject,
    ) -> Result<(DeploymentId, Outcome), CommandError> {
        self.authorize(request, organization, Action::Deploy).await?;
        let deployment = DeploymentId(request.fresh_id("deployment"));
        let stream = StreamId::service(organization, service);
        let command = Command::Deploy { deployment, subject };
        let outcome = self.dispatch::<Service>(request, stream, command).await?;
        Ok((deployment, outcome))
    }

    /// Stops a deployment: one that waits is taken back, one that has the turn is ended with everything it
    /// started.
    ///
    /// # Errors
    /// [`CommandError`]; `deployment_over` or `deployment_went_live` when it is too late.
    pub async fn cancel(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        deployment: DeploymentId,
    ) -> Result<Outcome, CommandError> {
        self.authorize(request, organization, Action::Deploy).await?;
        let of_service = StreamId::service(organization, service);
        let withdraw = Command::Withdraw { deployment };
        match self.dispatch::<Service>(request, of_service, withdraw).await {
            Err(error) if error.code() == Some("deployment_not_its_turn") => {}
            settled => return settled,
        }
        let stream = StreamId::deployment(organization, deployment);
        let cancel = DeploymentCommand::Cancel { reason: CancelReason::Requested };
        match self.dispatch::<Deployment>(request, stream, cancel.clone()).await {
            Err(error) if error.code() == Some("deployment_not_found") => {}
            settled => return settled,
        }
        // It has the turn and has not begun yet: begin it, as the saga is about to, so that it can be ended.
        let state = self.state::<Service>(of_service).await?;
        let active = state.active().ok_or_else(|| CommandError::rejected(&ServiceRejection::NotFound))?;
        if active.past_end(deployment).is_some() {
            return Err(CommandError::rejected(&Rejection::Over)); // It never began, and will not.
        }
        let turn = active.turn.as_ref().filter(|turn| turn.deployment == deployment);
        let turn = turn.ok_or_else(|| CommandError::rejected(&Rejection::NotFound))?;
        let begin = DeploymentCommand::Begin { service, subject: turn.subject.clone() };
        self.dispatch::<Deployment>(&Request::new(request.actor), stream, begin).await?;
        self.dispatch::<Deployment>(request, stream, cancel).await
    }
}
