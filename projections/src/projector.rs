//! The projector: keeps the read models up with the log.
//!
//! What is live follows the log in one group: one transaction for each batch, with the rows and the
//! checkpoints of all projections. What is new or has another version is built beside it, in tables of its
//! own, and swapped in when it has caught up. A projection that an event breaks is stopped, and says so; the
//! others go on.
//!
//! Of several projectors on one database, one does the work and the others stand by. Should two of them work
//! all the same, that is safe: a checkpoint moves only from where its writer saw it, so the second one to
//! come fails its whole batch, waits, and looks again.

pub(crate) mod apply;
mod batch;
pub mod checkpoint;
mod follow;
mod lead;
mod observer;
mod poison;
mod rebuild;
mod status;

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use domain::stream::Position;
use eventlog::error::{BoxError, ReadError};
use eventlog::log::SharedLog;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

pub use self::observer::Observer;
pub use self::poison::Poison;
pub use self::status::{Standing, State, Status};

use self::checkpoint::Line;
use self::lead::Leading;
use self::rebuild::Prepared;
use self::status::Board;
use crate::projection::Projection;
use crate::store::{Class, QueryError, ReadStore, classify};
use crate::wait::Watermark;

/// How many commits of the live log are applied at once at most.
const BATCH: usize = 500;
/// The first pause after something was away; each next one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// After another projector was first: it does the work, so there is no hurry.
const STANDBY: Duration = Duration::from_secs(2);

/// Why the projector had to stop, until it tries again.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The read models' database is away.
    #[error("write of the read models: the database is not available")]
    Store {
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The log is away, or cannot be read.
    #[error("read of the log for the read models")]
    Log(#[from] ReadError),
    /// The read models know more than the log has: they are those of another log, or the log was put back.
    #[error(
        "follow the log: it ends at position {head}, and the read models are at {position}; if the log was \
         replaced, remove the read models' database, and they are built anew"
    )]
    Ahead {
        /// Where the read models are.
        position: Position,
        /// Where the log ends.
        head: Position,
    },
    /// How far the read models are is not known.
    #[error("read of the checkpoints")]
    Checkpoints(#[from] QueryError),
    /// What others led in is nobody's any more.
    #[error("follow of the log: another projector is gone, and its work is taken over")]
    Regroup,
    /// Another projector writes the same read models.
    #[error("write of the read models: another projector was first")]
    Fenced,
}

impl From<sqlx::Error> for ProjectorError {
    fn from(source: sqlx::Error) -> Self {
        Self::Store { source: source.into() }
    }
}

/// The projector.
pub struct Projector {
    log: SharedLog,
    store: ReadStore,
    projections: Vec<Projection>,
    board: Board,
}

impl Projector {
    /// A projector of `projections`, most often [`crate::projection::ALL`]. Nothing happens until it is run.
    #[must_use]
    pub fn new(log: SharedLog, store: ReadStore, projections: impl Into<Vec<Projection>>) -> Self {
        let projections = projections.into();
        let board = Board::new(&projections);
        Self { log, store, projections, board }
    }

    /// How far each projection is, what is rebuilt, and what is stopped.
    #[must_use]
    pub fn status(&self) -> Status {
        self.board.status()
    }

