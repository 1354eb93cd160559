//! What happened, in a sentence that goes on from the name of whoever did it.

use std::collections::BTreeSet;

use domain::claim::{self, Key};
use domain::deployment::step::{Output, Step};
use domain::deployment::{self, CancelReason};
use domain::event::Event;
use domain::name::VariableName;
use domain::organization;
use domain::project;
use domain::service::{self, Outcome, Subject};
use domain::source::{Revision, Source};
use domain::user;

use crate::value::listed;

/// Stands for the name of the service until the row is read. No text from outside has it: see [`plain`].
pub(super) const SERVICE: &str = "\u{1}";
/// Stands for the name of the environment.
pub(super) const ENVIRONMENT: &str = "\u{2}";
/// Stands for the name of the project.
pub(super) const PROJECT: &str = "\u{3}";

/// The most that a message of a failure takes of a sentence, in characters.
const MAX_MESSAGE: usize = 300;

/// An event, told.
pub(super) struct Told {
    /// The event's name, as it stands in its type.
    pub(super) name: &'static str,
    /// The sentence.
    pub(super) text: String,
    /// Whether it is a detail of something else that is told too.
    pub(super) is_detail: bool,
}

fn fact(name: &'static str, text: impl Into<String>) -> Told {
    Told { name, text: text.into(), is_detail: false }
}

fn detail(name: &'static str, text: impl Into<String>) -> Told {
    Told { name, text: text.into(), is_detail: true }
}

/// Tells an event.
pub(super) fn of(event: &Event) -> Told {
    match event {
        Event::User(event) => of_user(event),
        Event::Organization(event) => of_organization(event),
        Event::Project(event) => of_project(event),
        Event::Service(event) => of_service(event),
        Event::Deployment(event) => of_deployment(event),
        Event::Claim(event) => of_claim(event),
    }
}

/// A text from outside, in one line and without what stands for names.
fn plain(text: &str) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_MESSAGE).map(one_line).collect()
}

fn of_user(event: &user::Event) -> Told {
    match event {
        user::Event::Registered { name } => fact("registered", format!("registered as {}", plain(name))),
        user::Event::TokenIssued { name, .. } => fact("token_issued", format!("made token {}", plain(name))),
        user::Event::TokenRevoked { .. } => fact("token_revoked", "revoked a token"),
    }
}

fn of_organization(event: &organization::Event) -> Told {
    match event {
        organization::Event::Created { name, .. } => {
            fact("created", format!("made organization {}", plain(name)))
        }
    }
}

fn of_project(event: &project::Event) -> Told {
    match event {
        project::Event::Created { name, environments } => {
            let environments: Vec<_> = environments.iter().map(|e| e.name.as_str()).collect();
            let text = format!("made project {name} with environments {}", environments.join(", "));
            fact("created", text)
        }
        project::Event::Renamed { name } => fact("renamed", format!("renamed the project to {name}")),
        project::Event::EnvironmentAdded { environment } => {
            fact("environment_added", format!("added environment {} to {PROJECT}", environment.name))
        }
        project::Event::EnvironmentRemoved { .. } => {
            fact("environment_removed", format!("removed environment {ENVIRONMENT} of {PROJECT}"))
        }
        project::Event::Deleted {} => fact("deleted", format!("deleted project {PROJECT}")),
    }
}

