//! Everything by processes on this machine.

use std::sync::Arc;

use workers::builder::process::{ProcessBuilder, Settings as BuilderSettings};
use workers::registry::local::{ARTIFACT_MAX, LocalRegistry};
use workers::runtime::process::{ProcessRuntime, Settings as RuntimeSettings};

use super::{ComposeError, Materials, Works, port, unknown};

/// Where programs are looked for when the platform's own environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What builds, keeps and runs.
pub(super) fn works(materials: Materials<'_>) -> Result<Works, ComposeError> {
    let Materials { chosen, home, environment, supervisor, .. } = materials;
    let others = [("--builder", &chosen.work.builder), ("--registry", &chosen.work.registry)];
    for (flag, url) in others {
        // What a process runs is a directory, which only a process builds.
        if let Some(url) = url.as_ref().filter(|url| !matches!(url.scheme(), "process" | "local")) {
            return Err(unknown(flag, url));
        }
    }
    let path = environment.get("PATH").cloned().unwrap_or_else(|| PATH.to_owned());
    let data = home.path();
    let limit = chosen.work.build_timeout;
    let builder = BuilderSettings { limit, ..BuilderSettings::new(data, &environment) };
    let builder = ProcessBuilder::new(builder, supervisor.clone());
    let settings = RuntimeSettings::new(home.join("instances"), path);
    let runtime = ProcessRuntime::open(settings, supervisor);
    let runtime = runtime.map_err(|error| port("what runs services")(error.into()))?;
    Ok(Works {
        builder: Arc::new(builder),
        registry: Arc::new(LocalRegistry::new(data, ARTIFACT_MAX)),
        runtime: Arc::new(runtime.clone()),
        processes: Some(runtime),
        containers: None,
    })
}
