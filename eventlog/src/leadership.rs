//! Leadership: a duty that one process at a time has, however many would take it.
//!
//! Who has a duty stands in an entry, which is written anew all the time. Whoever wants the duty watches the
//! entry's revision: when it has not changed for as long as the holder said, by the watcher's own clock, the
//! holder is gone, and of several that see it one replaces the entry. The holder counts the same time from
//! when it last began to write, by its own clock, and stops a part of it earlier. No two clocks are
//! compared; they only have to run about equally fast.
//!
//! A holder that was paused may still be on its way to do something when it wakes. Each term has a number
//! that grows: what can check it, refuses the smaller.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::entries::{Entry, EntryError, InvalidKey, Key, Revision, SharedEntries};
use crate::error::{BoxError, StoreError};

/// What the keys of duties begin with.
const KIND: &str = "leader.";
/// A term is written anew when this part of its time is over,
const RENEWED_AFTER: f64 = 0.3;
/// and is over for its holder after this part: the rest is for stopping.
const HELD_FOR: f64 = 0.75;
/// How often a duty that another has is looked at, in its time,
const LOOK_EVERY: f64 = 0.1;
/// but at least so often.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);
/// A write that failed is tried again after this part of a term's time.
const TRY_AGAIN: f64 = 0.03;

/// What stands in the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Term {
    holder: String,
    number: u64,
    period_ms: u64,
    /// The holder has given it back, or is known to be gone.
    #[serde(default)]
    is_vacant: bool,
}

impl Term {
    fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms)
    }

    fn encoded(&self) -> Result<bytes::Bytes, StoreError> {
        serde_json::to_vec(self).map(Into::into).map_err(|source| failed(source.into()))
    }

    fn decoded(entry: &Entry) -> Result<Self, StoreError> {
        serde_json::from_slice(&entry.value).map_err(|source| failed(source.into()))
    }
}

fn failed(source: BoxError) -> StoreError {
    StoreError::Unavailable { doing: "find out who leads", source }
}

fn key_of(duty: &str) -> Result<Key, InvalidKey> {
    format!("{KIND}{duty}").parse()
}

/// The entry as it is when its holder is gone; none when it is no such entry.
pub(crate) fn vacated(key: &Key, value: &[u8]) -> Option<Vec<u8>> {
    key.as_str().strip_prefix(KIND)?;
    let term: Term = serde_json::from_slice(value).ok()?;
    serde_json::to_vec(&Term { is_vacant: true, ..term }).ok()
}

/// Who has a duty now, as far as can be seen: nobody, or somebody who may be gone since.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub async fn holder(entries: &SharedEntries, duty: &str) -> Result<Option<String>, StoreError> {
    let key = key_of(duty).map_err(|source| failed(source.into()))?;
    let Some(entry) = entries.get(&key).await? else { return Ok(None) };
    let term = Term::decoded(&entry)?;
    Ok(Some(term.holder).filter(|_| !term.is_vacant))
}

/// A duty that is ours, until it is lost, released or dropped. Dropping it leaves others to find out.
#[derive(Debug)]
pub struct Leadership {
    number: u64,
    /// Until when it is ours, unless it is renewed; none when it is lost.
    until: watch::Receiver<Option<Instant>>,
    release: Option<oneshot::Sender<()>>,
    keeping: JoinHandle<()>,
}

impl Leadership {
    /// The number of the term: greater than that of every term before.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether it is still ours, at this moment.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        let mut until = self.until.clone();
        loop {
            let Some(over) = *until.borrow_and_update() else { return };
            tokio::select! {
                changed = until.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(over) => return,
            }
        }
    }

    /// Gives it back, so that another can have it at once. Whoever calls it has stopped before.
    pub async fn release(mut self) {
        if let Some(release) = self.release.take() {
            // When it is lost, nobody listens, and there is nothing to give back.
            let _ = release.send(());
            let _ = (&mut self.keeping).await;
        }
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

/// Waits until a duty is ours. It is lost when it cannot be renewed for `period`; when we die, another has it
/// after about as long. `holder` is what we are known by, another for each process.
///
/// # Errors
/// [`InvalidKey`] when the duty's name is none. A store that is away is waited for.
pub async fn claim(
    entries: &SharedEntries,
    duty: &str,
    holder: &str,
    period: Duration,
) -> Result<Leadership, InvalidKey> {
    let key = key_of(duty)?;
    let mut candidate = Candidate { entries: entries.clone(), key, holder, period, seen: None };
    let mut is_away = false;
    loop {
        match candidate.attempt().await {
            Ok(Some(leadership)) => {
                info!(duty, term = leadership.number, "{holder} leads `{duty}`");
                return Ok(leadership);
            }
            Ok(None) => is_away = false,
            Err(error) if !is_away => {
                is_away = true;
                warn!(duty, error = &error as &dyn std::error::Error, "nobody can be made to lead `{duty}`");
            }
            Err(_) => {}
        }
        tokio::time::sleep(period.mul_f64(LOOK_EVERY).min(LOOK_EVERY_MAX)).await;
    }
}

struct Candidate<'a> {
    entries: SharedEntries,
    key: Key,
    holder: &'a str,
    period: Duration,
    /// The revision that was seen last, and since when.
    seen: Option<(Revision, Instant)>,
}

