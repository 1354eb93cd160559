//! The command bus: authorise, load, decide, append, retry on conflict. Nothing is changed on another way.
//!
//! [`bus`] is the way of one command; [`idempotency`] how the same command given twice has one effect;
//! [`policy`] who may do what; the feature files say which stream a command writes and which claims it takes
//! first.

pub mod bus;
pub mod claim;
pub mod clock;
pub mod error;
pub mod idempotency;
pub mod keyring;
pub mod load;
pub mod measure;
pub mod policy;
pub mod request;

pub mod deployment;
pub mod project;
pub mod rollback;
pub mod service;
pub mod user;
