//! The log, the queue and the log store in memory, for tests: gone with the process.
//!
//! Commits go through the same [`crate::envelope`] as everywhere, so an event that cannot be stored fails
//! here too.

mod calls;
mod entries;
mod log;
mod logs;
mod queue;

pub use calls::MemoryCalls;
pub use entries::MemoryEntries;
pub use log::MemoryLog;
pub use logs::MemoryLogs;
pub use queue::MemoryQueue;
