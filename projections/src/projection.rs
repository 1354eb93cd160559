//! A projection: a name, a version, and a pure function from an event to row changes.
//!
//! A projection reads no table to decide what to write, so that it gives the same rows whenever it is run.
//! Whoever changes what it gives, or its tables, raises its version: the projector then builds it anew beside
//! the old one.

use domain::stream::Recorded;

use crate::change::Change;
use crate::table::Table;

/// A projection.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// What it is known by: the name of its feature.
    pub name: &'static str,
    /// Raised with every change of its tables or its rows.
    pub version: u32,
    /// Its tables, which no other projection writes.
    pub tables: &'static [&'static Table],
    /// What an event changes.
    pub changes: fn(&Recorded) -> Vec<Change>,
}

/// All projections of the platform.
pub const ALL: [Projection; 10] = [
    crate::user::PROJECTION,
    crate::organization::PROJECTION,
    crate::project::PROJECTION,
    crate::service::PROJECTION,
    crate::variable::PROJECTION,
    crate::deployment::PROJECTION,
    crate::timeline::PROJECTION,
    crate::release::PROJECTION,
    crate::route::PROJECTION,
    crate::audit::PROJECTION,
];
