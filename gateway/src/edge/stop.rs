//! How the edge stops without losing a request.
//!
//! `Serving → LameDuck → Closing → Over`, never back. As a lame duck it serves everything, new connections
//! too, and tells each client not to come back on the same one. Closing, it accepts nothing and closes what
//! is idle.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Serving,
    LameDuck,
    Closing,
    Over,
}

/// The stage, as one listener's connections see it.
pub(crate) struct Stop {
    stage: watch::Sender<Stage>,
    /// The same in one bit, for what is asked once per request.
    stopping: AtomicBool,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Stop { stage: watch::Sender::new(Stage::Serving), stopping: AtomicBool::new(false) }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.stopping.store(stage != Stage::Serving, Ordering::Relaxed);
        self.stage.send_replace(stage);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Stage> {
        let mut stage = self.stage.subscribe();
        // Whoever starts to watch during a stop must see it as a change.
        stage.mark_changed();
        stage
    }
}
