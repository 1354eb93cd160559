//! The HTTP API and the edge proxy.

pub mod edge;
