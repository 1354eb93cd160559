//! Deployments: asked for, shown, cancelled.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use commands::bus::Outcome;
use commands::policy::Action;
use domain::id::DeploymentId;
use domain::service::release::ReleaseNumber;
use domain::source::{Revision, Source};
use eventlog::logs::LogName;
use projections::deployment::{self, Deployment, Trigger};
use projections::{service, timeline};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::actor::Caller;
use crate::answer::Answer;
use crate::app::App;
use crate::error::{ApiError, rejected};
use crate::given::{Given, Nothing};
use crate::logs::{self, LogParams};
use crate::params::{At, PageParams, Params, page};
use crate::resolve::OnService;

/// What is to be deployed: files, or what a release ran.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDeployment {
    source: Option<SourceBody>,
    #[serde(default)]
    fresh: bool,
    /// `"v3"`; null for the current one.
    #[serde(default, deserialize_with = "given")]
    release: Option<Option<String>>,
}

/// Tells a field that is null from one that is not there.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Where files come from. Texts are read by the domain's rules, so that what is wrong with them is said in
/// its words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "kind")]
enum SourceBody {
    Repository { url: String, reference: Option<String> },
    Upload { digest: String, revision: Option<Revision> },
    Image { reference: String },
}

impl SourceBody {
    fn read(self, app: &App) -> Result<Source, ApiError> {
        match self {
            Self::Repository { url, reference } => {
                let url: domain::source::RepositoryUrl = url.parse().map_err(|invalid| rejected(&invalid))?;
                if url.protocol() == "file" && !app.settings.local_repositories {
                    let message = "repositories on the server's own disk are not allowed here; push it to a \
                                   git server, or deploy the directory";
                    return Err(ApiError::body_invalid("source.url", message));
                }
                let reference = reference.map(|reference| reference.parse()).transpose();
                Ok(Source::Repository { url, reference: reference.map_err(|invalid| rejected(&invalid))? })
            }
            Self::Upload { digest, revision } => {
                let digest = digest.parse().map_err(|invalid: domain::digest::InvalidDigest| {
                    ApiError::body_invalid("source.digest", invalid.to_string())
                })?;
                let revision = revision.map(|revision| Revision {
                    subject: revision.subject.chars().take(domain::source::MAX_SUBJECT_LENGTH).collect(),
                    ..revision
                });
                Ok(Source::Upload { digest, revision })
            }
            Self::Image { reference } => {
                let parsed = reference.parse();
                let reference =
                    parsed.map_err(|invalid: domain::source::image::InvalidImage| rejected(&invalid))?;
                Ok(Source::Image { reference })
            }
        }
    }
}

impl App {
    /// A deployment as the API shows it.
    pub(crate) async fn deployment_view(
        &self,
        deployment: &Deployment,
        caller: &Caller,
    ) -> Result<Value, ApiError> {
        let service = service::get(&self.reads, caller.organization(), deployment.service).await?;
        let (reference, source) = match &deployment.source {
            Some(Source::Repository { url, reference }) => (reference.as_ref(), Some(url.to_string())),
            Some(Source::Upload { digest, .. }) => (None, Some(format!("upload {}", digest.short()))),
            Some(Source::Image { reference }) => (None, Some(reference.to_string())),
            None => (None, None),
        };
        let waits_for = service
            .as_ref()
            .filter(|service| service.waiting == Some(deployment.id))
            .and_then(|service| service.turn);
        Ok(json!({
            "id": deployment.id,
            "service": deployment.service,
            "service_name": deployment.service_name,
            "environment": deployment.environment_name,
            "project": deployment.project_name,
            "status": deployment.status.as_str(),
            "trigger": trigger_words(&deployment.trigger),
            "source": source,
            "reference": reference,
            "revision": deployment.revision,
            "release": deployment.release.map(|release| release.to_string()),
            "image": deployment.image,
            "url": service.map(|service| self.settings.url(service.hostname.as_str())),
            "step": deployment.step,
            "failure": deployment.failure.as_ref().map(|failure| json!({
                "step": failure.step, "code": failure.code, "message": failure.message,
            })),
            "requested_by": deployment.who,
            "waits_for": waits_for,
            "superseded_by": deployment.superseded_by,
            "created_at": deployment.created_at,
            "started_at": deployment.started_at,
            "finished_at": deployment.finished_at,
            "duration_ms": deployment.duration_ms,
        }))
    }
}

