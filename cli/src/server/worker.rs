//! The role that deploys, and keeps what should run running.
//!
//! Work is taken up by every worker; events are turned into work, and what runs is compared with what should
//! run, by one of them at a time: the leader.

use std::time::Duration;

use domain::deployment::step::Lane;
use eventlog::leadership;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use workers::context::Context;
use workers::reconciler::Reconciler;
use workers::registry::collect;

use super::parts::Parts;
use super::routes::Seen;
use crate::compose::Engines;

/// What leading workers lead.
pub(super) const DUTY: &str = "worker";
/// How often what was built is cleaned up.
const CLEANED_UP_EVERY: Duration = Duration::from_hours(1);

/// Where the leader begins.
pub(super) enum Lead {
    /// No other process can be there.
    Alone(Seen),
    /// The one that the entries name leads.
    Elected {
        /// What this process is known by.
        holder: String,
        /// Where who leads stands, and what the leader begins with.
        engines: Engines,
    },
}

/// Takes up work of some lanes; leads, when it is this process's turn.
pub(super) fn start(parts: &mut Parts, context: &Context, lanes: Vec<Lane>, lead: Option<Lead>) {
    let runner = context.clone();
    parts.work.spawn(|stop| workers::runner::run(runner, lanes, stop));
    let context = context.clone();
    match lead {
        Some(Lead::Alone(seen)) => {
            parts.work.spawn(|stop| duties(context, seen, stop));
        }
        Some(Lead::Elected { holder, engines }) => {
            parts.work.spawn(|stop| elected(context, holder, engines, stop));
        }
        None => {}
    }
}

/// What the leader does.
async fn duties(context: Context, seen: Seen, stop: CancellationToken) {
    let reconciler = Reconciler::new(context.clone(), seen.wanted, seen.position);
    let mut tasks = JoinSet::new();
    tasks.spawn(workers::router::run(context.clone(), stop.clone()));
    tasks.spawn(reconciler.run(stop.clone()));
    tasks.spawn(clean_up(context, stop));
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            error!(error = &error as &dyn std::error::Error, "a duty of the leading worker broke off");
        }
    }
}

/// Removes now and then what no release needs any more.
async fn clean_up(context: Context, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CLEANED_UP_EVERY) => {}
        }
        let kept = context.settings.releases_kept;
        if let Err(error) = collect::collect(&context, kept).await {
            warn!(error = &error as &dyn std::error::Error, "what was built is cleaned up later");
        }
    }
}

/// Leads whenever it can. A duty that is lost ends before anything more is done of it.
async fn elected(context: Context, holder: String, engines: Engines, stop: CancellationToken) {
    loop {
        let claimed = tokio::select! {
            () = stop.cancelled() => return,
            claimed = leadership::claim(&engines.entries, DUTY, &holder, context.settings.lease) => claimed,
        };
        let leadership = match claimed {
            Ok(leadership) => leadership,
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, "this worker cannot lead");
                return;
            }
        };
        let term = stop.child_token();
        let seen = super::routes::seen(&engines).await;
        let doing = tokio::spawn(duties(context.clone(), seen, term.clone()));
        tokio::select! {
            () = stop.cancelled() => {}
            () = leadership.lost() => warn!("another worker leads from now on"),
        }
        term.cancel();
        if let Err(error) = doing.await {
            error!(error = &error as &dyn std::error::Error, "the duties of the leading worker broke off");
        }
        leadership.release().await;
        if stop.is_cancelled() {
            return;
        }
    }
}
