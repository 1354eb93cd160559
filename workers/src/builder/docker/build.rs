//! One build: what is sent, who listens, and what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::query_parameters::RemoveImageOptionsBuilder;
use domain::plan::Plan;
use domain::secret::Secret;
use sha2::{Digest, Sha256};

use crate::builder::docker::context::{Context, ContextError, Written};
use crate::builder::docker::generate::{self, FILES, FIRST};
use crate::builder::docker::ignored::Ignored;
use crate::builder::docker::limits::Keeper;
use crate::builder::docker::outcome;
use crate::builder::docker::progress::Progress;
use crate::builder::docker::request::{self, BuildCallError, Order, Report};
use crate::builder::docker::scan::{self, Rules, Scanned};
use crate::builder::docker::session::Session;
use crate::builder::docker::settings::Settings;
use crate::builder::docker::{REVISION, away, body, failed, refused, tag};
use crate::builder::tree::Tree;
use crate::builder::{BuildError, BuildRequest};
use crate::disk::Size;
use crate::output::{Mask, Output};

/// How often a build is begun when the engine goes away in the middle of it.
const ATTEMPTS: u32 = 3;
/// How long an engine that went away has to come back.
const AWAY_MAX: Duration = Duration::from_mins(1);
/// How often it is looked for.
const AWAY_PAUSE: Duration = Duration::from_millis(250);
/// The name of a Dockerfile of ours in its archive, which has the service's files below.
const OURS: &str = "Dockerfile";

/// One build.
pub(super) struct Build<'a> {
    settings: &'a Settings,
    request: &'a BuildRequest,
    plan: &'a Plan,
    mask: Mask,
    output: Output,
}

/// Everything that a build is begun with, as often as that is.
struct Prepared {
    context: Context,
    order: Order,
    secrets: BTreeMap<String, Secret>,
    names: Vec<(String, String)>,
}

/// Looks at a plan's Dockerfile.
pub(super) async fn look(
    settings: &Settings,
    request: &BuildRequest,
    plan: &Plan,
) -> Result<Scanned, BuildError> {
    let (settings, directory, plan) = (settings.clone(), request.directory.clone(), plan.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let tree = open(&directory)?.within(&plan.root).ok_or_else(|| gone(&plan.root))?;
        scanned(&settings, &tree, &plan)
    });
    looking.await.unwrap_or_else(|error| Err(failed("look at the Dockerfile", error)))
}

fn open(directory: &std::path::Path) -> Result<Tree, BuildError> {
    Tree::open(directory).map_err(|error| failed("read the files", error))
}

fn gone(path: &str) -> BuildError {
    refused("manifest_invalid", format!("the root `{path}` is no directory of the repository"))
}

fn scanned(settings: &Settings, tree: &Tree, plan: &Plan) -> Result<Scanned, BuildError> {
    let Some(dockerfile) = &plan.dockerfile else { return Ok(Scanned::default()) };
    let path = &dockerfile.path;
    let text = tree.text(path).ok_or_else(|| {
        let message = format!("there is no Dockerfile `{path}`, or it is no plain file, or far too large");
        refused("dockerfile_missing", message)
    })?;
    let guarded = settings.guarded();
    let rules =
        Rules { remote_adds: settings.remote_adds, guarded: &guarded, arguments: &dockerfile.arguments };
    scan::scan(text.as_bytes(), &rules)
        .map_err(|error| refused("dockerfile_refused", format!("{path}, {error}")))
}

