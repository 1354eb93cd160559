//! What registries answer when they do not do what they are asked for, in words for the person who deploys.

use bollard::errors::Error;
use eventlog::error::BoxError;
use oci_client::errors::{OciDistributionError, OciErrorCode};

use crate::registry::RegistryError;
use crate::registry::oci::address::RegistryAddress;

/// Whether something is simply not there.
pub(super) fn is_missing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::ServerError { code, .. } => *code == 404,
        OciDistributionError::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| {
            matches!(
                error.code,
                OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound
            )
        }),
        _ => false,
    }
}

/// An answer to us.
pub(super) fn of_registry(
    address: &RegistryAddress,
    doing: &str,
    error: OciDistributionError,
) -> RegistryError {
    let refused = matches!(
        error,
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_)
    );
    let words = if refused { "unauthorized".to_owned() } else { error.to_string() };
    in_words(address, &format!("{doing} the registry"), &words, error)
}

/// An answer to the engine, as it passes it on.
pub(super) fn of_engine(address: &RegistryAddress, error: Error) -> RegistryError {
    let words = match &error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    };
    in_words(address, "push the image", &words, error)
}

fn in_words(
    address: &RegistryAddress,
    doing: &str,
    words: &str,
    source: impl Into<BoxError>,
) -> RegistryError {
    let lower = words.to_ascii_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    let (code, advice, permanent) = if has(&["no space left", "insufficient storage", "507", "quota"]) {
        ("registry_full", "it has no more room; make some, or set how long it keeps images".to_owned(), false)
    } else if has(&["name unknown", "name_unknown", "does not exist"]) && !has(&["denied"]) {
        let advice = format!("there is no repository `{address}`; make it in the registry first");
        ("repository_missing", advice, true)
    } else if has(&["denied", "unauthorized", "forbidden", "no basic auth", "authentication required", "403"])
    {
        let advice = if address.is_ecr() {
            "it does not let us in; a token of ECR is good for 12 hours (user AWS)"
        } else {
            "it does not let us in; do the user and the token of the settings still hold, and may they push?"
        };
        ("registry_denied", advice.to_owned(), true)
    } else {
        ("registry_unavailable", "it does not answer as it should; see `switchback doctor`".to_owned(), false)
    };
    let message = format!("failed to {doing} {}: {advice}", address.host());
    RegistryError { code, message, permanent, source: Some(source.into()) }
}
