//! A connection to NATS: made once, kept for ever, made again by itself when it breaks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::commit::MAX_COMMIT_BYTES;
use crate::error::BoxError;
use crate::jetstream::{ConnectError, Settings, Tls};

/// Before this, several bugs lost or doubled writes when a leader changed (notes/event-log.md §1.4).
const OLDEST: (&str, (i64, i64, i64)) = ("2.12.4", (2, 12, 4));
/// What a message may have beside the commit: its subject and headers.
pub(super) const ENVELOPE_BYTES_MAX: usize = 8 * 1024;
/// How long one request may take. An append that was not answered in this time is given again.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How often a question is asked when the connection breaks each time.
const ASKED_AGAIN_MAX: u32 = 8;
/// A connection that is dead is noticed after two or three of these.
const PING_EVERY: Duration = Duration::from_secs(5);
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// A connection, and what the streams on it are called.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) settings: Settings,
    /// Counts how often it was made.
    pub(super) made: watch::Receiver<u64>,
}

impl Connection {
    /// Connects, and makes sure that the server is new and roomy enough.
    pub(super) async fn open(settings: &Settings) -> Result<Self, ConnectError> {
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if settings.prefix.is_empty() || !is_word(&settings.prefix) {
            let (what, value) = ("prefix of small letters and digits", settings.prefix.clone());
            return Err(ConnectError::Setting { what, value });
        }
        let (made, client) = connect(settings).await?;
        let context = ContextBuilder::new().timeout(REQUEST_LIMIT).build(client.clone());
        let connection = Self { client, context, settings: settings.clone(), made };
        connection.check_server()?;
        Ok(connection)
    }

    fn check_server(&self) -> Result<(), ConnectError> {
        let server = self.client.server_info();
        let (wanted, (major, minor, patch)) = OLDEST;
        if !self.client.is_server_compatible(major, minor, patch) {
            return Err(ConnectError::TooOld { server: server.server_name, found: server.version, wanted });
        }
        let wanted = MAX_COMMIT_BYTES + ENVELOPE_BYTES_MAX;
        if server.max_payload < wanted {
            return Err(ConnectError::MaxPayload {
                server: server.server_name,
                found: server.max_payload,
                wanted,
            });
        }
        Ok(())
    }

    pub(super) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Waits for the connection, at most for so long. Answers whether it is there.
    pub(super) async fn wait_until_up(&self, limit: Duration) -> bool {
        let mut made = self.made.clone();
        made.mark_unchanged();
        if self.is_up() {
            return true;
        }
        // Whether it was made or the time is over: what counts is whether it is there now.
        let _ = tokio::time::timeout(limit, made.changed()).await;
        self.is_up()
    }

    /// Asks something that may be asked twice: again, when the connection was made anew, because what the old
    /// one was asked is not answered any more.
    pub(super) async fn ask<T, F>(&self, question: impl Fn() -> F) -> Result<T, BoxError>
    where
        F: Future<Output = Result<T, BoxError>>,
    {
        let mut made = self.made.clone();
        for _ in 0..ASKED_AGAIN_MAX {
            made.mark_unchanged();
            tokio::select! {
                answer = question() => return answer,
                _ = made.changed() => {}
            }
        }
        Err("the connection to NATS is lost again and again".into())
    }

    /// The name of one of our streams.
    pub(super) fn stream(&self, of: &str) -> String {
        format!("{}_{of}", self.settings.prefix.to_ascii_uppercase())
    }

    /// One of our subjects.
    pub(super) fn subject(&self, rest: &str) -> String {
        format!("{}.{rest}", self.settings.prefix)
    }
}

