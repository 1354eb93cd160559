//! The way of one command: load, decide, append; again when somebody else was quicker.

use std::time::{Duration, Instant};

use domain::aggregate::Aggregate;
use domain::context::{ActorKind, Context};
use domain::event::Event;
use domain::id::{CommitId, EventId, OrganizationId, UserId};
use domain::organization::{Organization, Role};
use domain::rejection::Rejection;
use domain::stream::{Position, Recorded, StreamId, Version};
use domain::user::User;
use eventlog::commit::{Commit, Head, Metadata};
use eventlog::crash_point;
use eventlog::error::{AppendError, ReadError};
use eventlog::log::SharedLog;
use tracing::field::Empty;
use tracing::{Instrument, debug, info_span};
use uuid::Uuid;

use crate::clock::SharedClock;
use crate::error::CommandError;
use crate::idempotency::Relation;
use crate::keyring::Keyring;
use crate::load::{Loaded, Loader};
use crate::measure::{self, CONFLICTS};
use crate::policy::{Action, allows};
use crate::request::Request;

/// How often a command that lost a race is decided again.
const RACES_MAX: u32 = 32;
/// How often a commit is sent again that was not answered. The log's adapter has ridden out longer silences
/// before.
const UNANSWERED_MAX: u32 = 4;
/// How long it waits before that, at most.
const RACE_PAUSE_MAX: Duration = Duration::from_millis(20);

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The position of what came of it; of the stream's end, when nothing had to be done.
    pub position: Position,
    /// The version of the stream.
    pub version: Version,
    /// Whether anything had to be done, now or when it was given the first time.
    pub changed: bool,
    /// What happened now; empty when the command was given before.
    pub events: Vec<Event>,
}

/// The command bus.
#[derive(Clone)]
pub struct Bus {
    log: SharedLog,
    clock: SharedClock,
    loader: Loader,
    keyring: Keyring,
}

impl Bus {
    /// Over a log.
    #[must_use]
    pub fn new(log: SharedLog, clock: SharedClock, keyring: Keyring) -> Self {
        let loader = Loader::new(SharedLog::clone(&log));
        Self { log, clock, loader, keyring }
    }

