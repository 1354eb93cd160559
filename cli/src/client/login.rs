//! `login`, `logout`, `whoami`: which server, with which token.

use std::io::{IsTerminal, stdin};

use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::args::Global;
use crate::args::login::Login;
use crate::client::failure::Failure;
use crate::client::http::{Answer, Api, is_local};
use crate::client::session::{Session, no_answer, server, server_url};
use crate::credentials;
use crate::ui::ask::read_standard_input;
use crate::ui::table::Table;
use crate::ui::{Form, Ui};

/// The longest token.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

#[derive(Deserialize)]
struct Me {
    user: Named,
    organization: Named,
    role: String,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

impl Named {
    fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or("(no name)")
    }
}

/// Signs in: tries the token, and keeps it when it works.
///
/// # Errors
/// When it does not.
pub(crate) async fn login(ui: &Ui, global: &Global, login: &Login) -> Result<(), Failure> {
    let server = match &login.server {
        Some(text) => server_url(text)?,
        None => server(global)?,
    };
    if server.scheme() == "http" && !is_local(&server) {
        ui.warn(&format!("{server} is not https: everybody on the way can read the token"));
    }
    let token = token(ui, login, &server).await?;
    let api = Api::new(server.clone(), Some(token.clone()))?;
    let answer = api.get(&["auth", "me"], &[]).await?;
    let me: Me = answer.read()?;
    credentials::save(&server, &token)?;
    match ui.form() {
        Form::Json => ui.document(&json!({"server": server.as_str(), "user": answer.data["user"]}))?,
        Form::Quiet => {}
        Form::Human => ui.line(&format!("Signed in to {server} as {}.", me.user.shown()))?,
    }
    Ok(())
}

async fn token(ui: &Ui, login: &Login, server: &Url) -> Result<String, Failure> {
    let text = if !login.token_stdin && stdin().is_terminal() {
        ui.prompt_secret(&format!("Token for {server}")).await
    } else {
        read_standard_input(TOKEN_BYTES_MAX)
    };
    let text = text.map_err(no_answer)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(Failure::usage("there was no token")
            .try_next("`switchback tokens create NAME`, where you are signed in, makes one"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage("what was given is not a token: it is one word, such as sbk_…"));
    }
    Ok(token.to_owned())
}

/// Forgets the token of a server.
///
/// # Errors
/// When the credentials cannot be written.
pub(crate) fn logout(ui: &Ui, global: &Global) -> Result<(), Failure> {
    let server = server(global)?;
    let was_there = credentials::forget(&server)?;
    match ui.form() {
        Form::Json => ui.document(&json!({"server": server.as_str(), "was_signed_in": was_there}))?,
        Form::Quiet => {}
        Form::Human => ui.line(&if was_there {
            format!(
                "Signed out of {server}. The token itself still works: `switchback tokens delete` ends one."
            )
        } else {
            format!("You were not signed in to {server}.")
        })?,
    }
    Ok(())
}

/// Shows who one is.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn whoami(session: &Session) -> Result<(), Failure> {
    let answer: Answer = session.api.get(&["auth", "me"], &[]).await?;
    let me: Me = answer.read()?;
    session.show(&answer.data, me.user.shown(), |ui| {
        let mut table = Table::of_fields();
        table.field("user", Some(ui.foreign(me.user.shown())));
        table.field("organization", Some(ui.foreign(me.organization.shown())));
        table.field("role", Some(me.role.as_str()));
        table.field("server", Some(session.api.server().as_str()));
        Ok(ui.table(&table)?)
    })
}
