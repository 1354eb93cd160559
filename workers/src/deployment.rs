//! Which piece of work is carried out by which file. A step takes only the ports it uses; the runner records
//! what it answers with.

pub mod activate;
pub mod build;
pub mod cut;
pub mod detect;
pub mod fetch;
pub mod prepare;
pub mod push;
pub mod retire;
pub mod roll_out;
pub mod verify;

mod environment;
mod health;

use domain::deployment::step::{Output as Found, Step};
use domain::deployment::{Deployment, Facts, Work};
use domain::id::ServiceId;
use domain::service::{Active, Service};
use domain::stream::StreamId;
use eventlog::crash_point;
use eventlog::logs::LogName;
use tokio_util::sync::CancellationToken;

use crate::builder::BuildRequest;
use crate::context::Context;
use crate::key::StepKey;
use crate::output::Output;
use crate::router::Job;
use crate::step::StepError;

/// What came of a piece of work.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// A step, and what it found out.
    Step(Box<Found>),
    /// Nothing of a step is left.
    Undo,
}

/// A step in hand: what it is about, where it says what it does, what stops it.
pub struct InHand<'a> {
    /// What workers work with.
    pub context: &'a Context,
    /// The job.
    pub job: &'a Job,
    /// What effects are named by.
    pub key: StepKey,
    /// What is known of the deployment.
    pub facts: Facts,
    /// Where it says what it does.
    pub output: Output,
    /// What stops it.
    pub cancel: &'a CancellationToken,
}

/// Does a piece of work.
///
/// # Errors
/// [`StepError`].
pub async fn carry_out(
    context: &Context,
    job: &Job,
    key: StepKey,
    cancel: &CancellationToken,
) -> Result<Done, StepError> {
    let stream = StreamId::deployment(job.organization, job.deployment);
    let state = context.bus.state::<Deployment>(stream).await?;
    let gone = || StepError::permanent("deployment_not_found", "the deployment is not in the log");
    let facts = state.facts().ok_or_else(gone)?.clone();
    let logs = eventlog::logs::SharedLogs::clone(&context.logs);
    let (output, storing) = Output::to(logs, LogName::Build(job.deployment), key.step.as_str());
    let in_hand = InHand { context, job, key, facts, output, cancel };
    let doing = async {
        crash_point!("step.before_effect", key.step);
        // Moved in, so that its output ends with it.
        let mut in_hand = in_hand;
        match job.work {
            Work::Do(step) => do_step(step, &mut in_hand).await.map(Done::from),
            Work::Undo(step) => undo_step(step, &in_hand).await.map(|()| Done::Undo),
        }
    };
    let (done, ()) = tokio::join!(doing, storing);
    done
}

async fn do_step(step: Step, in_hand: &mut InHand<'_>) -> Result<Found, StepError> {
    match step {
        Step::Fetch => fetch::fetch(in_hand).await,
        Step::Detect => detect::detect(in_hand).await,
        Step::Build => build::build(in_hand).await,
        Step::Push => push::push(in_hand).await,
        Step::Cut => cut::cut(in_hand).await,
        Step::Prepare => prepare::prepare(in_hand).await,
        Step::RollOut => roll_out::roll_out(in_hand).await,
        Step::Verify => verify::verify(in_hand).await,
        Step::Activate => activate::activate(in_hand).await,
        Step::Retire => retire::retire(in_hand).await,
    }
}

/// Takes away what a step may have left, whether or not it came to its end.
async fn undo_step(step: Step, in_hand: &InHand<'_>) -> Result<(), StepError> {
    let deployment = in_hand.job.deployment;
    match step {
        Step::Fetch | Step::Build => Ok(in_hand.context.builder.clean(deployment).await?),
        Step::RollOut if activate::is_live(in_hand).await? => {
            Err(StepError::permanent("is_live", "the release has the traffic, so what it runs stays"))
        }
        Step::Prepare | Step::RollOut => Ok(in_hand.context.runtime.clean(deployment).await?),
        Step::Detect | Step::Push | Step::Cut | Step::Verify | Step::Activate | Step::Retire => Ok(()),
    }
}

impl InHand<'_> {
    /// The service the deployment is for.
    fn service(&self) -> ServiceId {
        self.facts.service
    }

    /// The service's stream.
    fn service_stream(&self) -> StreamId {
        StreamId::service(self.job.organization, self.facts.service)
    }

    /// The service as it is now.
    async fn active(&self) -> Result<Box<Active>, StepError> {
        match self.context.bus.state::<Service>(self.service_stream()).await? {
            Service::Active(active) => Ok(active),
            Service::Absent | Service::Deleted { .. } => {
                Err(StepError::permanent("service_not_found", "the service was deleted"))
            }
        }
    }

    /// What a builder is told; the service's variables are those it has now.
    async fn build_request(&self) -> Result<BuildRequest, StepError> {
        let nothing = || StepError::permanent("nothing_to_build", "the deployment brings nothing to build");
        let source = self.facts.source().ok_or_else(nothing)?;
        let fresh = matches!(self.facts.subject, domain::service::Subject::Source { fresh: true, .. });
        let active = self.active().await?;
        let variables = environment::open(self, &active.variables).await?;
        Ok(BuildRequest {
            service: self.service(),
            deployment: self.job.deployment,
            source: source.clone(),
            revision: self.facts.revision.clone(),
            directory: self.context.settings.workspace(self.job.deployment),
            variables,
            fresh,
        })
    }
}