async fn connect(settings: &Settings) -> Result<(watch::Receiver<u64>, Client), ConnectError> {
    let shown = without_secrets(&settings.urls);
    let unreachable = |source| ConnectError::Unreachable { urls: shown.clone(), source };
    let setting = |what| ConnectError::Setting { what, value: shown.clone() };
    let addresses: Vec<ServerAddr> = settings
        .urls
        .split(',')
        .map(|url| url.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| setting("list of nats:// URLs"))?;
    let (count, made) = watch::channel(0);
    let mut options = ConnectOptions::new()
        .name("switchback")
        .ping_interval(PING_EVERY)
        .request_timeout(Some(REQUEST_LIMIT))
        .reconnect_delay_callback(|attempt| {
            let exponent = u32::try_from(attempt.min(10)).unwrap_or(10);
            Duration::from_millis(10 * 2_u64.pow(exponent)).min(RECONNECT_WAIT_MAX)
        })
        .event_callback(move |event| {
            note(&event, &count);
            std::future::ready(())
        });
    options = with_tls(options, settings, &addresses)?;
    if let Some(token) = addresses.iter().find_map(token_of) {
        options = options.token(token);
    }
    let login = addresses.iter().find_map(|address| Some((address.username()?, address.password()?)));
    if let Some((user, password)) = login {
        options = options.user_and_password(percent_decoded(user), percent_decoded(password));
    }
    if let Some(file) = &settings.credentials {
        let what = "the credentials";
        let failed = |source| ConnectError::File { what, path: file.clone(), source };
        options = options.credentials_file(file).await.map_err(failed)?;
    }
    let client = options.connect(addresses).await.map_err(|source| unreachable(source.into()))?;
    Ok((made, client))
}

/// A token, which stands where a user would, without a password.
fn token_of(address: &ServerAddr) -> Option<String> {
    let user = address.username().filter(|user| !user.is_empty() && address.password().is_none())?;
    Some(percent_decoded(user))
}

fn with_tls(
    mut options: ConnectOptions,
    settings: &Settings,
    addresses: &[ServerAddr],
) -> Result<ConnectOptions, ConnectError> {
    let Tls { authority, client } = &settings.tls;
    let is_required = settings.tls.is_required() || addresses.iter().any(ServerAddr::tls_required);
    if is_required {
        // Where several are compiled in, one has to be chosen; whoever has done it already keeps theirs, as
        // KurrentDB's client has to (`kurrentdb::prepare`).
        let _ = async_nats::rustls::crypto::ring::default_provider().install_default();
        options = options.require_tls(true);
    }
    if let Some(path) = authority {
        options = options.add_root_certificates(readable("the authority's certificate", path)?);
    }
    if let Some((certificate, key)) = client {
        let certificate = readable("the client's certificate", certificate)?;
        options = options.add_client_certificate(certificate, readable("the client's key", key)?);
    }
    Ok(options)
}

/// A file that can be read now. It is read again with each connection.
fn readable(what: &'static str, path: &Path) -> Result<PathBuf, ConnectError> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path.to_owned()),
        Err(source) => Err(ConnectError::File { what, path: path.to_owned(), source }),
    }
}

/// URLs without what stands before an `@` in them.
pub(super) fn without_secrets(urls: &str) -> String {
    let shown = urls.split(',').map(|url| match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://***@{host}"),
        (None, Some((_, host))) => format!("***@{host}"),
        (_, None) => url.to_owned(),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// A user or a password of a URL, as the server knows it.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = match tail {
            [high, low, ..] if *first == b'%' => hex::decode([*high, *low]).ok().map(|byte| byte[0]),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn note(event: &Event, count: &watch::Sender<u64>) {
    match event {
        Event::Connected => {
            count.send_modify(|count| *count += 1);
            info!("connected to NATS");
        }
        Event::Disconnected => warn!("the connection to NATS is lost; it is made again"),
        // By us.
        Event::Draining | Event::Closed => debug!("NATS: {event}"),
        Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) | Event::LameDuckMode => {
            warn!("NATS: {event}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere_and_reaches_the_server_as_it_was_meant() {
        let urls = "nats://me:p%40ss@one:4222,two:4222,tls://t@three";
        assert_eq!(without_secrets(urls), "nats://***@one:4222,two:4222,tls://***@three");
        assert_eq!(percent_decoded("p%40s%"), "p@s%");
        let settings = Settings::new(urls);
        assert!(!format!("{settings:?}").contains("p%40ss"));
    }
}
