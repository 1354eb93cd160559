//! How the projector stands: what is live, what is built, what is stopped, and how far each is behind the
//! log.

use domain::stream::Position;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::checkpoint::{Checkpoint, Line};
use super::poison::Poison;
use crate::projection::Projection;

/// How a projection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not looked at yet.
    Starting,
    /// Follows the log.
    Live,
    /// Is being built; queries see what was live before, if anything was.
    Building,
    /// An event broke it; queries see it as it was before that event.
    Stopped,
}

/// One projection.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// Its name.
    pub name: &'static str,
    /// Its version in this program.
    pub version: u32,
    /// How it stands.
    pub state: State,
    /// Up to where the log is in the rows that queries see.
    pub position: Position,
    /// Up to where it is built, while it is.
    pub built: Option<Position>,
    /// How many commits of the log queries do not see yet.
    pub lag: u64,
    /// For how long there have been such commits, in milliseconds.
    pub lag_ms: u64,
    /// What stopped it.
    pub poison: Option<Poison>,
    /// Since when there have been commits that queries do not see.
    #[serde(skip)]
    behind_since: Option<Instant>,
}

/// All projections.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The end of the log, as it was seen last.
    pub head: Position,
    /// Each projection.
    pub projections: Vec<Standing>,
    /// What keeps the projector from working: the database or the log is away.
    pub trouble: Option<String>,
    /// Whether another projector does the work, and this one waits to take over.
    pub standing_by: bool,
}

impl Status {
    /// Up to where every projection is that is not stopped: whoever waits for a position waits for this. One
    /// that is being built counts as far as queries see it.
    #[must_use]
    pub fn reached(&self) -> Position {
        let going = self.projections.iter().filter(|standing| standing.state != State::Stopped);
        going.map(|standing| standing.position).min().unwrap_or(Position::ZERO)
    }

    /// Up to where some projections are, stopped ones too.
    #[must_use]
    pub fn reached_by(&self, names: &[&str]) -> Position {
        let wanted = self.projections.iter().filter(|standing| names.contains(&standing.name));
        wanted.map(|standing| standing.position).min().unwrap_or(Position::ZERO)
    }

    /// Whether everything is live and nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.trouble.is_none() && self.projections.iter().all(|standing| standing.state == State::Live)
    }
}

impl Standing {
    fn observe(&mut self, checkpoints: &[Checkpoint]) {
        let known = |state| checkpoints.iter().find(|one| one.name == self.name && one.state == state);
        let (live, building) = (known("live"), known("building"));
        let stopped = [live, building].into_iter().flatten().find(|one| one.error.is_some());
        self.poison = stopped.map(|one| Poison {
            position: one.error_position.unwrap_or(one.position),
            message: one.error.clone().unwrap_or_default(),
        });
        self.state = match (live, building) {
            _ if stopped.is_some() => State::Stopped,
            (Some(live), _) if live.version >= self.version => State::Live,
            (_, Some(_)) => State::Building,
            (_, None) => State::Starting,
        };
        self.position = live.map_or(Position::ZERO, |live| live.position);
        self.built = building.map(|building| building.position);
    }

    fn see(&mut self, head: Position) {
        self.lag = head.0.saturating_sub(self.position.0);
        if self.lag == 0 {
            self.behind_since = None;
        } else {
            self.behind_since.get_or_insert_with(Instant::now);
        }
    }
}

/// Where the status is kept.
pub(super) struct Board {
    status: watch::Sender<Status>,
}

impl Board {
    pub(super) fn new(projections: &[Projection]) -> Self {
        let projections = projections.iter().map(|projection| Standing {
            name: projection.name,
            version: projection.version,
            state: State::Starting,
            position: Position::ZERO,
            built: None,
            lag: 0,
            lag_ms: 0,
            poison: None,
            behind_since: None,
        });
        let status = Status {
            head: Position::ZERO,
            projections: projections.collect(),
            trouble: None,
            standing_by: false,
        };
        Self { status: watch::Sender::new(status) }
    }

    pub(super) fn status(&self) -> Status {
        let mut status = self.status.borrow().clone();
        for standing in &mut status.projections {
            let behind = standing.behind_since.map_or(0, |since| since.elapsed().as_millis());
            standing.lag_ms = u64::try_from(behind).unwrap_or(u64::MAX);
        }
        status
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn live(&self, line: &Line) {
        self.change(line, |standing| {
            standing.state = State::Live;
            standing.position = line.position;
            standing.built = None;
            standing.poison = None;
        });
    }

    pub(super) fn building(&self, line: &Line, live: Position) {
        self.change(line, |standing| {
            standing.state = State::Building;
            standing.position = live;
            standing.built = Some(line.position);
            standing.poison = None;
        });
    }

    pub(super) fn built(&self, line: &Line) {
        self.change(line, |standing| standing.built = Some(line.position));
    }

    pub(super) fn poisoned(&self, line: &Line, poison: &Poison) {
        self.change(line, |standing| {
            standing.state = State::Stopped;
            standing.poison = Some(poison.clone());
            if line.is_building {
                standing.built = Some(line.position);
            } else {
                standing.position = line.position;
            }
        });
    }

    /// All lines at once, so that whoever waits is woken once.
    pub(super) fn moved(&self, lines: &[Line]) {
        self.status.send_modify(|status| {
            for line in lines {
                status.head = status.head.max(line.position);
                if let Some(standing) = of(status, line) {
                    standing.position = line.position;
                }
            }
            measure(status);
        });
    }

    pub(super) fn head(&self, head: Position) {
        self.status.send_modify(|status| {
            status.head = head;
            measure(status);
        });
    }

    pub(super) fn trouble(&self, trouble: Option<String>) {
        self.status.send_modify(|status| status.trouble = trouble);
    }

    pub(super) fn stands_by(&self, standing_by: bool) {
        self.status.send_modify(|status| status.standing_by = standing_by);
    }

    /// Takes over from the checkpoints how projections stand, except for some.
    pub(super) fn observed(&self, checkpoints: &[Checkpoint], except: &[&str]) {
        self.status.send_modify(|status| {
            for standing in &mut status.projections {
                if except.contains(&standing.name) {
                    continue;
                }
                standing.observe(checkpoints);
                status.head = status.head.max(standing.position);
            }
            measure(status);
        });
    }

    fn change(&self, line: &Line, change: impl FnOnce(&mut Standing)) {
        self.status.send_modify(|status| {
            status.head = status.head.max(line.position);
            if let Some(standing) = of(status, line) {
                change(standing);
            }
            measure(status);
        });
    }
}

fn of<'a>(status: &'a mut Status, line: &Line) -> Option<&'a mut Standing> {
    status.projections.iter_mut().find(|standing| standing.name == line.projection.name)
}

fn measure(status: &mut Status) {
    let head = status.head;
    for standing in &mut status.projections {
        standing.see(head);
    }
}
