//! The timeline of a deployment: each start of a step, what came of it, and what was taken away again.

use chrono::{DateTime, Utc};
use domain::deployment::step::{Failure, Fence, Output, Step};
use domain::deployment::{self, step};
use domain::event::Event;
use domain::id::{DeploymentId, OrganizationId};
use domain::stream::Recorded;
use serde::Serialize;

use crate::change::{Assignment, Change};
use crate::projection::Projection;
use crate::store::{FromRow, QueryError, ReadStore, Row, Select};
use crate::table::{Owner, Table, number, text};
use crate::value::{Value, json};

/// The projection.
pub const PROJECTION: Projection = Projection { name: "timeline", version: 2, tables: &[&STEPS], changes };

/// A start is known by its fence, which no other start of the deployment has.
static STEPS: Table = Table {
    name: "steps",
    key: 2,
    owner: Owner::Organization("organization"),
    columns: &[
        text("deployment"),
        number("fence"),
        text("organization"),
        text("step"),
        number("is_undo"),
        number("attempt"),
        text("started_at"),
        text("deadline"),
        text("ended_at").or_null(),
        text("output").or_null(),
        text("failure").or_null(),
        text("retry_at").or_null(),
    ],
    indexes: &[],
};

/// What an event changes.
#[must_use]
pub fn changes(recorded: &Recorded) -> Vec<Change> {
    match &recorded.event {
        Event::Deployment(event) => of_deployment(recorded, event),
        Event::User(_) | Event::Organization(_) | Event::Project(_) | Event::Service(_) | Event::Claim(_) => {
            vec![]
        }
    }
}

fn of_deployment(recorded: &Recorded, event: &deployment::Event) -> Vec<Change> {
    let key = |fence: &Fence| (recorded.stream.id, fence.0);
    match event {
        deployment::Event::StepStarted { step, attempt, fence, deadline } => {
            vec![STEPS.insert(key(fence), started(recorded, (*step, 0), *attempt, *deadline))]
        }
        deployment::Event::UndoStarted { step, attempt, fence, deadline } => {
            vec![STEPS.insert(key(fence), started(recorded, (*step, 1), *attempt, *deadline))]
        }
        deployment::Event::StepSucceeded { fence, output } => {
            let set = [("ended_at", recorded.at.into()), ("output", json(output).into())];
            vec![STEPS.update(key(fence), set)]
        }
        deployment::Event::UndoSucceeded { fence, step: _ } => {
            vec![STEPS.update(key(fence), [("ended_at", recorded.at.into())])]
        }
        deployment::Event::StepFailed { fence, failure, retry_at, step: _ }
        | deployment::Event::UndoFailed { fence, failure, retry_at, step: _ } => {
            vec![STEPS.update(key(fence), failed(recorded, failure, *retry_at))]
        }
        deployment::Event::Begun { .. }
        | deployment::Event::CancelRequested { .. }
        | deployment::Event::WentLive { .. }
        | deployment::Event::Failed { .. } // The step that failed has said why.
        | deployment::Event::Cancelled { .. } => vec![],
    }
}

fn started(
    recorded: &Recorded,
    (step, is_undo): (Step, i64),
    attempt: u32,
    deadline: DateTime<Utc>,
) -> [Assignment; 6] {
    [
        ("organization", recorded.stream.organization.into()),
        ("step", step.into()),
        ("is_undo", is_undo.into()),
        ("attempt", attempt.into()),
        ("started_at", recorded.at.into()),
        ("deadline", deadline.into()),
    ]
}

fn failed(recorded: &Recorded, failure: &Failure, retry_at: Option<DateTime<Utc>>) -> [Assignment; 3] {
    let retry_at: Value = retry_at.into();
    [("ended_at", recorded.at.into()), ("failure", json(failure).into()), ("retry_at", retry_at.into())]
}

/// What came of one start of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// It could not.
    Failed,
    /// Its worker did not come back; another one took over.
    Abandoned,
}

/// One start of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The step.
    pub step: Step,
    /// Whether what the step left is taken away, rather than the step done.
    pub undo: bool,
    /// The how-manieth try.
    pub attempt: u32,
    /// What came of it.
    pub state: State,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it will be ended, or would have been.
    pub deadline: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How long it took.
    pub duration_ms: Option<i64>,
    /// What it found out.
    pub output: Option<Output>,
    /// Why it failed.
    pub failure: Option<step::Failure>,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
}

impl FromRow for Entry {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        let started_at: DateTime<Utc> = row.get("started_at")?;
        let ended_at: Option<DateTime<Utc>> = row.optional("ended_at")?;
        let failure: Option<step::Failure> = row.document("failure")?;
        let state = match (&failure, ended_at) {
            (Some(_), _) => State::Failed,
            (None, Some(_)) => State::Succeeded,
            (None, None) => State::Running,
        };
        Ok(Self {
            step: row.get("step")?,
            undo: row.get::<i64>("is_undo")? == 1,
            attempt: row.get("attempt")?,
            state,
            started_at,
            deadline: row.get("deadline")?,
            ended_at,
            duration_ms: ended_at.map(|end| (end - started_at).num_milliseconds()),
            output: row.document("output")?,
            failure,
            retry_at: row.optional("retry_at")?,
        })
    }
}

/// The timeline of a deployment, oldest first. There are few entries, because tries are: no pages.
///
/// # Errors
/// [`QueryError`].
pub async fn of(
    store: &ReadStore,
    organization: OrganizationId,
    deployment: DeploymentId,
) -> Result<Vec<Entry>, QueryError> {
    let select = Select::of(
        organization,
        "SELECT step, is_undo, attempt, started_at, deadline, ended_at, output, failure, retry_at FROM steps \
         WHERE organization = $1",
    );
    let select = select.with("AND deployment = ? ORDER BY fence LIMIT 1000", [deployment.into()]);
    let mut entries: Vec<Entry> = store.all(select).await?;
    // Only the newest start can be under way: fences are given out one after the other.
    let newest = entries.len().saturating_sub(1);
    for entry in entries.iter_mut().take(newest).filter(|entry| entry.state == State::Running) {
        entry.state = State::Abandoned;
    }
    Ok(entries)
}
