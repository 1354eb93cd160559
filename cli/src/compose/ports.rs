//! What brings files, builds, keeps and runs: processes on this machine, or a Docker Engine and a registry.

mod containers;
mod processes;
mod uploads;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use commands::bus::Bus;
use domain::deployment::step::Step;
use eventlog::logs::SharedLogs;
use gateway::engine::Engine;
use gateway::upload::SharedUploads;
use uuid::Uuid;
use workers::builder::SharedBuilder;
use workers::context::{Context, Settings};
use workers::disk::{Reserve, Usage};
use workers::process::Supervisor;
use workers::registry::SharedRegistry;
use workers::runtime::SharedRuntime;
use workers::runtime::docker::DockerRuntime;
use workers::runtime::process::ProcessRuntime;
use workers::source::archive::ArchiveSource;
use workers::source::git::{GitSource, Settings as GitSettings};
use workers::source::{SharedSource, Sources};
use workers::traffic::SharedTraffic;

pub(crate) use self::containers::{is_docker, look_at_engine, look_at_registry};
use super::{ComposeError, Engines};
use crate::args::Settings as Chosen;
use crate::home::Home;

/// What an upload may hold, unpacked.
const UNPACKED_MAX: Usage = Usage { bytes: 2 << 30, entries: 100_000 };

/// What brings files, builds, keeps and runs.
pub(crate) struct Ports {
    source: SharedSource,
    works: Works,
    builds: PathBuf,
}

/// What builds, keeps and runs.
struct Works {
    builder: SharedBuilder,
    registry: SharedRegistry,
    runtime: SharedRuntime,
    /// Instances that end with the platform.
    processes: Option<ProcessRuntime>,
    /// Instances that do not.
    containers: Option<DockerRuntime>,
}

/// What the parts are made of.
struct Materials<'a> {
    chosen: &'a Chosen,
    home: &'a Home,
    installation: Uuid,
    environment: BTreeMap<String, String>,
    supervisor: Supervisor,
}

/// Takes uploads for whoever fetches them later.
pub(crate) fn uploads(engines: &Engines) -> SharedUploads {
    uploads::received_by(engines.uploads.clone())
}

/// Opens what the settings name.
pub(crate) fn ports(
    chosen: &Chosen,
    home: &Home,
    engines: &Engines,
    installation: Uuid,
) -> Result<Ports, ComposeError> {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let supervisor = Supervisor::new("/proc/self/exe", &home.id().to_string());
    let mut git = GitSettings::new(home.path(), &environment);
    git.allow_file = chosen.listen.ip().is_loopback();
    let archives = ArchiveSource::new(engines.uploads.clone(), UNPACKED_MAX, Reserve::default());
    let source = Sources::new(GitSource::new(git, supervisor.clone()), archives);
    let materials = Materials { chosen, home, installation, environment, supervisor };
    let works = match &chosen.work.runtime {
        Some(url) if is_docker(url) => containers::works(&materials, url)?,
        Some(url) if url.scheme() != "process" => return Err(unknown("--runtime", url)),
        Some(_) | None => processes::works(materials)?,
    };
    Ok(Ports { source: Arc::new(source), works, builds: home.join("builds") })
}

fn unknown(flag: &'static str, url: &url::Url) -> ComposeError {
    let known = "give docker: or docker:///path/docker.sock for a Docker Engine, process: for processes";
    ComposeError::Unknown { flag, url: super::shown(url), known }
}

fn port(part: &'static str) -> impl Fn(eventlog::error::BoxError) -> ComposeError {
    move |source| ComposeError::Port { part, source }
}

impl Ports {
    /// What workers work with.
    pub(crate) fn context(
        &self,
        chosen: &Chosen,
        bus: Bus,
        engines: &Engines,
        traffic: SharedTraffic,
    ) -> Context {
        Context {
            bus,
            queue: Arc::clone(&engines.queue),
            logs: SharedLogs::clone(&engines.logs),
            source: Arc::clone(&self.source),
            builder: Arc::clone(&self.works.builder),
            registry: Arc::clone(&self.works.registry),
            runtime: Arc::clone(&self.works.runtime),
            traffic,
            settings: Settings {
                limits: BTreeMap::from([(Step::Build, chosen.work.build_timeout)]),
                builds_max: chosen.work.builds,
                lease: chosen.work.lease,
                releases_kept: chosen.work.keep_releases,
                ..Settings::new(self.builds.clone())
            },
        }
    }

    /// What an operator should know before anybody's code runs here, a line each.
    pub(crate) async fn warnings(&self) -> Vec<String> {
        match &self.works.containers {
            Some(containers) => containers::warnings(containers).await,
            None => vec![],
        }
    }

    /// What else this process stands on.
    pub(crate) fn probes(&self) -> Vec<Engine> {
        self.works.containers.iter().map(containers::probe).collect()
    }

    /// Whether instances go on when the platform stops.
    pub(crate) fn instances_survive(&self) -> bool {
        self.works.processes.is_none()
    }

    /// Stops what ends with the platform, all at once. What worked was stopped before, so nothing is started
    /// again.
    pub(crate) async fn stop_instances(&self, grace: Duration) {
        if let Some(processes) = &self.works.processes {
            processes.close(grace).await;
        }
    }
}
