//! The read models, on both databases: rows after a given history, pages, tenancy, rebuilds, crashes and outages.

mod database;
mod dump;
mod random;
mod story;

mod audit;
mod crash;
mod deployment;
mod organization;
mod project;
mod release;
mod route;
mod service;
mod timeline;
mod user;
mod variable;