impl Candidate<'_> {
    /// Takes the duty, if nobody has it.
    async fn attempt(&mut self) -> Result<Option<Leadership>, StoreError> {
        let entry = self.entries.get(&self.key).await?;
        let before = match &entry {
            Some(entry) => Some((Term::decoded(entry)?, entry.revision)),
            None => None,
        };
        if let Some((term, revision)) = &before
            && !self.is_over(term, *revision)
        {
            return Ok(None);
        }
        let term = Term {
            holder: self.holder.to_owned(),
            number: before.as_ref().map_or(1, |(term, _)| term.number + 1),
            period_ms: u64::try_from(self.period.as_millis()).unwrap_or(u64::MAX),
            is_vacant: false,
        };
        let begin = Instant::now();
        let written = match before {
            Some((_, revision)) => self.entries.replace(&self.key, term.encoded()?, revision).await,
            None => self.entries.create(&self.key, term.encoded()?).await,
        };
        match written {
            Ok(revision) => Ok(Some(self.lead(term, revision, begin))),
            Err(EntryError::Exists { .. } | EntryError::Changed { .. }) => Ok(None),
            Err(EntryError::Store(err)) => Err(err),
        }
    }

    /// Whether a term's holder has gone, or is silent for longer than it may be.
    fn is_over(&mut self, term: &Term, revision: Revision) -> bool {
        let now = Instant::now();
        let since = match self.seen {
            Some((seen, since)) if seen == revision => since,
            Some(_) | None => {
                self.seen = Some((revision, now));
                now
            }
        };
        term.is_vacant || now.duration_since(since) >= term.period()
    }

    fn lead(&self, term: Term, revision: Revision, begin: Instant) -> Leadership {
        let number = term.number;
        let (sender, until) = watch::channel(Some(begin + self.period.mul_f64(HELD_FOR)));
        let (release, released) = oneshot::channel();
        let (entries, key) = (self.entries.clone(), self.key.clone());
        let keeper =
            Keeper { entries, key, term, period: self.period, revision, renewed: begin, until: sender };
        let keeping = tokio::spawn(keeper.run(released));
        Leadership { number, until, release: Some(release), keeping }
    }
}

/// Renews a term.
struct Keeper {
    entries: SharedEntries,
    key: Key,
    term: Term,
    period: Duration,
    revision: Revision,
    /// When the last write that succeeded was begun.
    renewed: Instant,
    until: watch::Sender<Option<Instant>>,
}

impl Keeper {
    async fn run(mut self, mut released: oneshot::Receiver<()>) {
        let over = loop {
            tokio::select! {
                () = tokio::time::sleep_until(self.renewed + self.period.mul_f64(RENEWED_AFTER)) => {}
                released = &mut released => match released {
                    Ok(()) => return self.give_back().await,
                    Err(_) => return, // Dropped: whoever waits finds out.
                },
            }
            // Waiting for an answer ends when the term does.
            let end = self.renewed + self.period.mul_f64(HELD_FOR);
            match tokio::time::timeout_at(end, self.renew()).await {
                Ok(Ok(())) => {
                    self.until.send_replace(Some(self.renewed + self.period.mul_f64(HELD_FOR)));
                }
                Ok(Err(why)) => break why,
                Err(_) => break "it could not be renewed in time",
            }
        };
        self.until.send_replace(None);
        warn!(term = self.term.number, "{} leads `{}` no more: {over}", self.term.holder, self.key);
    }

    /// Writes the term anew, as often as it has to be tried. Fails when it is another's.
    async fn renew(&mut self) -> Result<(), &'static str> {
        loop {
            let begin = Instant::now();
            let Ok(value) = self.term.encoded() else { return Err("it cannot be written") };
            match self.entries.replace(&self.key, value, self.revision).await {
                Ok(revision) => {
                    (self.revision, self.renewed) = (revision, begin);
                    return Ok(());
                }
                // It may have been ourselves, when an answer was lost.
                Err(EntryError::Changed { .. } | EntryError::Exists { .. }) => {
                    match self.entries.get(&self.key).await {
                        Ok(Some(entry)) if Term::decoded(&entry).is_ok_and(|term| term == self.term) => {
                            self.revision = entry.revision;
                        }
                        Ok(_) => return Err("another has it"),
                        Err(_) => tokio::time::sleep(self.period.mul_f64(TRY_AGAIN)).await,
                    }
                }
                Err(EntryError::Store(_)) => tokio::time::sleep(self.period.mul_f64(TRY_AGAIN)).await,
            }
        }
    }

    async fn give_back(self) {
        self.until.send_replace(None);
        let term = Term { is_vacant: true, ..self.term };
        let end = self.renewed + self.period;
        let Ok(value) = term.encoded() else { return };
        // What does not succeed in time, others find out by themselves.
        let _ = tokio::time::timeout_at(end, self.entries.replace(&self.key, value, self.revision)).await;
    }
}
