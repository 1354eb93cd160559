//! The streams: how they have to be configured, made when they are not there, and refused when they are
//! otherwise.

use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, PersistenceMode, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{ErrorCode, context::GetStreamError};

use tracing::info;

use crate::commit::MAX_COMMIT_BYTES;
use crate::jetstream::connection::{Connection, ENVELOPE_BYTES_MAX};
use crate::jetstream::{ConnectError, Retention};

/// How long NATS itself remembers the ids of commits. We do not rely on it; it spares a second look.
const DUPLICATE_WINDOW: std::time::Duration = std::time::Duration::from_secs(120);

/// The stream of all commits. Nothing in it is ever changed, deleted or forgotten.
pub(super) fn events(connection: &Connection) -> Config {
    Config {
        name: connection.stream("EVENTS"),
        subjects: vec![connection.subject("evt.>")],
        description: Some("Switchback: the event log".to_owned()),
        max_message_size: i32::try_from(MAX_COMMIT_BYTES + ENVELOPE_BYTES_MAX).unwrap_or(i32::MAX),
        duplicate_window: DUPLICATE_WINDOW,
        deny_delete: true,
        deny_purge: true,
        ..kept(connection)
    }
}

/// The stream of items that wait or are leased. A message is gone when it is acknowledged.
pub(super) fn work(connection: &Connection) -> Config {
    Config {
        name: connection.stream("WORK"),
        subjects: vec![connection.subject("work.*.*")],
        description: Some("Switchback: work that waits".to_owned()),
        retention: RetentionPolicy::WorkQueue,
        max_messages_per_subject: 1,
        discard_new_per_subject: true,
        duplicate_window: DUPLICATE_WINDOW,
        ..kept(connection)
    }
}

/// The stream of what else the queue has to remember: items that are parked, and up to where events were
/// routed.
pub(super) fn queue(connection: &Connection) -> Config {
    Config {
        name: connection.stream("QUEUE"),
        subjects: ["parked.*", "delayed.*", "routed"].map(|rest| connection.subject(rest)).to_vec(),
        allow_message_ttl: true,
        description: Some("Switchback: parked work".to_owned()),
        discard: DiscardPolicy::Old,
        max_messages_per_subject: 1,
        duplicate_window: DUPLICATE_WINDOW,
        ..kept(connection)
    }
}

/// The stream of entries that processes share, as NATS's own key-value buckets have it.
pub(super) fn entries(connection: &Connection) -> Config {
    let bucket = connection.stream("SHARED");
    Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        description: Some("Switchback: what its processes share".to_owned()),
        max_messages_per_subject: 1,
        duplicate_window: DUPLICATE_WINDOW,
        allow_rollup: true,
        deny_delete: true,
        ..kept(connection)
    }
}

/// The stream of what builds and applications print. The oldest falls away.
pub(super) fn logs(connection: &Connection, retention: &Retention) -> Config {
    Config {
        name: connection.stream("LOGS"),
        subjects: vec![connection.subject("log.*.*")],
        description: Some("Switchback: what builds and applications print".to_owned()),
        discard: DiscardPolicy::Old,
        max_age: retention.age,
        max_bytes: i64::try_from(retention.bytes).unwrap_or(i64::MAX),
        // Ids cannot be remembered for longer than messages.
        duplicate_window: DUPLICATE_WINDOW.min(retention.age),
        ..kept(connection)
    }
}

