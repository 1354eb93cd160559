//! The parts of the platform as tasks, and the order in which they stop: first what works, then what serves,
//! then what follows the log.

use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long requests in flight may take to finish.
const SERVE_STOP_LIMIT: Duration = Duration::from_secs(40);

/// Tasks that stop together.
#[derive(Default)]
pub(super) struct Group {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Group {
    /// Starts one more. It ends soon after its token is cancelled.
    pub(super) fn spawn<F, T>(&mut self, part: F)
    where
        F: FnOnce(CancellationToken) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push(tokio::spawn(part(self.stop.clone())));
    }

    /// Cancelled when they are to stop.
    pub(super) fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    async fn stop(self) {
        self.stop.cancel();
        join_all(self.tasks).await;
    }
}

/// What runs in this process.
#[derive(Default)]
pub(super) struct Parts {
    /// What takes up work: nothing new is taken up once it stops.
    pub(super) work: Group,
    /// What serves requests.
    pub(super) serve: Group,
    /// What follows the log.
    pub(super) follow: Group,
}

impl Parts {
    /// Stops everything; what serves stays until requests in flight have ended. In between, when nothing
    /// works or serves any more, `between` is done.
    pub(super) async fn stop(self, between: impl Future<Output = ()>) {
        self.work.stop().await;
        let _ = tokio::time::timeout(SERVE_STOP_LIMIT, self.serve.stop()).await;
        between.await;
        self.follow.stop().await;
    }
}
