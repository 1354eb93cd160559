//! The edge proxy as clients and applications meet it: over sockets, byte by byte where it matters.
//!
//! `site` runs an edge, `app` is an application behind it, `caller` a client in front. Nothing here waits for
//! a time: every wait is for a state, with a limit after which the test fails.

#![cfg(test)] // For clippy: what the tests share may unwrap as well.

mod app;
mod caller;
mod site;

mod drain;
mod errors;
mod forwarded;
mod framing;
mod hold;
mod http2;
mod limits;
mod messages;
mod once;
mod stop;
mod streams;
mod swap;
mod tls;
mod websocket;
