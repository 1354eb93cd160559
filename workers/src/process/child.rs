//! A program that runs, as the platform holds it in its hands.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, warn};

use crate::process::Supervisor;
use crate::supervise::protocol::{Exit, KILL, MAX_MESSAGE_BYTES, Report, TERM};

/// How long a supervisor has to end everything once it was told to.
const KILL_LIMIT: Duration = Duration::from_secs(15);
/// How long the last lines of a program may take to be stored.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// A program that runs. When it is dropped, the program is killed.
#[derive(Debug)]
pub struct Child {
    mark: Arc<str>,
    pid: u32,
    supervisor_pid: u32,
    unlimited: Vec<String>,
    supervisor: Supervisor,
    commands: mpsc::Sender<u8>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Child {
    /// The process id of the (first) program.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The process id of its supervisor: everything that the program starts descends from it, for ever.
    #[must_use]
    pub const fn supervisor_pid(&self) -> u32 {
        self.supervisor_pid
    }

    /// Limits that could not be set on this machine: `memory`, `cpu`, `pids`.
    #[must_use]
    pub fn unlimited(&self) -> &[String] {
        &self.unlimited
    }

    /// How it ended, when it has.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }

    /// Waits until it has ended, nothing of it is left, and everything it printed has been passed on. May be
    /// called often, and given up.
    pub async fn wait(&self) -> Exit {
        self.end().await
    }

    /// The same for somebody who does not hold it: once nobody does, it is killed.
    pub fn end(&self) -> impl Future<Output = Exit> + Send + 'static {
        let mut exit = self.exit.clone();
        async move {
            let ended = exit.wait_for(Option::is_some).await.map(|exit| exit.clone());
            // The asynchronous runtime is being torn down: the socket closes, and the supervisor kills the
            // program.
            ended.ok().flatten().unwrap_or(Exit::Lost)
        }
    }

    /// Asks it to end (SIGTERM to its process group), waits for `grace` at most, and kills what is left then.
    pub async fn stop(&self, grace: Duration) -> Exit {
        // Refused only when it has ended.
        let _ = self.commands.send(TERM).await;
        match tokio::time::timeout(grace, self.wait()).await {
            Ok(exit) => exit,
            Err(_) => self.kill().await,
        }
    }

    /// Kills it and everything it started, and waits until nothing of it is left.
    pub async fn kill(&self) -> Exit {
        let _ = self.commands.send(KILL).await;
        if let Ok(exit) = tokio::time::timeout(KILL_LIMIT, self.wait()).await {
            return exit;
        }
        warn!("the supervisor of {} does not do what it is told, so it is killed too", self.mark);
        self.supervisor.end(&self.mark).await;
        self.wait().await
    }
}

impl Supervisor {
    /// Ends everything that carries this mark, from outside.
    pub(super) async fn end(&self, mark: &Arc<str>) {
        let (supervisor, wanted) = (self.clone(), Arc::clone(mark));
        let sweep = move || supervisor.sweep_marks(|mark| *mark == *wanted);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(sweep).await {
            error!(error = &error as &dyn std::error::Error, "processes of {mark} may still run");
        }
    }
}

/// The platform's end of a supervisor, with all that hangs on it.
pub(super) struct Link {
    control: UnixStream,
    process: tokio::process::Child,
    pipes: [Option<JoinHandle<()>>; 2],
    supervisor: Supervisor,
    mark: Arc<str>,
}

impl Link {
    pub(super) const fn new(
        control: UnixStream,
        process: tokio::process::Child,
        pipes: [Option<JoinHandle<()>>; 2],
        supervisor: Supervisor,
        mark: Arc<str>,
    ) -> Self {
        Self { control, process, pipes, supervisor, mark }
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.control.write_all(message).await
    }

    pub(super) async fn report(&mut self) -> io::Result<Report> {
        read_report(&mut self.control).await
    }

    /// Lets go of a program that did not come up, and waits until nothing of it is left.
    pub(super) async fn end(self) {
        let Self { control, mut process, supervisor, mark, .. } = self;
        drop(control);
        // A supervisor that ended as it should left nothing.
        if !process.wait().await.is_ok_and(|status| status.success()) {
            supervisor.end(&mark).await;
        }
    }

    /// From now on somebody reads the reports, and tells the supervisor what the child's owner wants.
    pub(super) fn into_child(self, pid: u32, unlimited: Vec<String>) -> Child {
        let (commands, orders) = mpsc::channel(4);
        let (ended, exit) = watch::channel(None);
        let child = Child {
            mark: self.mark.clone(),
            pid,
            supervisor_pid: self.process.id().unwrap_or_default(),
            unlimited,
            supervisor: self.supervisor.clone(),
            commands,
            exit,
        };
        tokio::spawn(async move {
            let exit = self.attend(orders).await;
            // The last receiver may be gone.
            let _ = ended.send(Some(exit));
        });
        child
    }

    /// Follows a program to its end.
    async fn attend(mut self, mut orders: mpsc::Receiver<u8>) -> Exit {
        let (mut reports, mut commands) = self.control.split();
        let obey = async {
            while let Some(order) = orders.recv().await {
                if commands.write_all(&[order]).await.is_err() {
                    break;
                }
            }
            // The owner has dropped the child: its supervisor sees the end of the socket, and kills it.
            let _ = commands.shutdown().await;
            std::future::pending::<()>().await;
        };
        let report = tokio::select! {
            report = read_report(&mut reports) => report.ok(),
            () = obey => None,
        };
        let exit = match report {
            Some(Report::Ended { exit, left }) => {
                if !left.is_empty() {
                    error!("processes {left:?} of {} hang in the kernel and could not be killed", self.mark);
                }
                exit
            }
            Some(Report::Started { .. }) | None => {
                self.supervisor.end(&self.mark).await;
                Exit::Lost
            }
        };
        // It has said its last word, so it ends; not to wait for it would leave a zombie.
        let _ = self.process.wait().await;
        for pipe in self.pipes.iter_mut().flatten() {
            if tokio::time::timeout(DRAIN_LIMIT, &mut *pipe).await.is_err() {
                warn!("the last lines of {} were dropped", self.mark);
                pipe.abort();
            }
        }
        exit
    }
}

async fn read_report(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> io::Result<Report> {
    let length = from.read_u32().await?;
    if length > MAX_MESSAGE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length as usize];
    from.read_exact(&mut message).await?;
    Ok(serde_json::from_slice(&message)?)
}
