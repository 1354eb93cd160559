//! The states of aggregates: recent ones in memory, the others by replay.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use domain::aggregate::Aggregate;
use domain::id::CommandId;
use domain::stream::{Position, Recorded, StreamId};
use eventlog::commit::Head;
use eventlog::error::ReadError;
use eventlog::log::SharedLog;
use moka::future::Cache;

use crate::idempotency::{Relation, relation};

/// How many states are kept in memory.
const STATES_MAX: u64 = 10_000;
/// How many commands of each stream are remembered for the case that they are given again.
const COMMANDS_MAX: usize = 1_000;

/// A state, the end of the stream it is the fold of, and the commands that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded<A> {
    /// The state.
    pub state: A,
    /// Where its stream ends.
    pub head: Head,
    /// Commands that may be given again, with the position of what came of them; oldest first.
    commands: VecDeque<(CommandId, Position)>,
}

impl<A: Aggregate> Default for Loaded<A> {
    fn default() -> Self {
        Self { state: A::default(), head: Head::EMPTY, commands: VecDeque::new() }
    }
}

impl<A: Aggregate> Loaded<A> {
    /// What became of `command`, when it was given before.
    pub(crate) fn earlier(&self, command: CommandId) -> Option<(Relation, Position)> {
        self.commands.iter().rev().find_map(|(earlier, position)| match relation(*earlier, command) {
            Relation::Different => None,
            found @ (Relation::Same | Relation::KeyReused) => Some((found, *position)),
        })
    }

    pub(crate) fn fold(
        &mut self,
        events: impl IntoIterator<Item = A::Event>,
        head: Head,
        command: CommandId,
    ) {
        let state = std::mem::take(&mut self.state);
        self.state = events.into_iter().fold(state, |state, event| state.evolve(&event));
        self.head = head;
        self.remember(command, head.position);
    }

    fn remember(&mut self, command: CommandId, position: Position) {
        if crate::idempotency::is_repeatable(command)
            && self.commands.back().is_none_or(|(last, _)| *last != command)
        {
            self.commands.push_back((command, position));
            if self.commands.len() > COMMANDS_MAX {
                self.commands.pop_front();
            }
        }
    }

    fn append(&mut self, recorded: Vec<Recorded>, head: Head) {
        let mut state = std::mem::take(&mut self.state);
        for event in recorded {
            let (command, position) = (event.command, event.position);
            // A stream holds events of one aggregate only; what is none of them was checked when it was
            // appended.
            if let Ok(event) = A::Event::try_from(event.event) {
                state = state.evolve(&event);
            }
            self.remember(command, position);
        }
        self.state = state;
        self.head = head;
    }
}

/// Loads states.
#[derive(Clone)]
pub struct Loader {
    log: SharedLog,
    states: Cache<StreamId, Arc<dyn Any + Send + Sync>>,
}

impl Loader {
    /// Over a log.
    #[must_use]
    pub fn new(log: SharedLog) -> Self {
        Self { log, states: Cache::new(STATES_MAX) }
    }

    /// The state as it was last seen, without asking the log when it is in memory.
    pub(crate) async fn recent<A: Aggregate>(
        &self,
        stream: StreamId,
    ) -> Result<(Arc<Loaded<A>>, bool), ReadError> {
        if let Some(loaded) = self.cached::<A>(stream).await {
            return Ok((loaded, true));
        }
        Ok((self.current::<A>(stream).await?, false))
    }

    /// The state as it is now in the log.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn current<A: Aggregate>(&self, stream: StreamId) -> Result<Arc<Loaded<A>>, ReadError> {
        let cached = self.cached::<A>(stream).await.unwrap_or_default();
        let slice = self.log.read(&stream, cached.head.version).await?;
        if slice.events.is_empty() && slice.head == cached.head {
            return Ok(cached);
        }
        let mut loaded = Arc::unwrap_or_clone(cached);
        loaded.append(slice.events, slice.head);
        Ok(self.keep(stream, loaded).await)
    }

    async fn cached<A: Aggregate>(&self, stream: StreamId) -> Option<Arc<Loaded<A>>> {
        self.states.get(&stream).await?.downcast().ok()
    }

    /// Keeps a state, unless a newer one is there already.
    pub(crate) async fn keep<A: Aggregate>(&self, stream: StreamId, loaded: Loaded<A>) -> Arc<Loaded<A>> {
        let loaded = Arc::new(loaded);
        let newer =
            self.cached::<A>(stream).await.is_some_and(|other| other.head.version > loaded.head.version);
        if !newer {
            self.states.insert(stream, Arc::<Loaded<A>>::clone(&loaded)).await;
        }
        loaded
    }
}