fn of_service(event: &service::Event) -> Told {
    match event {
        service::Event::Created { name, .. } => {
            fact("created", format!("made service {name} in {ENVIRONMENT} of {PROJECT}"))
        }
        service::Event::VariablesChanged { set, unset } => {
            let set: BTreeSet<_> = set.keys().cloned().collect();
            let text = match (variables(&set), variables(unset)) {
                (Some(set), None) => format!("set {set} of {SERVICE}"),
                (None, Some(unset)) => format!("removed {unset} of {SERVICE}"),
                (Some(set), Some(unset)) => format!("set {set} and removed {unset} of {SERVICE}"),
                (None, None) => format!("changed no variable of {SERVICE}"),
            };
            fact("variables_changed", text)
        }
        service::Event::VariablesRevealed { names } => {
            fact("variables_revealed", format!("looked at the values of {} of {SERVICE}", listed(names)))
        }
        service::Event::Scaled { replicas } => {
            fact("scaled", format!("scaled {SERVICE} to {}", instances((*replicas).into())))
        }
        service::Event::RollbackRequested { from, to, .. } => {
            let from = from.map_or_else(String::new, |from| format!(" from {from}"));
            fact("rollback_requested", format!("rolled {SERVICE} back{from} to {to}"))
        }
        service::Event::DeploymentRequested { subject, .. } => {
            fact("deployment_requested", format!("deployed {} to {SERVICE}", subject_of(subject)))
        }
        service::Event::DeploymentAdmitted { .. } => {
            detail("deployment_admitted", format!("gave a deployment of {SERVICE} its turn"))
        }
        service::Event::DeploymentSuperseded { .. } => fact(
            "deployment_superseded",
            format!("superseded a deployment of {SERVICE} that waited by a newer one"),
        ),
        service::Event::DeploymentWithdrawn { .. } => {
            fact("deployment_withdrawn", format!("took back a deployment of {SERVICE} that waited"))
        }
        service::Event::ReleaseCut { release, specification, .. } => {
            let build = &specification.build;
            let what = built_from(&build.source, build.revision.as_ref());
            detail("release_cut", format!("fixed release {release} of {SERVICE}: {what}"))
        }
        service::Event::ReleaseActivated { release, .. } => {
            fact("release_activated", format!("made release {release} of {SERVICE} live"))
        }
        service::Event::InstancesMoved { release, instances: moved } => {
            let text = format!("now runs release {release} of {SERVICE} in {}", instances(moved.len()));
            detail("instances_moved", text)
        }
        service::Event::InstanceExited { release, exit, .. } => fact(
            "instance_exited",
            format!("saw an instance of release {release} of {SERVICE} end: {}", plain(exit)),
        ),
        service::Event::DeploymentEnded { outcome, .. } => {
            let how = match outcome {
                Outcome::Succeeded => "it succeeded",
                Outcome::Failed => "it failed",
                Outcome::Cancelled => "it was cancelled",
            };
            detail("deployment_ended", format!("ended the turn of a deployment of {SERVICE}: {how}"))
        }
        service::Event::Deleted {} => fact("deleted", format!("deleted service {SERVICE}")),
    }
}

fn of_deployment(event: &deployment::Event) -> Told {
    match event {
        deployment::Event::Begun { .. } => detail("begun", format!("began a deployment of {SERVICE}")),
        deployment::Event::StepStarted { step, attempt, .. } => {
            detail("step_started", format!("began to {} for {SERVICE}{}", verb(*step), nth(*attempt)))
        }
        deployment::Event::StepSucceeded { output, .. } => {
            detail("step_succeeded", format!("{} for {SERVICE}", outcome(output)))
        }
        deployment::Event::StepFailed { step, failure, retry_at, .. } => {
            let again = if retry_at.is_some() { ", and will try again" } else { "" };
            let (what, why) = (verb(*step), plain(&failure.message));
            detail("step_failed", format!("could not {what} for {SERVICE}: {why}{again}"))
        }
        deployment::Event::CancelRequested { reason } => {
            let why = match reason {
                CancelReason::Requested => "",
                CancelReason::ServiceDeleted => ", because the service was deleted",
            };
            fact("cancel_requested", format!("asked to stop a deployment of {SERVICE}{why}"))
        }
        deployment::Event::UndoStarted { step, attempt, .. } => detail(
            "undo_started",
            format!("began to take away what {step} left for {SERVICE}{}", nth(*attempt)),
        ),
        deployment::Event::UndoSucceeded { step, .. } => {
            detail("undo_succeeded", format!("took away what {step} left for {SERVICE}"))
        }
        deployment::Event::UndoFailed { step, failure, retry_at, .. } => {
            let (why, text) = (plain(&failure.message), "could not take away what");
            match retry_at {
                Some(_) => detail(
                    "undo_failed",
                    format!("{text} {step} left for {SERVICE}: {why}, and will try again"),
                ),
                None => fact(
                    "undo_failed",
                    format!("{text} {step} left for {SERVICE}: {why}; an operator has to look"),
                ),
            }
        }
        deployment::Event::WentLive { release } => {
            detail("went_live", format!("ended a deployment of {SERVICE}: release {release} is live"))
        }
        deployment::Event::Failed { step, failure } => {
            let (what, why) = (verb(*step), plain(&failure.message));
            fact("failed", format!("failed to deploy to {SERVICE}: could not {what}: {why}"))
        }
        deployment::Event::Cancelled { .. } => {
            fact("cancelled", format!("stopped a deployment of {SERVICE}"))
        }
    }
}

