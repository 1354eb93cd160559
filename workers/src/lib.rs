//! The sagas' other half: what carries effects out in the world, and may be killed at any line.
//!
//! The ports to the world: [`source`] (repositories, uploads), [`builder`], [`registry`] (built things by
//! digest), [`runtime`] (instances). Each operation is named by deployment and step, may be called twice, and
//! refuses a worker whose [`Fence`](domain::deployment::step::Fence) is older than one it has seen.

pub mod builder;
pub mod disk;
pub mod fences;
pub mod key;
#[cfg(feature = "testing")]
pub mod ledger;
pub mod output;
pub mod process;
pub mod registry;
pub mod runtime;
pub mod source;
pub mod static_files;
pub mod supervise;
mod turns;

pub mod context;
pub mod deployment;
pub mod measure;
pub mod reconciler;
pub mod router;
pub mod runner;
pub mod step;
pub mod traffic;