    /// The keyring.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &SharedLog {
        &self.log
    }

    /// The state of an aggregate, as it is in the log now.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn state<A: Aggregate>(&self, stream: StreamId) -> Result<A, ReadError> {
        Ok(self.loader.current::<A>(stream).await?.state.clone())
    }

    /// The state of an aggregate after `version` or later, without asking the log when that is in memory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn state_at_least<A: Aggregate>(
        &self,
        stream: StreamId,
        version: Version,
    ) -> Result<A, ReadError> {
        let (loaded, from_memory) = self.loader.recent::<A>(stream).await?;
        if from_memory && loaded.head.version < version {
            return self.state(stream).await;
        }
        Ok(loaded.state.clone())
    }

    /// Everything that happened in a stream.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn history<E: TryFrom<Event>>(&self, stream: StreamId) -> Result<Vec<Recorded<E>>, ReadError> {
        let slice = self.log.read(&stream, Version::ZERO).await?;
        let events = slice.events.into_iter();
        Ok(events
            .filter_map(|recorded| {
                let event = E::try_from(recorded.event.clone()).ok()?;
                Some(recorded.map(|_| event))
            })
            .collect())
    }

    /// Whether the actor may do this in the organisation; decided on the organisation's own stream.
    ///
    /// # Errors
    /// [`CommandError::Forbidden`], or that the log could not be read.
    pub async fn authorize(
        &self,
        request: &Request,
        organization: OrganizationId,
        action: Action,
    ) -> Result<(), CommandError> {
        match request.actor.kind {
            ActorKind::Saga | ActorKind::Reconciler | ActorKind::Platform => Ok(()),
            ActorKind::User => {
                let role = self.role(organization, UserId(request.actor.id)).await?;
                let allowed = role.is_some_and(|role| allows(role, action));
                if allowed { Ok(()) } else { Err(CommandError::Forbidden(action.words())) }
            }
        }
    }

    /// What a user is in an organisation.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn role(&self, organization: OrganizationId, user: UserId) -> Result<Option<Role>, ReadError> {
        let stream = StreamId::organization(organization);
        let (loaded, _) = self.loader.recent::<Organization>(stream).await?;
        Ok(loaded.state.role_of(user))
    }

    /// A user as last seen: tokens are looked up with every request.
    pub(crate) async fn recent_user(&self, user: UserId) -> Result<User, ReadError> {
        Ok(self.loader.recent::<User>(StreamId::user(user)).await?.0.state.clone())
    }

    /// Carries out a command on one aggregate. The caller was authorised before.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was changed then, save after an append that was not answered.
    pub async fn dispatch<A>(
        &self,
        request: &Request,
        stream: StreamId,
        command: A::Command,
    ) -> Result<Outcome, CommandError>
    where
        A: Aggregate,
        A::Command: Clone,
        A::Rejection: Rejection,
    {
        let name = measure::name_of(&command);
        let span = info_span!(
            "command",
            otel.name = %format_args!("{} {name}", A::KIND),
            stream = %stream,
            command.id = %request.command,
            outcome = Empty,
        );
        let began = Instant::now();
        let result = self.decide_and_append::<A>(request, stream, command).instrument(span.clone()).await;
        span.record("outcome", measure::ended(A::KIND, name, began, &result));
        result
    }

    async fn decide_and_append<A>(
        &self,
        request: &Request,
        stream: StreamId,
        command: A::Command,
    ) -> Result<Outcome, CommandError>
    where
        A: Aggregate,
        A::Command: Clone,
        A::Rejection: Rejection,
    {
        let (mut loaded, mut from_memory) = self.loader.recent::<A>(stream).await?;
        for race in 0..RACES_MAX {
            if let Some((relation, position)) = loaded.earlier(request.command) {
                return repeated(relation, position, loaded.head);
            }
            let ctx = Context { now: self.clock.now(), actor: request.actor };
            let decision = loaded.state.decide(command.clone(), &ctx);
            let settled = decision.as_ref().map_or(true, Vec::is_empty);
            if settled && from_memory {
                // What is in memory may be behind; only what is in the log counts.
                let current = self.loader.current::<A>(stream).await?;
                from_memory = false;
                if current.head != loaded.head {
                    loaded = current;
                    continue;
                }
            }
            let events = decision.map_err(|rejection| CommandError::rejected(&rejection))?;
            if events.is_empty() {
                let Head { position, version, .. } = loaded.head;
                return Ok(Outcome { position, version, changed: false, events: vec![] });
            }
            match self.append::<A>(request, stream, &ctx, &loaded, events).await {
                Ok(outcome) => return Ok(outcome),
                Err(AppendError::Conflict { .. }) => {
                    CONFLICTS.count([A::KIND.as_str()]);
                    debug!(race, "lost a race, deciding again");
                    tokio::time::sleep(pause(race)).await;
                    loaded = self.loader.current::<A>(stream).await?;
                    from_memory = false;
                }
                Err(error) => return Err(CommandError::Append(error)),
            }
        }
        Err(CommandError::Contended)
    }

    async fn append<A: Aggregate>(
        &self,
        request: &Request,
        stream: StreamId,
        ctx: &Context,
        loaded: &Loaded<A>,
        events: Vec<A::Event>,
    ) -> Result<Outcome, AppendError> {
        let metadata = Metadata {
            at: ctx.now,
            actor: request.actor,
            command: request.command,
            correlation: request.correlation,
            causation: request.causation,
            traceparent: request.traceparent.clone(),
        };
        let recorded: Vec<Event> = events.iter().cloned().map(Into::into).collect();
        let with_ids = recorded.iter().cloned().map(|event| (EventId(Uuid::now_v7()), event)).collect();
        let commit = Commit { id: CommitId(Uuid::now_v7()), stream, metadata, events: with_ids };
        crash_point!("command.before_append");
        let head = self.append_until_answered(&commit, loaded.head).await?;
        crash_point!("command.after_append");
        let mut next = loaded.clone();
        next.fold(events, head, request.command);
        self.loader.keep(stream, next).await;
        Ok(Outcome { position: head.position, version: head.version, changed: true, events: recorded })
    }
}

impl Bus {
    /// Appends the same commit again while no answer comes: it stands in the log once, however often it is
    /// sent.
    async fn append_until_answered(&self, commit: &Commit, expected: Head) -> Result<Head, AppendError> {
        for race in 0..UNANSWERED_MAX {
            match self.log.append(commit, expected).await {
                Err(AppendError::Unknown { .. }) => tokio::time::sleep(pause(race)).await,
                answered => return answered,
            }
        }
        self.log.append(commit, expected).await
    }
}

fn repeated(relation: Relation, position: Position, head: Head) -> Result<Outcome, CommandError> {
    match relation {
        Relation::KeyReused => Err(CommandError::KeyReused),
        Relation::Same | Relation::Different => {
            Ok(Outcome { position, version: head.version, changed: true, events: vec![] })
        }
    }
}

/// A pause that grows, and is another one for each of those who race.
fn pause(race: u32) -> Duration {
    let mut byte = [0];
    let random = getrandom::fill(&mut byte).map_or(128, |()| u32::from(byte[0]));
    let most = RACE_PAUSE_MAX.min(Duration::from_micros(200) * (race + 1));
    most * random / 255
}
