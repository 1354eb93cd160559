//! The read models, on both databases: rows after a given history, pages, tenancy, rebuilds, crashes and
//! outages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod database;
mod dump;
mod proxy;
mod random;
mod server;
mod story;

mod audit;
mod crash;
mod deployment;
mod feed;
mod observer;
mod organization;
mod outage;
mod page;
mod past;
mod poison;
mod pool;
mod project;
mod rebuild;
mod release;
mod replica;
mod route;
mod service;
mod standby;
mod tenancy;
mod timeline;
mod upgrade;
mod user;
mod variable;
mod wait;
mod wall;
