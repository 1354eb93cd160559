//! The HTTP API and the edge proxy.
//!
//! [`router`] is the table of contents of the API; a handler only translates: extract, build the command,
//! dispatch, answer. [`edge`] is the proxy in front of what is deployed; [`route`] keeps its table from the
//! log.

pub mod app;
pub mod engine;
pub mod error;
pub mod measure;
pub mod operations;
pub mod router;
pub mod upload;

mod actor;
mod answer;
mod given;
mod params;
mod resolve;

mod audit;
mod auth;
mod deployment;
mod events;
mod logs;
mod project;
mod release;
mod rollback;
mod service;
mod source;
mod variable;

pub mod edge;
pub mod route;
