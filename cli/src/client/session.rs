//! One run of a client command: how to print, which server, and what it is about.

use std::env;

use serde_json::Value;
use url::Url;

use crate::args::{DEFAULT_LISTEN, Global};
use crate::client::failure::{Exit, Failure};
use crate::client::http::{Api, is_local};
use crate::client::model::Service;
use crate::client::target::{Place, SERVICE_DEFAULT, Target};
use crate::credentials::{self, CredentialsError};
use crate::ui::{Form, Ui};

/// How many services are looked at to find the only one.
const SERVICES_MAX: usize = 100;

/// What a client command needs.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) ui: Ui,
    pub(crate) api: Api,
    pub(crate) target: Target,
    pub(crate) global: Global,
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Self {
        Self::of(Exit::Failed, &error)
    }
}

/// The address of a server as people write it: without a protocol it is https, and http on this machine.
///
/// # Errors
/// When it is none.
pub(crate) fn server_url(text: &str) -> Result<Url, Failure> {
    let invalid = || {
        let shown: String = text.chars().take(100).collect();
        Failure::usage(format!("`{shown}` is not the address of a server"))
            .try_next("write it like https://paas.example.com or http://127.0.0.1:7070")
    };
    let parse = |text: &str| text.parse::<Url>().map_err(|_| invalid());
    let mut url = if text.contains("://") { parse(text)? } else { parse(&format!("https://{text}"))? };
    if !text.contains("://") && is_local(&url) {
        url = parse(&format!("http://{text}"))?;
    }
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain || !url.has_host() || url.fragment().is_some() {
        return Err(invalid());
    }
    Ok(url)
}

/// The server that is meant: named, signed in to last, or the one on this machine.
///
/// # Errors
/// When the address is none, or the credentials cannot be read.
pub(crate) fn server(global: &Global) -> Result<Url, Failure> {
    if let Some(url) = global.url.as_deref().filter(|url| !url.is_empty()) {
        return server_url(url);
    }
    match credentials::load()?.current() {
        Some(url) => Ok(url),
        None => server_url(&format!("http://{DEFAULT_LISTEN}")),
    }
}

impl Session {
    /// Finds out everything that options, environment and files say.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub(crate) fn new(ui: Ui, global: Global) -> Result<Self, Failure> {
        let server = server(&global)?;
        let given = env::var("SWITCHBACK_TOKEN").ok().filter(|token| !token.is_empty());
        let token = match given {
            Some(token) => Some(token.trim().to_owned()),
            None => credentials::load()?.token(&server).map(ToOwned::to_owned),
        };
        let directory = env::current_dir().ok();
        let target = Target::find(&global, directory.as_deref())?;
        Ok(Self { ui, api: Api::new(server, token)?, target, global })
    }

    /// The address of something of the project.
    ///
    /// # Errors
    /// When nothing says which project.
    pub(crate) fn in_project<'a>(&'a self, rest: &[&'a str]) -> Result<Vec<&'a str>, Failure> {
        Ok([&["projects", self.target.project()?], rest].concat())
    }

    /// The address of something of the environment.
    ///
    /// # Errors
    /// When nothing says which project.
    pub(crate) fn in_environment<'a>(&'a self, rest: &[&'a str]) -> Result<Vec<&'a str>, Failure> {
        self.in_project(&[&["environments", &self.target.environment], rest].concat())
    }

    /// The service that is meant: named, the only one, or `web`.
    ///
    /// # Errors
    /// When there is none, or nothing says which.
    pub(crate) async fn place(&self) -> Result<Place, Failure> {
        let at = |service: String| -> Result<Place, Failure> {
            let project = self.target.project()?.to_owned();
            Ok(Place { project, environment: self.target.environment.clone(), service })
        };
        if let Some(service) = &self.target.service {
            return at(service.clone());
        }
        let listed = self.api.list(&self.in_environment(&["services"])?, &[], SERVICES_MAX).await?;
        let services: Vec<Service> = crate::client::http::read(&Value::Array(listed))?;
        let mut names: Vec<String> = services.into_iter().map(|service| service.name).collect();
        match names.len() {
            0 => Err(Failure::new(Exit::NotFound, "there is no service yet")
                .because(format!("in {} of project {}", self.target.environment, self.target.project()?))
                .try_next("`switchback deploy` makes one")),
            1 => at(names.remove(0)),
            _ if names.iter().any(|name| name == SERVICE_DEFAULT) => at(SERVICE_DEFAULT.to_owned()),
            _ => Err(Failure::usage("which service?")
                .because(format!("there are {}", names.join(", ")))
                .try_next("name it with -s, or as `[service] name` in switchback.toml")),
        }
    }

    /// Asks for consent to something that cannot be taken back. Where nobody can be asked, it takes `-y`.
    ///
    /// # Errors
    /// When it is not given.
    pub(crate) async fn consent(&self, question: &str) -> Result<(), Failure> {
        if self.global.yes {
            return Ok(());
        }
        if !self.ui.can_ask() {
            return Err(
                Failure::usage(format!("{question} Nobody is there to say")).try_next("say it with -y")
            );
        }
        let answer = self.ui.confirm(question, false).await.map_err(no_answer)?;
        if answer { Ok(()) } else { Err(Failure::new(Exit::Failed, "nothing was done")) }
    }

    /// Prints what was asked for: as JSON, as one word, or as people read it.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub(crate) fn show(
        &self,
        data: &Value,
        word: &str,
        human: impl FnOnce(&Ui) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.ui.form() {
            Form::Json => Ok(self.ui.document(data)?),
            Form::Quiet if word.is_empty() => Ok(()),
            Form::Quiet => Ok(self.ui.line(word)?),
            Form::Human => human(&self.ui),
        }
    }
}

/// A question without an answer.
#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
pub(crate) fn no_answer(error: std::io::Error) -> Failure {
    let exit = if error.kind() == std::io::ErrorKind::Interrupted { Exit::Interrupted } else { Exit::Failed };
    Failure::new(exit, "read the answer").because(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_be_written_without_a_protocol() {
        for (text, url) in [
            ("https://paas.example.com", "https://paas.example.com/"),
            ("paas.example.com", "https://paas.example.com/"),
            ("localhost:7070", "http://localhost:7070/"),
            ("127.0.0.1:7070", "http://127.0.0.1:7070/"),
            ("[::1]:7070", "http://[::1]:7070/"),
            ("http://host/paas/", "http://host/paas/"),
        ] {
            assert_eq!(server_url(text).expect(text).as_str(), url);
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in ["", "ftp://host", "https://", "https://user:word@host", "https://host/?x=1", "a b"] {
            assert!(server_url(text).is_err(), "{text}");
        }
    }
}
