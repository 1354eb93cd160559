//! What brings files, builds, keeps and runs: on the embedded default, all on this machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use commands::bus::Bus;
use domain::deployment::step::Step;
use domain::digest::Digest;
use eventlog::logs::SharedLogs;
use futures::stream::BoxStream;
use gateway::error::ApiError;
use gateway::upload::{SharedUploads, Uploads};
use tracing::error;
use uuid::Uuid;
use workers::builder::SharedBuilder;
use workers::builder::process::{ProcessBuilder, Settings as BuilderSettings};
use workers::context::{Context, Settings};
use workers::disk::{Reserve, Usage};
use workers::process::Supervisor;
use workers::registry::SharedRegistry;
use workers::registry::local::{ARTIFACT_MAX, LocalRegistry};
use workers::runtime::process::{ProcessRuntime, Settings as RuntimeSettings};
use workers::source::archive::{ArchiveSource, UploadError, UploadStore};
use workers::source::git::{GitSource, Settings as GitSettings};
use workers::source::{SharedSource, Sources};
use workers::traffic::SharedTraffic;

use super::{ComposeError, Engines, shown};
use crate::args::Settings as Chosen;
use crate::home::Home;

/// What an upload may hold, unpacked.
const UNPACKED_MAX: Usage = Usage { bytes: 2 << 30, entries: 100_000 };
/// Where programs are looked for when the platform's own environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What brings files, builds, keeps and runs.
pub(crate) struct Ports {
    source: SharedSource,
    builder: SharedBuilder,
    registry: SharedRegistry,
    runtime: ProcessRuntime,
    /// Takes uploads.
    pub(crate) uploads: SharedUploads,
    builds: std::path::PathBuf,
}

/// Opens what the settings name.
pub(crate) async fn ports(
    chosen: &Chosen,
    home: &Home,
    engines: &Engines,
    installation: Uuid,
) -> Result<Ports, ComposeError> {
    let (args, _) = (&chosen.work, installation);
    let known = "leave it out: on this build everything is done by processes on this machine";
    for (flag, url) in
        [("--builder", &args.builder), ("--registry", &args.registry), ("--runtime", &args.runtime)]
    {
        if let Some(url) = url.as_ref().filter(|url| !matches!(url.scheme(), "process" | "local")) {
            return Err(ComposeError::Unknown { flag, url: shown(url), known });
        }
    }
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let path = environment.get("PATH").cloned().unwrap_or_else(|| PATH.to_owned());
    let supervisor = Supervisor::new("/proc/self/exe", &home.id().to_string());
    let data = home.path();
    let reserve = Reserve::default();
    let uploads = engines.uploads.clone();
    let mut git = GitSettings::new(data, &environment);
    git.allow_file = chosen.listen.ip().is_loopback();
    let source = Sources::new(
        GitSource::new(git, supervisor.clone()),
        ArchiveSource::new(uploads.clone(), UNPACKED_MAX, reserve),
    );
    let builder = BuilderSettings { limit: args.build_timeout, ..BuilderSettings::new(data, &environment) };
    let builder = ProcessBuilder::new(builder, supervisor.clone());
    let runtime = ProcessRuntime::open(RuntimeSettings::new(home.join("instances"), path), supervisor);
    let runtime =
        runtime.map_err(|error| ComposeError::Port { part: "what runs services", source: error.into() })?;
    Ok(Ports {
        source: Arc::new(source),
        builder: Arc::new(builder),
        registry: Arc::new(LocalRegistry::new(data, ARTIFACT_MAX)),
        runtime,
        uploads: Arc::new(ReceivedUploads(uploads)),
        builds: home.join("builds"),
    })
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
            builder: Arc::clone(&self.builder),
            registry: Arc::clone(&self.registry),
            runtime: Arc::new(self.runtime.clone()),
            traffic,
            settings: Settings {
                limits: BTreeMap::from([(Step::Build, chosen.work.build_timeout)]),
                builds_max: chosen.work.builds,
                ..Settings::new(self.builds.clone())
            },
        }
    }

    /// Whether instances go on when the platform stops.
    pub(crate) fn instances_survive(&self) -> bool {
        false
    }

    /// Stops whatever runs, all at once. What worked was stopped before, so nothing is started again.
    pub(crate) async fn stop_instances(&self, grace: Duration) {
        self.runtime.close(grace).await;
    }
}

/// The workers' store of uploads, as the gateway's port.
struct ReceivedUploads(UploadStore);

#[async_trait]
impl Uploads for ReceivedUploads {
    async fn receive(
        &self,
        body: BoxStream<'static, Result<Bytes, axum::Error>>,
    ) -> Result<Digest, ApiError> {
        self.0.receive(body).await.map_err(|refused| match &refused {
            UploadError::TooLarge(_) => ApiError::too_large("upload_too_large", refused.to_string()),
            UploadError::NotAnArchive | UploadError::Interrupted(_) => {
                ApiError::upload_invalid(refused.to_string())
            }
            UploadError::DiskFull(_) | UploadError::Full => ApiError::disk_full(refused.to_string()),
            UploadError::Store(_) => {
                let source: &(dyn std::error::Error + 'static) = &refused;
                error!(error = source, "an upload could not be kept");
                ApiError::internal()
            }
        })
    }
}
