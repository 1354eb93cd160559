//! Fetch: the files of the revision are on this machine.

use domain::deployment::step::Output;
use domain::source::Revision;

use super::InHand;
use crate::step::StepError;

/// Fetches the files into the deployment's workspace.
///
/// # Errors
/// [`StepError`] with the codes of [`crate::source::SourceError`].
pub async fn fetch(step: &InHand<'_>) -> Result<Output, StepError> {
    // What is built again is the revision that it was.
    let pinned = step.facts.rebuilt.as_ref().and_then(|rebuilt| rebuilt.build.revision.as_ref());
    let revision = into_workspace(step, pinned).await?;
    if let Some(revision) = &revision {
        step.output.say(format!("revision {} {}", revision.id.short(), revision.subject)).await;
    }
    Ok(Output::Fetch { revision })
}

/// Fetches them again when they are not here, as on another builder than the one that fetched them first.
pub(super) async fn ensure(step: &InHand<'_>) -> Result<(), StepError> {
    let workspace = step.context.settings.workspace(step.job.deployment);
    if !tokio::fs::try_exists(&workspace).await.unwrap_or(false) {
        into_workspace(step, step.facts.revision.as_ref()).await?;
    }
    Ok(())
}

async fn into_workspace(step: &InHand<'_>, pinned: Option<&Revision>) -> Result<Option<Revision>, StepError> {
    let nothing = || StepError::permanent("nothing_to_fetch", "the deployment brings no files");
    let source = step.facts.source().ok_or_else(nothing)?;
    let workspace = step.context.settings.workspace(step.job.deployment);
    let source_port = &step.context.source;
    Ok(source_port.fetch(step.key, source, pinned, &workspace, &step.output, step.cancel).await?)
}
