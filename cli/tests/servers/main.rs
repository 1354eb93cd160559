//! The same tests as on the embedded default, on servers: the log on NATS, read models on `PostgreSQL`,
//! builds and instances in a Docker Engine, images in a registry, each role in a process of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a test that fails says what the server said")]

#[path = "../it/application.rs"]
mod application;
#[path = "../it/deploy.rs"]
mod deploy;
#[path = "../it/failing.rs"]
mod failing;
#[path = "../it/history.rs"]
mod history;
#[path = "../it/load.rs"]
mod load;
#[path = "../it/nats.rs"]
mod nats;
#[path = "../it/platform.rs"]
mod platform;
#[path = "../it/rollback.rs"]
mod rollback;
#[path = "../it/schema.rs"]
mod schema;
#[path = "../it/secrets.rs"]
mod secrets;

mod bad_days;
mod roles;
mod stage;
