//! Calls of the Docker Engine: each has a limit, and a failure says which call it was.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, Network, SystemVersion};
use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions, RemoveContainerOptions};
use bollard::{ClientVersion, Docker};
use eventlog::error::BoxError;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::runtime::RuntimeError;

/// Where the engine listens when nothing else is said.
const SOCKET: &str = "/var/run/docker.sock";
/// How long one call may take; those that wait for something have limits of their own.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How long an engine that is being restarted is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(200);
/// How long the library waits for the first byte of an answer; longer than any limit of ours.
const ANSWER_LIMIT_SECONDS: u64 = 3600;
/// Versions of the interface, the best first: 1.44 is the oldest that Docker Engine 29 still speaks, and 1.41
/// is what 20.10 speaks.
const VERSIONS: [ClientVersion; 2] = [
    ClientVersion { major_version: 1, minor_version: 44 },
    ClientVersion { major_version: 1, minor_version: 41 },
];

/// A call that did not succeed.
#[derive(Debug)]
pub(super) struct Trouble {
    doing: String,
    /// What the engine answered with, when it did.
    pub(super) status: Option<u16>,
    pub(super) said: String,
    /// Nobody listened, so nothing was asked.
    is_away: bool,
    source: BoxError,
}

impl Trouble {
    pub(super) fn new(doing: &str, error: bollard::errors::Error) -> Self {
        let (status, said) =
            if let bollard::errors::Error::DockerResponseServerError { status_code, message } = &error {
                (Some(*status_code), message.clone())
            } else {
                (None, chain(&error))
            };
        let is_away = matches!(&error, bollard::errors::Error::HyperLegacyError { err } if err.is_connect())
            || matches!(&error, bollard::errors::Error::SocketNotFoundError(_));
        Self { doing: doing.to_owned(), status, said, is_away, source: Box::new(error) }
    }

    /// What the call was about is not there.
    pub(super) fn is_absent(&self) -> bool {
        self.status == Some(404)
    }

