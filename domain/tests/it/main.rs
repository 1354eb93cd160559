//! What holds of the domain as a whole: limits, laws, stored samples.

// As the other crates call it.
extern crate switchback_domain as domain;

mod laws;
mod limits;
mod parsing;
mod samples;
mod schema;
mod simulation;