impl<'a> Build<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        request: &'a BuildRequest,
        plan: &'a Plan,
        output: &Output,
    ) -> Self {
        let mask = Mask::new(request.variables.values().map(Secret::reveal));
        Self { settings, request, plan, output: output.masked(mask.clone()), mask }
    }

    pub(super) async fn run(&self) -> Result<(), BuildError> {
        let prepared = self.prepare().await?;
        let _limits = Keeper::begin(self.settings.limits, prepared.order.host.clone());
        for attempt in 1.. {
            match self.attempt(&prepared).await {
                Ok(()) => break,
                Err(Ended::Failed(error)) => return Err(error),
                Err(Ended::Lost(error)) if attempt < ATTEMPTS => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the engine went away in a build"
                    );
                    self.output.say("the Docker Engine went away; beginning again when it is back").await;
                    self.until_back().await?;
                }
                Err(Ended::Lost(error)) => return Err(away("finish the build", error)),
            }
        }
        self.check_size().await
    }

    async fn prepare(&self) -> Result<Prepared, BuildError> {
        let (settings, request, plan) = (self.settings.clone(), self.request.clone(), self.plan.clone());
        let preparing = tokio::task::spawn_blocking(move || match &plan.dockerfile {
            Some(_) => by_dockerfile(&settings, &request, &plan),
            None => by_plan(&settings, &request, &plan),
        });
        preparing.await.unwrap_or_else(|error| Err(failed("prepare the build", error)))
    }

    async fn attempt(&self, prepared: &Prepared) -> Result<(), Ended> {
        let engine = &self.settings.engine;
        let session = Session::open(engine, prepared.secrets.clone()).await;
        let session = session.map_err(|error| Ended::Lost(BuildCallError::Lost(error)))?;
        let order = Order { session: session.id.clone(), ..prepared.order.clone() };
        let (mut pipe, body) = body::pipe();
        let context = prepared.context.clone();
        let writing = tokio::task::spawn_blocking(move || match context.write(&mut pipe) {
            Ok(written) => pipe.finish().map(|()| written).map_err(ContextError::from),
            Err(error) => {
                pipe.abort();
                Err(error)
            }
        });
        let names = prepared.names.clone();
        let mut progress = Progress::new(self.output.clone(), names, self.settings.log);
        let built = self.follow(&order, body, &mut progress).await;
        let written = writing.await.map_err(|error| Ended::Failed(failed("send the files", error)))?;
        match (built, written) {
            (Ok(()), Ok(written)) => {
                self.say_what_was_left_out(&written).await;
                Ok(())
            }
            // Why the context ended early says more than what the engine makes of half of it.
            (_, Err(ContextError::TooLarge(limit))) => {
                let message = format!(
                    "the files of the deployment are more than {} or {} in number; name what the build does \
                     not need in .dockerignore, or have an operator raise the limit",
                    Size(limit.bytes),
                    limit.entries
                );
                Err(Ended::Failed(refused("context_too_large", message)))
            }
            (Err(ended), _) => Err(ended),
            (Ok(()), Err(error)) => Err(Ended::Failed(failed("send the files", error))),
        }
    }

    async fn follow(&self, order: &Order, body: body::Body, progress: &mut Progress) -> Result<(), Ended> {
        let begun = request::begin(&self.settings.engine, order, body).await;
        let mut reports = begun.map_err(|error| self.ended(error))?;
        loop {
            match reports.next().await.map_err(|error| self.ended(error))? {
                Some(Report::Status(status)) => progress.show(*status).await,
                Some(Report::Failed(why)) => {
                    if outcome::is_shutdown(&why) {
                        return Err(Ended::Lost(BuildCallError::Refused(why)));
                    }
                    let limits = &self.settings.limits;
                    return Err(Ended::Failed(outcome::of_failure(
                        &why,
                        progress.failed(),
                        &self.mask,
                        limits,
                    )));
                }
                None => return Ok(()),
            }
        }
    }

    fn ended(&self, error: BuildCallError) -> Ended {
        match error {
            lost @ BuildCallError::Lost(_) => Ended::Lost(lost),
            BuildCallError::Refused(why) => {
                Ended::Failed(outcome::of_failure(&why, None, &self.mask, &self.settings.limits))
            }
        }
    }

    async fn say_what_was_left_out(&self, written: &Written) {
        if let Some(first) = written.links_left_out.first() {
            let number = written.links_left_out.len();
            let line =
                format!("left out, as they lead out of the repository: {number} links, such as {first}");
            self.output.say(line).await;
        }
    }

    async fn until_back(&self) -> Result<(), BuildError> {
        let coming = async {
            while let Err(error) = self.settings.engine.connect().await {
                tracing::debug!(error = &error as &dyn std::error::Error, "the engine is still away");
                tokio::time::sleep(AWAY_PAUSE).await;
            }
        };
        let come = tokio::time::timeout(AWAY_MAX, coming).await;
        come.map_err(|elapsed| away("finish the build", elapsed))
    }

    /// One that is too large is not left in the engine.
    async fn check_size(&self) -> Result<(), BuildError> {
        let docker = self.settings.engine.client().await.map_err(|error| away("look at the image", error))?;
        let name = tag(self.request.deployment);
        let image = docker.inspect_image(&name).await.map_err(|error| away("look at the image", error))?;
        let bytes = u64::try_from(image.size.unwrap_or_default()).unwrap_or_default();
        if bytes <= self.settings.image_bytes {
            self.output.say(format!("an image of {}", Size(bytes))).await;
            return Ok(());
        }
        let options = RemoveImageOptionsBuilder::default().build();
        if let Err(error) = docker.remove_image(&name, Some(options), None).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "an image that is too large stays");
        }
        let message = format!(
            "the image has {}, more than the {} it may have; build in one stage and copy only what runs into \
             another, or have an operator raise the limit",
            Size(bytes),
            Size(self.settings.image_bytes)
        );
        Err(refused("image_too_large", message))
    }
}

