//! Being told to stop: SIGINT and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears when the process is told to stop. Listens from the moment it is made.
pub(super) struct Stop {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    was_asked: bool,
}

impl Stop {
    /// Begins to listen.
    pub(super) fn listen() -> Self {
        let hear = |kind| signal(kind).ok();
        Self {
            interrupt: hear(SignalKind::interrupt()),
            terminate: hear(SignalKind::terminate()),
            was_asked: false,
        }
    }

    /// Waits until the process is told to stop; at once when it was told before.
    pub(super) async fn asked(&mut self) {
        if !self.was_asked {
            self.next().await;
            self.was_asked = true;
        }
    }

    /// Waits until it is told once more.
    pub(super) async fn asked_again(&mut self) {
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            () = heard(&mut self.interrupt) => {}
            () = heard(&mut self.terminate) => {}
        }
    }
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