    /// Something is in the way: a name that is taken, or what is being removed at this moment.
    pub(super) fn is_conflict(&self) -> bool {
        self.status == Some(409)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl From<Trouble> for RuntimeError {
    fn from(trouble: Trouble) -> Self {
        let Trouble { doing, status, said, source, .. } = trouble;
        // What it does not understand it will not understand the next time either.
        let permanent = status == Some(400);
        let message = format!("the Docker Engine could not {doing}: {said}");
        Self { code: "runtime_failed", message, permanent, source: Some(source) }
    }
}

/// The engine, reached by its socket. Whether it is there shows at the first call, and again at each.
#[derive(Debug)]
pub(super) struct Engine {
    socket: String,
    client: OnceCell<Docker>,
}

impl Engine {
    /// `unix:///run/docker.sock`, a path, or `docker:` for the usual place.
    pub(super) fn new(url: &str) -> Result<Self, RuntimeError> {
        let socket = match url.strip_prefix("unix://").or_else(|| url.strip_prefix("docker:")) {
            Some("") => SOCKET,
            Some(path) => path,
            None => url,
        };
        if socket.starts_with('/') {
            return Ok(Self { socket: socket.to_owned(), client: OnceCell::new() });
        }
        let message = format!(
            "`{url}` names no Docker Engine; give the path of its socket, such as \
             unix:///var/run/docker.sock"
        );
        Err(RuntimeError { code: "runtime_failed", message, permanent: true, source: None })
    }

    /// The client, in a version that the engine speaks.
    pub(super) async fn client(&self) -> Result<Docker, Trouble> {
        let client = self.client.get_or_try_init(async || {
            let mut refused = None;
            for version in VERSIONS {
                let doing = "say which version it is";
                let client = Docker::connect_with_unix(&self.socket, ANSWER_LIMIT_SECONDS, &version)
                    .map_err(|error| self.located(Trouble::new(doing, error)))?;
                match within(CALL_LIMIT, doing, client.version()).await {
                    Ok(_) => return Ok(client),
                    Err(trouble) if trouble.status == Some(400) => refused = Some(trouble),
                    Err(trouble) => return Err(self.located(trouble)),
                }
            }
            Err(refused.map_or_else(unreachable_versions, |trouble| self.located(trouble)))
        });
        client.await.cloned()
    }

    fn located(&self, mut trouble: Trouble) -> Trouble {
        trouble.said = format!("{} (at {})", trouble.said, self.socket);
        trouble
    }

    /// One call. An engine that is not there for a moment is waited for.
    pub(super) async fn call<T, F: Future<Output = Result<T, bollard::errors::Error>>>(
        &self,
        doing: &str,
        call: impl Fn(Docker) -> F,
    ) -> Result<T, Trouble> {
        let patience = Instant::now() + PATIENCE;
        loop {
            match self.call_once(doing, &call).await {
                Err(trouble) if trouble.is_away && Instant::now() < patience => sleep(PAUSE).await,
                answer => return answer,
            }
        }
    }

    async fn call_once<T, F: Future<Output = Result<T, bollard::errors::Error>>>(
        &self,
        doing: &str,
        call: impl Fn(Docker) -> F,
    ) -> Result<T, Trouble> {
        let client = self.client().await?;
        within(CALL_LIMIT, doing, call(client)).await.map_err(|trouble| match trouble.status {
            Some(_) => trouble,
            None => self.located(trouble),
        })
    }

    pub(super) async fn version(&self) -> Result<SystemVersion, Trouble> {
        // Who asks this wants to know whether it is there now.
        self.call_once("say which version it is", |client| async move { client.version().await }).await
    }

    /// A container by its name or id.
    pub(super) async fn inspect(&self, name: &str) -> Result<Option<ContainerInspectResponse>, Trouble> {
        let doing = "look at a container";
        let found =
            self.call(doing, |client| async move { client.inspect_container(name, None).await }).await;
        found.map(Some).or_else(absent)
    }

    /// Containers, also those that do not run, that carry all of these labels.
    pub(super) async fn containers(&self, labels: Vec<String>) -> Result<Vec<Listed>, Trouble> {
        let filters = Some(HashMap::from([("label".to_owned(), labels)]));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        let doing = "list its containers";
        let found = self.call(doing, |client| {
            let options = options.clone();
            async move { client.list_containers(Some(options)).await }
        });
        let listed = |summary: bollard::models::ContainerSummary| {
            Some(Listed { id: summary.id?, labels: summary.labels.unwrap_or_default() })
        };
        Ok(found.await?.into_iter().filter_map(listed).collect())
    }

    /// Networks that carry all of these labels.
    pub(super) async fn networks(&self, labels: Vec<String>) -> Result<Vec<Network>, Trouble> {
        let filters = Some(HashMap::from([("label".to_owned(), labels)]));
        let options = ListNetworksOptions { filters };
        self.call("list its networks", |client| {
            let options = options.clone();
            async move { client.list_networks(Some(options)).await }
        })
        .await
    }

    /// Kills a container and removes it, with the volumes that it had for itself.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Trouble> {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        let doing = "remove a container";
        let removed = self
            .call(doing, |client| {
                let options = options.clone();
                async move { client.remove_container(id, Some(options)).await }
            })
            .await;
        match removed {
            // Another one is removing it.
            Err(trouble) if trouble.is_absent() || trouble.is_conflict() => Ok(()),
            other => other,
        }
    }
}

/// A container in a list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) labels: HashMap<String, String>,
}

fn absent<T>(trouble: Trouble) -> Result<Option<T>, Trouble> {
    if trouble.is_absent() { Ok(None) } else { Err(trouble) }
}

fn unreachable_versions() -> Trouble {
    let said = "no version of the interface was tried".to_owned();
    let source = said.clone().into();
    Trouble { doing: "be reached".into(), status: None, said, is_away: false, source }
}

/// Waits for an answer, but not for ever.
pub(super) async fn within<T>(
    limit: Duration,
    doing: &str,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| Trouble::new(doing, error)),
        Err(late) => {
            let said = format!("it did not answer within {} s", limit.as_secs());
            Err(Trouble {
                doing: doing.to_owned(),
                status: None,
                said,
                is_away: false,
                source: Box::new(late),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_named_by_its_socket() {
        for (url, socket) in
            [("docker:", SOCKET), ("unix:///x/y.sock", "/x/y.sock"), ("/x", "/x"), ("docker:/z", "/z")]
        {
            assert_eq!(Engine::new(url).unwrap().socket, socket);
        }
        let error = Engine::new("tcp://10.0.0.1:2375").unwrap_err();
        assert!(error.permanent && error.message.contains("give the path of its socket"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_not_there_is_said_and_may_be_tried_again() {
        let engine = Engine::new("unix:///no/such.sock").unwrap();
        let error = RuntimeError::from(engine.inspect("x").await.unwrap_err());
        assert!(!error.permanent);
        assert!(error.message.contains("(at /no/such.sock)"), "{error}");
    }
}
