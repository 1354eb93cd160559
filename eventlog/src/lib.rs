//! The event log, the work queue and the log store: what they promise, in words, and the adapters that keep
//! it.
//!
//! **The log** ([`log::EventLog`]) holds commits: the events of one decision, in one stream, all or none.
//! 1. A commit that was acknowledged is never lost, by a crash or a power cut.
//! 2. A commit is appended only where it was expected: exactly one of several writers that saw the same
//!    stream wins, the others are told [`error::AppendError::Conflict`].
//! 3. The same commit (by its id) given twice stands in the log once, and both times gets the same answer.
//! 4. Positions grow with each commit, and whoever reads up to a position never sees one below it appear
//!    later. They grow by one, except on `KurrentDB`, whose positions count bytes: nobody may reckon with
//!    them.
//! 5. Each commit carries the hash of the one before it in its stream: a hole or a changed byte is an error
//!    when it is read, never silence.
//! 6. An answer that did not come is [`error::AppendError::Unknown`], never a failure and never a success.
//!
//! **The work queue** ([`queue::WorkQueue`]) holds work that sagas derived from the log. It may lose
//! everything: the log is the truth, and the router derives it again. It never gives one item to two workers
//! whose leases both hold.
//!
//! **The log store** ([`logs::LogStore`]) holds what builds and applications print, with limits. It is no
//! event log.
//!
//! **The entries** ([`entries::EntryStore`]) hold what several processes share and what is no event: wrapped
//! keys, what the installation is, who leads ([`leadership`]). **The blobs** ([`blobs::BlobStore`]) hold what
//! is large, as uploads. **Calls** ([`calls::Calls`]) ask every process of a kind something.

pub mod blobs;
pub mod calls;
pub mod commit;
pub mod entries;
pub mod error;
pub mod installation;
pub mod leadership;
pub mod log;
pub mod logs;
pub mod queue;

pub mod envelope;

pub mod files;
pub mod jetstream;
#[cfg(feature = "kurrentdb")]
pub mod kurrentdb;
pub mod memory;
pub mod sqlite;

pub mod measure;
pub mod measured;
pub mod trace;

pub mod crash;
pub mod faults;

#[cfg(feature = "testing")]
#[expect(clippy::unwrap_used, reason = "tests, that other crates' tests call")]
pub mod conformance;

mod board;
mod bounded;
mod chain;
mod heads;
mod lines;
mod lock;
mod marks;
mod tail;
