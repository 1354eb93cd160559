//! The embedded adapters: the event log in `events.db`, the work queue in `work.db`, one process at a time.
//!
//! Both files may be copied or backed up only as `SQLite` says (`.backup`, or all of `*.db*` while no process
//! runs).

mod database;
mod log;
mod queue;
mod read;
mod write;

pub use log::SqliteLog;
pub use queue::SqliteQueue;
