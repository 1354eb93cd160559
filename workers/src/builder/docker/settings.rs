//! What an operator can choose about builds in an engine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use domain::secret::Secret;
use domain::source::image::ImageReference;

use crate::builder::docker::bases::BaseImages;
use crate::builder::docker::engine::Engine;
use crate::builder::docker::limits::BuildLimits;
use crate::builder::docker::progress::LogLimits;
use crate::builder::docker::scan::Guarded;
use crate::builder::docker::{INSTALLATION, SERVICE};
use crate::disk::Usage;

/// How much a context may hold.
const CONTEXT_MAX: Usage = Usage { bytes: 2 << 30, entries: 500_000 };
/// How large an image may be, in bytes.
const IMAGE_MAX: u64 = 8 << 30;

/// What an operator can choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where builds take place.
    pub engine: Engine,
    /// What is ours in the engine carries this.
    pub installation: String,
    /// Where the files of deployments are: `<builds>/<deployment>/app`.
    pub builds: PathBuf,
    /// What images are made of where there is no Dockerfile.
    pub bases: BaseImages,
    /// What each program of a build may use.
    pub limits: BuildLimits,
    /// How long a build may take.
    pub limit: Duration,
    /// How much it may print.
    pub log: LogLimits,
    /// How much may be sent to the engine.
    pub context: Usage,
    /// How large the image may be, in bytes.
    pub image_bytes: u64,
    /// Whether Dockerfiles may `ADD` addresses, which the engine itself fetches.
    pub remote_adds: bool,
    /// Beginnings of images' names that no build may begin with and nobody may deploy, such as those of the
    /// platform's own registry: `registry.example/services/`.
    pub guarded: Vec<String>,
    /// What builds are given besides the service's variables, as an operator's proxies and mirrors; the
    /// service's own win. Only where there is no Dockerfile.
    pub environment: BTreeMap<String, Secret>,
}

impl Settings {
    /// With everything but these at its default.
    #[must_use]
    pub fn new(engine: Engine, installation: impl Into<String>, builds: PathBuf) -> Self {
        Self {
            engine,
            installation: installation.into(),
            builds,
            bases: BaseImages::default(),
            limits: BuildLimits::default(),
            limit: Duration::from_mins(20),
            log: LogLimits::default(),
            context: CONTEXT_MAX,
            image_bytes: IMAGE_MAX,
            remote_adds: false,
            guarded: vec![],
            environment: BTreeMap::new(),
        }
    }

    /// The label that everything of this installation carries.
    pub(super) fn label(&self) -> String {
        format!("{INSTALLATION}={}", self.installation)
    }

    /// What no build may begin with: also what builds and the registry in the engine leave there.
    pub(super) fn guarded(&self) -> Guarded {
        let mut prefixes = self.guarded.clone();
        prefixes.push("docker.io/switchback/".into());
        Guarded { prefixes }
    }

    /// Whether an image is one that nobody may name.
    pub(super) fn is_guarded(&self, reference: &ImageReference) -> bool {
        let name = format!("{}/", reference.name());
        self.guarded().prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// The labels of an image.
    pub(super) fn labels(&self, service: &str, deployment: &str) -> BTreeMap<String, String> {
        [(INSTALLATION, self.installation.as_str()), (SERVICE, service), (super::DEPLOYMENT, deployment)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }
}