fn of_claim(event: &claim::Event) -> Told {
    match event {
        claim::Event::Taken { key, .. } => {
            let what = match key {
                Key::ProjectSlug { slug, .. } => format!("the project name {slug}"),
                Key::ServiceName { name, .. } => format!("the service name {name}"),
                Key::Hostname { hostname } => format!("the hostname {hostname}"),
            };
            detail("taken", format!("took {}", plain(&what)))
        }
        claim::Event::Released {} => detail("released", "gave a name back"),
    }
}

fn subject_of(subject: &Subject) -> String {
    match subject {
        Subject::Source { source: Source::Repository { url, reference }, .. } => match reference {
            Some(reference) => format!("{reference} of {url}"),
            None => url.to_string(),
        },
        Subject::Source { source: Source::Upload { revision, .. }, .. } => uploaded(revision.as_ref()),
        Subject::Source { source: Source::Image { reference }, .. } => format!("the image {reference}"),
        Subject::Configuration {} => "the changed configuration".to_owned(),
        Subject::Release { release, .. } => format!("what {release} ran"),
    }
}

fn built_from(source: &Source, revision: Option<&Revision>) -> String {
    match (source, revision) {
        (Source::Repository { url, .. }, Some(revision)) => {
            format!("revision {} of {url}", revision.id.short())
        }
        (Source::Repository { url, .. }, None) => url.to_string(),
        (Source::Upload { revision: of_upload, .. }, revision) => uploaded(revision.or(of_upload.as_ref())),
        (Source::Image { reference }, _) => format!("the image {reference}"),
    }
}

fn uploaded(revision: Option<&Revision>) -> String {
    match revision {
        Some(revision) => format!("revision {} from an upload", revision.id.short()),
        None => "files from an upload".to_owned(),
    }
}

fn variables(names: &BTreeSet<VariableName>) -> Option<String> {
    match names.len() {
        0 => None,
        1 => Some(format!("variable {}", listed(names))),
        _ => Some(format!("variables {}", listed(names))),
    }
}

fn instances(count: usize) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}

fn nth(attempt: u32) -> String {
    if attempt > 1 { format!(", attempt {attempt}") } else { String::new() }
}

const fn verb(step: Step) -> &'static str {
    match step {
        Step::Fetch => "fetch the source",
        Step::Detect => "find out how to build",
        Step::Build => "build",
        Step::Push => "store the image",
        Step::Cut => "fix the release",
        Step::Prepare => "run the release command",
        Step::RollOut => "start the instances",
        Step::Verify => "check the instances",
        Step::Activate => "move the traffic",
        Step::Retire => "retire the release before",
    }
}

fn outcome(output: &Output) -> String {
    match output {
        Output::Fetch { revision: Some(revision) } => format!("fetched revision {}", revision.id.short()),
        Output::Fetch { revision: None } => "fetched the files".to_owned(),
        Output::Detect { plan } => format!("detected {} by {}", plan.language, plain(&plan.detected_by)),
        Output::Build { reused: None } => "built".to_owned(),
        Output::Build { reused: Some(image) } => format!("took image {} of an earlier build", image.short()),
        Output::Push { artifact } => format!("stored image {}", artifact.short()),
        Output::Cut { release } => format!("fixed release {release}"),
        Output::ArtifactMissing { build } => {
            let from = built_from(&build.source, build.revision.as_ref());
            format!("found image {} gone, and builds it again from {from}", build.artifact.short())
        }
        Output::Prepare {} => "prepared the release".to_owned(),
        Output::RollOut { instances: started } => format!("started {}", instances(started.len())),
        Output::Verify {} => "checked the instances".to_owned(),
        Output::Activate {} => "moved the traffic".to_owned(),
        Output::Retire {} => "retired the release before".to_owned(),
    }
}
