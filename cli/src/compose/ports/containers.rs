//! A Docker Engine builds and runs; a registry, or the engine itself, keeps the images.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::secret::Secret;
use futures::FutureExt;
use gateway::engine::{Engine as Asked, Probe};
use url::Url;
use workers::builder::docker::{BaseImages, BuildLimits, DockerBuilder, Engine, Settings as BuilderSettings};
use workers::registry::SharedRegistry;
use workers::registry::engine::EngineRegistry;
use workers::registry::oci::{Credentials, OciRegistry, RegistryAddress};
use workers::runtime::docker::{DockerRuntime, Login, Settings as RuntimeSettings};

use super::{ComposeError, Materials, Works, port, unknown};
use crate::args::Settings as Chosen;

/// How long the engine has to say what it is.
const WARNINGS_LIMIT: Duration = Duration::from_secs(10);
/// Where the engine is asked unless an address says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
/// Variables of the platform that builds get as well: a proxy is the only way out of some networks.
const PASSED: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// Whether an address is that of a Docker Engine.
pub(crate) fn is_docker(url: &Url) -> bool {
    matches!(url.scheme(), "docker" | "unix")
}

/// The address of an engine, in the one form that all parts know.
fn socket(url: &Url) -> String {
    let path = if url.path().is_empty() { SOCKET } else { url.path() };
    format!("unix://{path}")
}

/// What builds, keeps and runs.
pub(super) fn works(materials: &Materials<'_>, url: &Url) -> Result<Works, ComposeError> {
    let Materials { chosen, home, installation, .. } = materials;
    let builder_url = chosen.work.builder.as_ref().unwrap_or(url);
    if !is_docker(builder_url) {
        return Err(unknown("--builder", builder_url));
    }
    let engine = engine(builder_url)?;
    let address = registry_address(chosen)?;
    let mut settings = RuntimeSettings::new(socket(url), *installation);
    settings.logins = logins(address.as_ref(), chosen)?;
    let runtime =
        DockerRuntime::connect(settings).map_err(|error| port("what runs services")(error.into()))?;
    let mut building = BuilderSettings::new(engine.clone(), installation.to_string(), home.join("builds"));
    building.limit = chosen.work.build_timeout;
    building.guarded = address.iter().map(RegistryAddress::guarded).collect();
    building.environment = passed(&materials.environment);
    set_bases(&mut building.bases, chosen)?;
    let registry: SharedRegistry = match address {
        None => Arc::new(EngineRegistry::new(engine, installation.to_string())),
        Some(address) => {
            let registry = OciRegistry::new(address, engine, installation.to_string());
            Arc::new(registry.map_err(|error| port("what keeps images")(error.into()))?)
        }
    };
    Ok(Works {
        builder: Arc::new(DockerBuilder::new(building)),
        registry,
        runtime: Arc::new(runtime.clone()),
        processes: None,
        containers: Some(runtime),
    })
}

/// What an operator should know of the engine.
pub(super) async fn warnings(runtime: &DockerRuntime) -> Vec<String> {
    let mut warnings = match tokio::time::timeout(WARNINGS_LIMIT, runtime.warnings()).await {
        Ok(Ok(warnings)) => warnings,
        Ok(Err(error)) => vec![error.to_string()],
        Err(_) => vec!["the Docker Engine does not answer; builds and instances wait for it".into()],
    };
    if !BuildLimits::can_be_set() {
        let root = "builds have no limit of memory, processors and processes: that takes root on the \
                    engine's machine";
        warnings.push(root.into());
    }
    warnings
}

/// Whether the engine answers.
pub(super) fn probe(runtime: &DockerRuntime) -> Asked {
    let runtime = runtime.clone();
    let probe: Probe = Arc::new(move || {
        let runtime = runtime.clone();
        async move { runtime.ping().await.map_err(|error| error.to_string()) }.boxed()
    });
    Asked { name: "runtime", kind: "docker", probe }
}

