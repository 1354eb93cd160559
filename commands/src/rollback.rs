//! Rollback by replay: the service's history is read to the moment that is wanted, and what was then is made
//! current.

use domain::id::{DeploymentId, OrganizationId, ServiceId};
use domain::rollback::{self, Plan, Target};
use domain::service::release::{ReleaseNumber, Specification};
use domain::service::{Command, Event, Rejection, Service};
use domain::stream::StreamId;

use crate::bus::{Bus, Outcome};
use crate::error::CommandError;
use crate::policy::Action;
use crate::request::Request;

impl Bus {
    /// What going back to `target` would change. Nothing is changed.
    ///
    /// # Errors
    /// [`CommandError`] when there is nothing to go back to.
    pub async fn plan_rollback(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        target: Target,
    ) -> Result<Plan, CommandError> {
        self.authorize(request, organization, Action::Read).await?;
        let stream = StreamId::service(organization, service);
        let (to, then) = self.replay_to(stream, target).await?;
        let state = self.state::<Service>(stream).await?;
        let active = state.active().ok_or_else(|| CommandError::rejected(&Rejection::NotFound))?;
        active.can_roll_back(to).map_err(|rejection| CommandError::rejected(&rejection))?;
        Ok(rollback::plan(active, to, &then))
    }

    /// Makes what was live at `target` current again, as a new release.
    ///
    /// # Errors
    /// [`CommandError`] when there is nothing to go back to.
    pub async fn roll_back(
        &self,
        request: &Request,
        organization: OrganizationId,
        service: ServiceId,
        target: Target,
    ) -> Result<(DeploymentId, Plan, Outcome), CommandError> {
        self.authorize(request, organization, Action::RollBack).await?;
        let stream = StreamId::service(organization, service);
        let (to, then) = self.replay_to(stream, target).await?;
        let state = self.state::<Service>(stream).await?;
        let active = state.active().ok_or_else(|| CommandError::rejected(&Rejection::NotFound))?;
        let plan = rollback::plan(active, to, &then);
        let deployment = DeploymentId(request.fresh_id("deployment"));
        let command = Command::RollBack { deployment, to, then: Box::new(then) };
        let outcome = self.dispatch::<Service>(request, stream, command).await?;
        self.stop_what_is_on_its_way(request, stream, deployment).await?;
        Ok((deployment, plan, outcome))
    }

    /// Whoever wants an earlier release back does not want the one that is on its way.
    async fn stop_what_is_on_its_way(
        &self,
        request: &Request,
        service: StreamId,
        rollback: DeploymentId,
    ) -> Result<(), CommandError> {
        let state = self.state::<Service>(service).await?;
        let turn = state.active().and_then(|active| active.turn.as_ref());
        let Some(turn) = turn.filter(|turn| turn.deployment != rollback) else { return Ok(()) };
        let organization = service.organization;
        match self.cancel(request, organization, ServiceId(service.id), turn.deployment).await {
            // Refused when it is over, or live already: then it is rolled back like any other.
            Ok(_) | Err(CommandError::Rejected { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn replay_to(
        &self,
        stream: StreamId,
        target: Target,
    ) -> Result<(ReleaseNumber, Specification), CommandError> {
        let history = self.history::<Event>(stream).await?;
        if history.is_empty() {
            return Err(CommandError::rejected(&Rejection::NotFound));
        }
        rollback::find(&history, target).map_err(|nothing| CommandError::rejected(&nothing))
    }
}
