//! Build: the files are installed and built, or were before, by the same recipe.

use domain::deployment::step::Output;
use domain::plan::Plan;
use domain::service::Subject;
use sha2::{Digest, Sha256};

use super::{InHand, fetch};
use crate::builder::BuildRequest;
use crate::step::StepError;

/// Builds by the plan. When the same revision was built before by the same plan and with the same variables,
/// that is used again, unless the deployment asks for a fresh build.
///
/// # Errors
/// [`StepError`] with the codes of [`crate::builder::BuildError`].
pub async fn build(step: &InHand<'_>) -> Result<Output, StepError> {
    let request = step.build_request().await?;
    let plan = plan(step)?;
    if let Some(recipe) = repeatable_recipe(step, &request, plan)
        && let Some(artifact) = step.context.registry.find(request.service, &recipe).await?
    {
        step.output.say("built before from the same revision, plan and variables: using that").await;
        return Ok(Output::Build { reused: Some(artifact) });
    }
    fetch::ensure(step).await?;
    step.context.builder.build(step.key, &request, plan, &step.output, step.cancel).await?;
    Ok(Output::Build { reused: None })
}

pub(super) fn plan<'a>(step: &'a InHand<'_>) -> Result<&'a Plan, StepError> {
    let missing = || StepError::permanent("plan_missing", "the deployment has no plan");
    step.facts.plan.as_deref().ok_or_else(missing)
}

fn repeatable_recipe(step: &InHand<'_>, request: &BuildRequest, plan: &Plan) -> Option<String> {
    match &step.facts.subject {
        Subject::Source { fresh: true, .. } => None,
        Subject::Source { .. } | Subject::Configuration {} | Subject::Release { .. } => {
            request.revision.is_some().then(|| recipe(request, plan))
        }
    }
}

/// What decides what comes out of a build: the revision (or the upload), the plan, the variables.
pub(super) fn recipe(request: &BuildRequest, plan: &Plan) -> String {
    let files = match &request.revision {
        Some(revision) => serde_json::json!({ "revision": revision.id }),
        None => serde_json::json!({ "source": request.source }),
    };
    let mut hash = Sha256::new();
    hash.update(serde_json::json!({ "files": files, "plan": plan }).to_string());
    for (name, value) in &request.variables {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update((value.reveal().len() as u64).to_be_bytes());
        hash.update(value.reveal());
    }
    hex::encode(hash.finalize())
}