    /// Tells of each change of the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.board.watch()
    }

    /// For readers in this process that wait for a position.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        Watermark::of(self.board.watch(), &self.store)
    }

    /// Keeps the read models up with the log until `shutdown`. It may be dropped at any moment as well.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        tokio::select! {
            biased;
            () = shutdown => info!("the projector stops"),
            never = self.drive() => match never {},
        }
    }

    /// Brings all read models to the end of the log, as it is now, and returns where that is.
    ///
    /// # Errors
    /// [`ProjectorError`]. A projection that an event stopped is none: the status tells.
    pub async fn catch_up(&self) -> Result<Position, ProjectorError> {
        self.migrate().await?;
        let (mut live, building, _) = self.prepare(&self.projections).await?;
        live.extend(Box::pin(self.build(building)).await?);
        let head = self.log.head().await?;
        Box::pin(self.follow_to(&mut live, head)).await?;
        Ok(head)
    }

    async fn drive(&self) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let error = match Box::pin(self.session()).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            if began.elapsed() > LAST_PAUSE {
                pause = FIRST_PAUSE;
            }
            if matches!(error, ProjectorError::Regroup) {
                info!("another projector is gone; this one takes its work over");
                continue;
            }
            warn!(error = %chain(&error), "the projector stopped and will try again: {}", chain(&error));
            self.board.trouble(Some(chain(&error)));
            let is_second = matches!(error, ProjectorError::Fenced);
            sleep(if is_second { STANDBY } else { pause }).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// From one trouble to the next.
    async fn session(&self) -> Result<Infallible, ProjectorError> {
        self.migrate().await?;
        let mut leading = Leading::begin(&self.store).await?;
        let came = Box::pin(self.lead(&mut leading)).await;
        leading.end().await;
        came
    }

    async fn migrate(&self) -> Result<(), ProjectorError> {
        self.store.migrate().await.map_err(|err| ProjectorError::Store { source: err.into() })
    }

    async fn lead(&self, leading: &mut Leading) -> Result<Infallible, ProjectorError> {
        self.stand_by(leading).await?;
        let ours = leading.share(&self.projections).await?;
        let (live, building, mut others) = self.prepare(&ours).await?;
        self.board.trouble(None);
        let lines: Vec<&str> = live.iter().chain(&building).map(|line| line.projection.name).collect();
        let is_not_ours = |one: &&Projection| !ours.iter().any(|other| other.name == one.name);
        others
            .extend(self.projections.iter().filter(is_not_ours).map(|one| lead::key(one.name, one.version)));
        let (built, newly_live) = tokio::sync::oneshot::channel();
        let build = async {
            // Whoever follows is gone only when this future is too.
            let _ = built.send(self.build(building).await?);
            std::future::pending::<Result<Infallible, ProjectorError>>().await
        };
        let (never, ..) = tokio::try_join!(
            self.follow(live, newly_live),
            build,
            self.measure(),
            leading.hold(&others),
            self.observe(&lines),
        )?;
        Ok(never)
    }

    /// Finds out which projections are live and which have to be built, and makes the tables of the latter.
    /// What is left to newer programs is told by the keys that these lead by.
    async fn prepare(
        &self,
        projections: &[Projection],
    ) -> Result<(Vec<Line>, Vec<Line>, Vec<String>), ProjectorError> {
        let (mut live, mut building, mut left) = (vec![], vec![], vec![]);
        for prepared in rebuild::prepare(&self.store, projections).await? {
            match prepared {
                Prepared::Live(line) => {
                    self.board.live(&line);
                    live.push(line);
                }
                Prepared::Building { line, live } => {
                    self.board.building(&line, live);
                    building.push(line);
                }
                Prepared::Left(key) => left.push(key),
            }
        }
        let head = self.log.head().await?;
        let furthest = live.iter().chain(&building).map(|line: &Line| line.position).max();
        if let Some(position) = furthest.filter(|position| *position > head) {
            return Err(ProjectorError::Ahead { position, head });
        }
        Ok((live, building, left))
    }

    /// Marks projections as stopped by an event, where everybody sees it.
    async fn stop(&self, poisoned: Vec<(Line, Poison)>) -> Result<(), ProjectorError> {
        for (line, poison) in poisoned {
            let (name, position) = (line.projection.name, poison.position);
            warn!(
                projection = name,
                position = position.0,
                error = poison.message,
                "projection {name} is stopped by the event at position {position}: {}",
                poison.message
            );
            self.board.poisoned(&line, &poison);
            poison::record(&self.store, &line, &poison).await?;
        }
        Ok(())
    }
}

/// Whether an error of the database will be the same next time.
fn is_refusal(error: &sqlx::Error) -> bool {
    match classify(error) {
        Class::Away => false,
        Class::Missing | Class::Refused => true,
    }
}

/// An error and what caused it, in one line. What an error repeats of its cause, as those of drivers do, is
/// said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
