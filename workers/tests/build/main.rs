//! Sources, builder and registry, with the real git, the real tools of the languages and a real disk.

extern crate switchback_workers as workers;

mod archive;
mod builder;
mod detection;
mod fakes;
mod files;
mod git;
mod platform;
mod registry;
mod repository;
mod server;