fn engine(url: &Url) -> Result<Engine, ComposeError> {
    Engine::at(&socket(url)).map_err(|error| port("what builds")(error.into()))
}

fn passed(environment: &BTreeMap<String, String>) -> BTreeMap<String, Secret> {
    let given = |name: &&str| environment.get(*name).map(|value| ((*name).to_owned(), Secret::new(value)));
    PASSED.iter().filter_map(given).collect()
}

fn set_bases(bases: &mut BaseImages, chosen: &Chosen) -> Result<(), ComposeError> {
    for text in &chosen.work.base_image {
        bases
            .set(text)
            .map_err(|error| ComposeError::Setting { flag: "--base-image", source: error.into() })?;
    }
    Ok(())
}

/// The registry, unless the engine keeps the images.
fn registry_address(chosen: &Chosen) -> Result<Option<RegistryAddress>, ComposeError> {
    let Some(url) = chosen.work.registry.as_ref().filter(|url| !is_docker(url)) else { return Ok(None) };
    let credentials = match &chosen.work.registry_credentials {
        Some(file) => Some(credentials(file)?),
        None => None,
    };
    let text = url.as_str();
    let text = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .map_or_else(|| text.to_owned(), |rest| format!("oci://{rest}"));
    let address = RegistryAddress::parse(&text, credentials);
    address.map(Some).map_err(|error| ComposeError::Setting { flag: "--registry", source: error.into() })
}

/// `user:password` on the one line of a file.
fn credentials(file: &Path) -> Result<Credentials, ComposeError> {
    let refused = |source| ComposeError::Setting { flag: "--registry-credentials", source };
    let text = fs::read_to_string(file)
        .map_err(|error| refused(format!("{} cannot be read: {error}", file.display()).into()))?;
    let (user, token) = text
        .trim()
        .split_once(':')
        .ok_or_else(|| refused(format!("{} has no line with user:password", file.display()).into()))?;
    Ok(Credentials { user: user.to_owned(), token: Secret::new(token) })
}

/// Who fetches the images that are run.
fn logins(
    address: Option<&RegistryAddress>,
    chosen: &Chosen,
) -> Result<BTreeMap<String, Login>, ComposeError> {
    let (Some(address), Some(file)) = (address, &chosen.work.registry_credentials) else {
        return Ok(BTreeMap::new());
    };
    let Credentials { user, token } = credentials(file)?;
    Ok([(address.host().to_owned(), Login { user, password: token })].into())
}

/// What an engine is, and what an operator should know of it.
pub(crate) async fn look_at_engine(url: &Url) -> Result<(String, Vec<String>), ComposeError> {
    let failed = port("the Docker Engine");
    let engine = engine(url)?;
    let version = match engine.client().await {
        Ok(client) => client.version().await,
        Err(error) => Err(error),
    };
    let version = version.map_err(|error| failed(error.into()))?;
    let runtime = DockerRuntime::connect(RuntimeSettings::new(socket(url), uuid::Uuid::nil()));
    let runtime = runtime.map_err(|error| failed(error.into()))?;
    let warnings = runtime.warnings().await.map_err(|error| failed(error.into()))?;
    Ok((format!("Docker Engine {} at {}", version.version.unwrap_or_default(), socket(url)), warnings))
}

/// Asks the registry whether it lets us in.
pub(crate) async fn look_at_registry(chosen: &Chosen) -> Result<String, ComposeError> {
    let Some(address) = registry_address(chosen)? else {
        return Ok("images are kept in the engine itself".into());
    };
    let docker = Url::parse("docker:").expect("it is an address");
    let url = chosen.work.builder.as_ref().or(chosen.work.runtime.as_ref()).unwrap_or(&docker);
    let failed = port("the registry");
    let shown = address.to_string();
    let registry =
        OciRegistry::new(address, engine(url)?, String::new()).map_err(|error| failed(error.into()))?;
    registry.check().await.map_err(|error| failed(error.into()))?;
    Ok(format!("{shown} answers and lets us in"))
}
