//! Release commands: a container of its own, to its end. One that ended well stays as the note that it did.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::command_line::CommandLine;
use tokio_util::sync::CancellationToken;

use crate::key::StepKey;
use crate::output::{Output, StoredUntil};
use crate::runtime::docker::container::{Container, Phase, Wish, body};
use crate::runtime::docker::engine::Engine;
use crate::runtime::docker::instance::variables;
use crate::runtime::docker::reader::Reader;
use crate::runtime::docker::{Shared, arguments, failed, image, labels};
use crate::runtime::{Environment, RuntimeError};

/// How often something that is in the way is looked at again.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);

impl Shared {
    /// Runs a command to its end, once: the container of an earlier attempt that ended well is the answer.
    pub(super) async fn run(
        &self,
        key: StepKey,
        command: &CommandLine,
        given: &Environment,
        output: Output,
        cancel: &CancellationToken,
    ) -> Result<(), RuntimeError> {
        let name = labels::command_name(key.deployment, key.step);
        let mut made = None;
        for _ in 0..TRIES {
            self.admit(key)?;
            if let Some(found) = self.take_over(&name, key).await? {
                if found.phase == Phase::Over && found.is_success() {
                    output.say("it was run to its end by an earlier attempt").await;
                    return Ok(());
                }
                self.engine.remove(&found.id).await?;
            }
            made = Box::pin(self.make_command(&name, key, command, given)).await?;
            if made.is_some() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let in_the_way = || failed(&format!("run a command: the container {name} is always in the way"));
        let mut container = Running::new(&self.engine, made.ok_or_else(in_the_way)?);
        let closing = self.closing.clone();
        let (engine, id) = (Arc::clone(&self.engine), container.id.clone());
        let reader = Reader::start(engine, id, StoredUntil::default(), output, closing);
        tokio::select! {
            () = reader.done.cancelled() => {}
            () = cancel.cancelled() => {
                container.remove().await?;
                return Err(ended("release_command_cancelled", command, "was cancelled"));
            }
        }
        let found = self.engine.inspect(&container.id).await?.and_then(Container::of);
        let Some(found) = found else {
            container.is_kept = true;
            return Err(self.removed(&name, key).await);
        };
        if found.is_success() {
            container.is_kept = true;
            return Ok(());
        }
        container.remove().await?;
        self.admit(key)?; // It may have been ended by the next attempt.
        if reader.interrupted.load(Ordering::Acquire) {
            return Err(failed("keep the release command running, as it was restarted; it is run again"));
        }
        Err(ended("release_command_failed", command, &format!("ended with {}", found.exit())))
    }

    /// Why a command's container is gone: a later worker has removed it, and is about to make its own.
    async fn removed(&self, name: &str, key: StepKey) -> RuntimeError {
        for _ in 0..TRIES {
            match self.take_over(name, key).await {
                Err(error) => return error,
                Ok(Some(_)) => break,
                Ok(None) => tokio::time::sleep(PAUSE).await,
            }
        }
        failed("say how the command ended: its container was removed")
    }

    async fn make_command(
        &self,
        name: &str,
        key: StepKey,
        command: &CommandLine,
        given: &Environment,
    ) -> Result<Option<String>, RuntimeError> {
        let reference = image::reference(given)?;
        let image = self.image(reference).await?;
        let program = arguments::program(command, &variables(&image, given, None), &image.directory);
        let mut labels = labels::of_release(self.settings.installation, key.deployment, key.fence, given);
        labels.insert(labels::STEP.into(), key.step.to_string());
        let gate = self.service_gates.of(given.service);
        let _only = gate.lock().await;
        let network = self.network(given.organization, given.service).await?;
        let wish = Wish { image: reference, program, given, port: None, network: &network, labels };
        Box::pin(self.make(name, reference, body(&self.settings, wish), given)).await
    }
}

/// A command's container. It is removed when whoever runs the command gives up.
struct Running {
    engine: Arc<Engine>,
    id: String,
    is_kept: bool,
}

impl Running {
    fn new(engine: &Arc<Engine>, id: String) -> Self {
        Self { engine: Arc::clone(engine), id, is_kept: false }
    }

    async fn remove(&mut self) -> Result<(), RuntimeError> {
        self.engine.remove(&self.id).await?;
        self.is_kept = true; // There is nothing to remove any more.
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (engine, id) = (Arc::clone(&self.engine), self.id.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // What is not removed now, the next attempt or the clean-up removes.
            runtime.spawn(async move { drop(engine.remove(&id).await) });
        }
    }
}

fn ended(code: &'static str, command: &CommandLine, how: &str) -> RuntimeError {
    let message = format!("the release command `{command}` {how}");
    RuntimeError { code, message, permanent: true, source: None }
}