/// The stream of uploads, as NATS's own object stores have it.
pub(super) fn uploads(connection: &Connection, retention: &Retention) -> Config {
    let bucket = connection.stream("UPLOADS");
    Config {
        name: format!("OBJ_{bucket}"),
        subjects: vec![format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")],
        description: Some("Switchback: uploads".to_owned()),
        max_age: retention.age,
        duplicate_window: DUPLICATE_WINDOW.min(retention.age),
        allow_rollup: true,
        ..kept(connection)
    }
}

/// What all of them have in common: on disk, without a limit of number or age.
fn kept(connection: &Connection) -> Config {
    Config {
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        max_consumers: -1,
        max_message_size: -1,
        num_replicas: connection.settings.replicas,
        allow_direct: true,
        ..Config::default()
    }
}

/// Makes a stream, or makes sure that it is what it has to be. Replicas are added where there are too few.
pub(super) async fn ensure(
    connection: &Connection,
    wanted: Config,
) -> Result<(Stream<()>, Info), ConnectError> {
    ensure_with(connection, wanted, |_, _| {}).await
}

/// As [`ensure`], for what may fall away: by which age and beyond how many bytes may be set anew.
pub(super) async fn ensure_limits(
    connection: &Connection,
    wanted: Config,
) -> Result<(Stream<()>, Info), ConnectError> {
    let limits = |found: &mut Config, wanted: &Config| {
        (found.max_age, found.max_bytes) = (wanted.max_age, wanted.max_bytes);
        found.duplicate_window = wanted.duplicate_window;
    };
    ensure_with(connection, wanted, limits).await
}

async fn ensure_with(
    connection: &Connection,
    wanted: Config,
    adopt: impl FnOnce(&mut Config, &Config),
) -> Result<(Stream<()>, Info), ConnectError> {
    let name = wanted.name.clone();
    let failed = |source| ConnectError::Stream { stream: name.clone(), source };
    let refused = |err: CreateStreamError| {
        if is_no_room(&err.kind()) {
            return ConnectError::NoRoom { stream: name.clone(), bytes: wanted.max_bytes };
        }
        failed(err.into())
    };
    let mut info = match connection.context.get_stream(&name).await {
        Ok(stream) => stream.cached_info().clone(),
        Err(err) if is_not_there(&err) => {
            // Whoever makes it at the same time makes the same one.
            let made = connection.context.create_stream(wanted.clone()).await;
            made.map_err(refused)?.cached_info().clone()
        }
        Err(source) => return Err(failed(source.into())),
    };
    let mut adopted = info.config.clone();
    adopted.num_replicas = adopted.num_replicas.max(wanted.num_replicas);
    adopt(&mut adopted, &wanted);
    if adopted != info.config && difference(&adopted, &wanted).is_none() {
        info!("stream {name} is changed to what the settings say");
        let updated = connection.context.update_stream(adopted).await;
        info = updated.map_err(|err| failed(err.into()))?;
    }
    if let Some((field, found, wanted)) = difference(&info.config, &wanted) {
        return Err(ConnectError::Drifted { stream: name, field, found, wanted });
    }
    let stream = connection.context.get_stream_no_info(&name).await;
    Ok((stream.map_err(|source| failed(source.into()))?, info))
}

/// Whether the server has not the room that a stream is to have.
fn is_no_room(kind: &CreateStreamErrorKind) -> bool {
    const CODES: [ErrorCode; 2] = [ErrorCode::STORAGE_RESOURCES_EXCEEDED, ErrorCode::INSUFFICIENT_RESOURCES];
    matches!(kind, CreateStreamErrorKind::JetStream(err) if CODES.contains(&err.error_code()))
}

fn is_not_there(err: &GetStreamError) -> bool {
    const NOT_FOUND: ErrorCode = ErrorCode::STREAM_NOT_FOUND;
    matches!(err.kind(), GetStreamErrorKind::JetStream(err) if err.error_code() == NOT_FOUND)
}

/// The first setting that is not as it has to be, with what it is and what it has to be.
fn difference(found: &Config, wanted: &Config) -> Option<(&'static str, String, String)> {
    macro_rules! compare {
        ($($field:ident),*) => {$(
            if found.$field != wanted.$field {
                let (found, wanted) = (format!("{:?}", found.$field), format!("{:?}", wanted.$field));
                return Some((stringify!($field), found, wanted));
            }
        )*};
    }
    compare!(
        subjects,
        retention,
        storage,
        discard,
        discard_new_per_subject,
        max_messages,
        max_messages_per_subject,
        max_bytes,
        max_age,
        max_consumers,
        max_message_size,
        num_replicas,
        no_ack,
        sealed,
        allow_rollup,
        deny_delete,
        deny_purge,
        allow_direct,
        mirror,
        sources,
        subject_transform,
        allow_message_ttl,
        subject_delete_marker_ttl,
        duplicate_window
    );
    // The default stands in the answer by name or not at all.
    if found.persist_mode == Some(PersistenceMode::Async) {
        return Some(("persist_mode", "Async".to_owned(), "Default".to_owned()));
    }
    None
}
