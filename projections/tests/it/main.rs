//! The read models, on both databases: rows after a given history, pages, tenancy, rebuilds, crashes and
//! outages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod database;
mod dump;
mod proxy;
mod random;
mod story;

mod audit;
mod crash;
mod deployment;
mod feed;
mod organization;
mod outage;
mod page;
mod past;
mod poison;
mod project;
mod rebuild;
mod release;
mod route;
mod service;
mod tenancy;
mod timeline;
mod user;
mod variable;
mod wait;
