//! Places where a kill matters, each with a name, so that a test can kill there.
//!
//! `crash_point!("step.after_intent", step)` does nothing unless the environment variable `SWITCHBACK_CRASH`
//! names it: `SWITCHBACK_CRASH=step.after_intent/build:2` ends the process with SIGKILL the second time it is
//! passed with that detail. Only debug builds have them. Names are literals, so that a test finds all of them
//! by reading the sources. (The idea is `SQLite`'s and `sled`'s: notes/reliability.md §2.2.)

#[cfg(feature = "testing")]
#[expect(clippy::unwrap_used, reason = "for tests")]
pub mod points;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

/// What is to happen at a crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    GoOn,
    /// Stop here, as if the process had been killed: the task never goes on.
    Die,
}

/// Decides what happens at crash points, in a test that runs workers within its own process.
pub type Injector = Arc<dyn Fn(&str) -> Verdict + Send + Sync>;

tokio::task_local! {
    /// The injector of the task, when a test has set one.
    pub static INJECTOR: Injector;
}

/// Names a place where a kill matters. `crash_point!("name")` or `crash_point!("name", detail)`; awaits.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        if cfg!(debug_assertions) {
            $crate::crash::reached($name.to_owned()).await;
        }
    };
    ($name:literal, $detail:expr) => {
        if cfg!(debug_assertions) {
            $crate::crash::reached(format!("{}/{}", $name, $detail)).await;
        }
    };
}

/// Called by [`crash_point!`].
pub async fn reached(name: String) {
    let verdict = INJECTOR.try_with(|injector| injector(&name)).unwrap_or(Verdict::GoOn);
    if verdict == Verdict::Die {
        std::future::pending::<()>().await;
    }
    if let Some((wanted, nth)) = wanted()
        && *wanted == name
        && passed(&name) == *nth
    {
        let this = rustix::process::getpid();
        // The kernel does not return from this.
        let _ = rustix::process::kill_process(this, rustix::process::Signal::KILL);
    }
}

/// How often a name was passed, this time included.
fn passed(name: &str) -> u32 {
    static PASSED: OnceLock<Mutex<HashMap<String, u32>>> = OnceLock::new();
    let mut passed =
        PASSED.get_or_init(Mutex::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let count = passed.entry(name.to_owned()).or_default();
    *count += 1;
    *count
}

fn wanted() -> Option<&'static (String, u32)> {
    static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    WANTED
        .get_or_init(|| {
            let setting = std::env::var("SWITCHBACK_CRASH").ok()?;
            match setting.rsplit_once(':') {
                Some((name, nth)) => Some((name.to_owned(), nth.parse().ok()?)),
                None => Some((setting, 1)),
            }
        })
        .as_ref()
}