/// How an attempt ended without an image.
enum Ended {
    /// The engine went away.
    Lost(BuildCallError),
    /// The build failed.
    Failed(BuildError),
}

fn order(settings: &Settings, request: &BuildRequest, secrets: &BTreeMap<String, Secret>) -> Order {
    let service = request.service.to_string();
    let mut labels = settings.labels(&service, &request.deployment.to_string());
    if let Some(revision) = &request.revision {
        labels.insert(REVISION.into(), revision.id.to_string());
    }
    Order {
        dockerfile: OURS.into(),
        tag: tag(request.deployment),
        arguments: BTreeMap::from([("BUILDKIT_CACHE_MOUNT_NS".to_owned(), service.clone())]),
        labels,
        host: scope(&service, secrets),
        fresh: request.fresh,
        ..Order::default()
    }
}

/// A name that only builds of the service with the same secrets have. BuildKit takes what a `RUN` came to out
/// of its cache without a look at the secrets it mounts, so that one service would be given what another got
/// with its token; but the hosts file is part of what it compares.
fn scope(service: &str, secrets: &BTreeMap<String, Secret>) -> String {
    let mut hash = Sha256::new();
    for part in [service].into_iter().chain(secrets.iter().flat_map(|(name, value)| [name, value.reveal()])) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("build-{}.switchback.invalid", &hex::encode(hash.finalize())[..40])
}

fn context(settings: &Settings, directory: PathBuf) -> Context {
    Context {
        directory,
        prefix: String::new(),
        ignored: Ignored::default(),
        without: vec![],
        given: vec![],
        first: None,
        limit: settings.context,
    }
}

fn by_dockerfile(settings: &Settings, request: &BuildRequest, plan: &Plan) -> Result<Prepared, BuildError> {
    let tree = open(&request.directory)?.within(&plan.root).ok_or_else(|| gone(&plan.root))?;
    let text = scanned(settings, &tree, plan)?.text;
    let Some(dockerfile) = &plan.dockerfile else { return Err(gone(&plan.root)) };
    let mut secrets = BTreeMap::new();
    for name in &dockerfile.secrets {
        let value = request.variables.get(name.as_str()).ok_or_else(|| {
            let message = format!(
                "`secrets` names the variable {name}, which the service does not have; set it with \
                 `switchback variables set {name}=…`"
            );
            refused("secret_missing", message)
        })?;
        secrets.insert(name.to_string(), value.clone());
    }
    let specific = tree.text(&format!("{}.dockerignore", dockerfile.path));
    let ignored = specific.or_else(|| tree.text(".dockerignore")).unwrap_or_default();
    let mut order = order(settings, request, &secrets);
    order.dockerfile.clone_from(&dockerfile.path);
    order.target.clone_from(&dockerfile.target);
    order.arguments.extend(dockerfile.arguments.clone());
    let context = Context {
        ignored: Ignored::parse(&ignored),
        // The very text that was looked at.
        given: vec![(dockerfile.path.clone(), text.into_bytes())],
        ..context(settings, request.directory.join(&plan.root))
    };
    Ok(Prepared { context, order, secrets, names: vec![] })
}

fn by_plan(settings: &Settings, request: &BuildRequest, plan: &Plan) -> Result<Prepared, BuildError> {
    let tree = open(&request.directory)?;
    let mut variables = settings.environment.clone();
    variables.extend(request.variables.clone());
    let generated = generate::generate(plan, &settings.bases, &variables, &tree)?;
    let ignored = tree.text(".dockerignore").unwrap_or_default();
    let context = Context {
        prefix: FILES.into(),
        ignored: Ignored::parse(&ignored),
        without: vec![".git"],
        given: vec![(OURS.into(), generated.text.into_bytes())],
        first: (!generated.first.is_empty()).then(|| (FIRST.to_owned(), generated.first)),
        ..context(settings, request.directory.clone())
    };
    let order = order(settings, request, &generated.secrets);
    Ok(Prepared { context, order, secrets: generated.secrets, names: generated.names })
}
