//! `deploy`: finds out what is meant, packs it when it is here, makes what is missing, and follows the
//! deployment.

mod missing;
mod packed;

use std::env;
use std::path::PathBuf;

use domain::source::RepositoryUrl;
use domain::source::image::ImageReference;
use reqwest::Method;
use serde_json::{Map, Value, json};

use self::packed::Packed;
use crate::args::deployment::Deploy;
use crate::client::failure::{Exit, Failure};
use crate::client::follow::conclude;
use crate::client::http::ApiError;
use crate::client::model::Deployment;
use crate::client::session::Session;
use crate::client::source::{Named, classify};
use crate::client::target::{Place, SERVICE_DEFAULT, Target, project_name};
use crate::ui::progress::Progress;

/// What is deployed, ready to be sent.
enum Prepared {
    Repository(RepositoryUrl),
    Files(Packed),
    Image(ImageReference),
}

/// Runs `deploy`.
///
/// # Errors
/// When the source makes no sense, the server refuses, or the deployment fails.
pub(crate) async fn run(session: &mut Session, deploy: Deploy) -> Result<(), Failure> {
    let here = env::current_dir().map_err(|error| {
        Failure::new(Exit::Failed, "find the directory you are in").because(error.to_string())
    })?;
    let named = classify(&deploy.source, &here)?;
    aim(session, &named)?;
    let prepared = match named {
        Named::Repository(url) => Prepared::Repository(url),
        Named::Directory(directory) => Prepared::Files(pack(session, directory, &deploy).await?),
        Named::Image(reference) if deploy.reference.is_some() => {
            let what = format!("--ref is for repositories, and {reference} is an image");
            return Err(Failure::usage(what).try_next("name another tag of the image"));
        }
        Named::Image(reference) => Prepared::Image(reference),
    };
    let place = missing::make(session, wanted(session, &prepared)).await?;
    let source = match &prepared {
        Prepared::Repository(url) => {
            json!({"kind": "repository", "url": url, "reference": deploy.reference})
        }
        Prepared::Files(packed) => packed.send(session, &place).await?,
        Prepared::Image(reference) => json!({"kind": "image", "reference": reference}),
    };
    let body = json!({"source": without_nulls(source), "fresh": deploy.fresh});
    let answer = session.api.command(Method::POST, &place.path(&["deployments"]), Some(&body)).await?;
    let deployment: Deployment = answer.read()?;
    conclude(session, &place, &deployment.id, deploy.following, &Map::new()).await
}

/// A directory's own `switchback.toml` and name count, not those of the directory that the command runs in.
fn aim(session: &mut Session, named: &Named) -> Result<(), Failure> {
    match named {
        Named::Directory(directory) => {
            session.target = Target::find(&session.global, Some(directory))?;
        }
        Named::Repository(url) => session.target.guessed_project = project_name(url.stem()),
        Named::Image(reference) => session.target.guessed_project = project_name(reference.stem()),
    }
    Ok(())
}

/// Where it shall go, as far as is known before the server is asked.
fn wanted(session: &Session, prepared: &Prepared) -> missing::Wanted {
    let Target { project, guessed_project, environment, service } = &session.target;
    missing::Wanted {
        is_project_named: project.is_some(),
        is_service_named: service.is_some(),
        place: Place {
            project: project.clone().or(guessed_project.clone()).unwrap_or_else(|| "my-project".to_owned()),
            environment: environment.clone(),
            service: service.clone().unwrap_or_else(|| SERVICE_DEFAULT.to_owned()),
        },
        what: match prepared {
            Prepared::Repository(url) => url.to_string(),
            Prepared::Files(packed) => packed.what.clone(),
            Prepared::Image(reference) => format!("the image {reference}"),
        },
    }
}

async fn pack(session: &Session, directory: PathBuf, deploy: &Deploy) -> Result<Packed, Failure> {
    let reference = deploy.reference.clone();
    let progress = Progress::waiting(&session.ui);
    progress.message("packing".to_owned());
    let packing = tokio::task::spawn_blocking(move || Packed::pack(&directory, reference.as_ref()));
    let packed = packing.await.map_err(|error| Failure::of(Exit::Failed, &error))??;
    drop(progress);
    packed.warn(&session.ui);
    Ok(packed)
}

/// A field that is not said is left out.
fn without_nulls(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    value
}

/// Whether an error says that something of that name is not there.
fn is_missing(error: &ApiError, code: &str) -> bool {
    error.code() == Some(code)
}
