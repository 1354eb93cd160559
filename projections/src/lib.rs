//! Read models: what people look at, derived from the log and from nothing else.
//!
//! A [`projection::Projection`] is a name, a version and a pure function from an event to row changes; its
//! queries stand below it in the same file. The [`projector::Projector`] keeps the rows up with the log: each
//! batch and its checkpoint are one transaction, so an event counts exactly once, whatever dies.
//!
//! Every query takes the organisation whose rows it may see. Those that do not say why.

pub mod change;
pub mod page;
pub mod projection;
pub mod projector;
pub mod store;
pub mod table;
pub mod value;
pub mod wait;

pub mod organization;
pub mod project;
pub mod user;

pub mod deployment;
pub mod release;
pub mod route;
pub mod service;
pub mod timeline;
pub mod variable;

pub mod audit;
pub mod feed;
pub mod measure;
pub mod past;
