//! The connection string: what it means to the client, and how it is shown.

use std::path::Path;

use eventstore::ClientSettings;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::BoxError;
use crate::kurrentdb::ConnectError;

/// The client sleeps for so long before its first attempt too.
const DISCOVERY: (&str, &str) = ("discoveryInterval", "100");
/// What the server's newer clients say, and what this one does.
const SCHEMES: [(&str, &str); 3] =
    [("kurrentdb+discover://", "esdb+discover://"), ("kurrentdb://", "esdb://"), ("kdb://", "esdb://")];

/// The settings that a connection string says, with files that are there.
///
/// # Errors
/// [`ConnectError::Setting`] and [`ConnectError::File`].
pub(super) fn parse(url: &str) -> Result<ClientSettings, ConnectError> {
    let settings = with_defaults(url).parse::<ClientSettings>().map_err(|error| {
        // An error of the URL as a whole has all of it in it, with the password.
        let message =
            if error.error().is_some() || error.message().contains('@') { "" } else { error.message() };
        let (what, value) = ("connection string of KurrentDB (esdb://host:port)", without_secrets(url));
        ConnectError::Setting { what, value, problem: message.to_owned() }
    })?;
    check_files(&settings)?;
    Ok(settings)
}

fn with_defaults(url: &str) -> String {
    let mut url = url.trim().to_owned();
    for (newer, known) in SCHEMES {
        if let Some(rest) = url.strip_prefix(newer) {
            url = format!("{known}{rest}");
        }
    }
    let (name, value) = DISCOVERY;
    if url.to_ascii_lowercase().contains(&name.to_ascii_lowercase()) {
        return url;
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{name}={value}")
}

/// The client panics on what is no certificate.
fn check_files(settings: &ClientSettings) -> Result<(), ConnectError> {
    if let Some(path) = settings.tls_ca_file() {
        certificates(path).map_err(|source| ConnectError::File { path: path.into(), source })?;
    }
    if let Some((certificate, key)) = settings.user_certificate() {
        certificates(certificate)
            .map_err(|source| ConnectError::File { path: certificate.into(), source })?;
        PrivateKeyDer::from_pem_file(key)
            .map_err(|source| ConnectError::File { path: key.into(), source: source.into() })?;
    }
    Ok(())
}

fn certificates(path: impl AsRef<Path>) -> Result<(), BoxError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err("there is no certificate in it".into()) } else { Ok(()) }
}

/// A connection string without what stands before an `@` in it.
pub(super) fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        (None, Some((_, host))) => format!("***@{host}"),
        (_, None) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kurrentdb::Settings;

    #[test]
    fn newer_schemes_mean_the_same_and_what_was_given_stays() {
        let short = |url: &str| with_defaults(url).replace("discoveryInterval=100", "*");
        assert_eq!(short("kurrentdb://h:2113?tls=false"), "esdb://h:2113?tls=false&*");
        assert_eq!(short("kurrentdb+discover://h"), "esdb+discover://h?*");
        assert_eq!(short("esdb://h?discoveryinterval=7"), "esdb://h?discoveryinterval=7");
        assert!(parse("kdb://a:1,b:2").is_ok_and(|settings| settings.hosts().len() == 2));
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let url = "esdb://me:p%40ss@one:2113?tls=false";
        assert_eq!(without_secrets(url), "esdb://***@one:2113?tls=false");
        assert!(!format!("{:?}", Settings::new(url)).contains("p%40ss"));
        for wrong in
            ["esdb://me:secret@one:port", "nats://me:secret@one", "esdb://me:secret@a:1,b:c", "me:secret@"]
        {
            let error = parse(wrong).unwrap_err();
            assert!(matches!(error, ConnectError::Setting { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_or_has_no_certificate_is_told_by_its_name() {
        let nothing = tempfile::NamedTempFile::new().unwrap();
        let path = nothing.path().display().to_string();
        for file in ["/nowhere/ca.pem", &path] {
            let error = parse(&format!("esdb://one?tlsCaFile={file}")).unwrap_err();
            assert!(matches!(error, ConnectError::File { .. }), "{error:?}");
            assert!(error.to_string().contains(file), "{error}");
        }
    }
}