impl App {
    /// The answer to a change of configuration: the deployment that carries it out, when one does.
    pub(crate) async fn carried_out(
        &self,
        caller: &Caller,
        deployment: Option<DeploymentId>,
        outcome: &Outcome,
    ) -> Result<Answer, ApiError> {
        let view = match deployment {
            Some(id) => {
                self.reached(outcome.position).await?;
                let found = self.deployment(caller.organization(), &id.to_string()).await?;
                Some(self.deployment_view(&found, caller).await?)
            }
            None => None,
        };
        let answer = json!({ "deployment": view, "changed": outcome.changed });
        Ok(Answer::accepted(&answer, outcome.position))
    }
}

pub(crate) fn trigger_words(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Deploy => "deploy".into(),
        Trigger::Variables => "variables".into(),
        Trigger::Scale => "scale".into(),
        Trigger::Restart => "restart".into(),
        Trigger::Redeploy { release } => format!("redeploy of {release}"),
        Trigger::Rollback { to, .. } => format!("rollback to {to}"),
    }
}

/// Asks for a deployment.
pub(crate) async fn create(
    State(app): State<App>,
    At(path): At<OnService>,
    command: Given<NewDeployment>,
) -> Result<Answer, ApiError> {
    let organization = command.caller.organization();
    let service = app.service_id(organization, &path).await?;
    let (request, body) = (&command.request, command.body);
    let (id, outcome) = match (body.source, body.release) {
        (Some(source), None) => {
            let source = source.read(&app)?;
            app.bus.deploy(request, organization, service, source, body.fresh).await?
        }
        (None, Some(release)) => {
            let release = release.map(|text| text.parse::<ReleaseNumber>()).transpose();
            let release =
                release.map_err(|invalid| ApiError::body_invalid("release", invalid.to_string()))?;
            app.bus.redeploy(request, organization, service, release).await?
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = "say either `source` (files to be built) or `release` (what ran before)";
            return Err(ApiError::body_invalid("source", message));
        }
    };
    app.reached(outcome.position).await?;
    let made = app.deployment(organization, &id.to_string()).await?;
    Ok(Answer::accepted(&app.deployment_view(&made, &command.caller).await?, outcome.position))
}

/// Lists a service's deployments, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    At(path): At<OnService>,
    Params(params): Params<PageParams>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let service = app.service(caller.organization(), &path).await?;
    let wanted = page(params.limit, params.cursor.as_deref())?;
    let filter = deployment::Filter { service: Some(service.id), ..deployment::Filter::default() };
    let listed = deployment::list(&app.reads, caller.organization(), &filter, &wanted).await?;
    let mut views = vec![];
    for deployment in &listed.items {
        views.push(app.deployment_view(deployment, &caller).await?);
    }
    Ok(Answer::ok(&views).page(listed.next, listed.limit))
}

/// Shows a deployment with its steps.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    At(id): At<String>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let deployment = app.deployment(caller.organization(), &id).await?;
    let mut view = app.deployment_view(&deployment, &caller).await?;
    let steps = timeline::of(&app.reads, caller.organization(), deployment.id).await?;
    if let Value::Object(view) = &mut view {
        view.insert("steps".into(), json!(steps));
    }
    Ok(Answer::ok(&view))
}

/// Stops a deployment.
pub(crate) async fn cancel(
    State(app): State<App>,
    At(id): At<String>,
    given: Given<Nothing>,
) -> Result<Answer, ApiError> {
    let organization = given.caller.organization();
    let deployment = app.deployment(organization, &id).await?;
    let outcome = app.bus.cancel(&given.request, organization, deployment.service, deployment.id).await?;
    app.reached(outcome.position).await?;
    let now = app.deployment(organization, &id).await?;
    Ok(Answer::accepted(&app.deployment_view(&now, &given.caller).await?, outcome.position))
}

/// What a deployment's steps print.
pub(crate) async fn log(
    State(app): State<App>,
    caller: Caller,
    At(id): At<String>,
    Params(params): Params<LogParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.may(Action::Read)?;
    let deployment = app.deployment(caller.organization(), &id).await?;
    if params.follow {
        let after = logs::last_event_id(&headers).or(params.after).unwrap_or(0);
        return Ok(logs::follow_deployment(app, caller, deployment, after).into_response());
    }
    Ok(logs::read(&app, LogName::Build(deployment.id), &params).await?.into_response())
}
