//! Reading and subscribing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::channel::mpsc;
use futures::stream::{self, BoxStream};
use futures::{SinkExt as _, StreamExt as _};
use tonic::Status;

use crate::kurrentdb::double::Node;
use crate::kurrentdb::double::store::Record;
use crate::kurrentdb::double::wire::{
    AllOption, AllOptions, Confirmation, Content, CountOption, Filter, FilterBy, FilterOption, NotFound,
    Position, ReadEvent, ReadOptions, ReadReq, ReadResp, RecordedEvent, RevisionOption, StreamIdentifier,
    StreamOption, StreamOptions, Uuid, UuidForm, UuidValue, Window,
};

/// How many events a subscription takes out at once.
const BATCH: usize = 64;
/// After so many events that were left out, a subscription says how far it is.
const CHECKPOINT_AFTER: u32 = 32;

type Answers = BoxStream<'static, Result<ReadResp, Status>>;

/// Answers a request to read, or refuses it as the real server would.
pub(super) fn read(node: Arc<Node>, request: ReadReq) -> Result<Answers, Status> {
    let options = request.options.ok_or_else(|| Status::invalid_argument("no options"))?;
    if options.resolve_links || !matches!(options.direction, 0 | 1) {
        return Err(Status::unimplemented("the double does not know these options"));
    }
    let form = options.uuid.and_then(|uuid| uuid.form);
    if form != Some(UuidForm::String(())) {
        return Err(Status::unimplemented("the double names events by strings only"));
    }
    let ReadOptions { stream, direction, count, filter, .. } = options;
    let filter = match filter.ok_or_else(|| Status::invalid_argument("a filter or none has to be chosen"))? {
        FilterOption::Filter(filter) => Some(check_filter(filter)?),
        FilterOption::NoFilter(()) => None,
    };
    match (stream, count) {
        (Some(StreamOption::Stream(stream)), Some(CountOption::Count(count))) => {
            part_of_stream(&node, stream, direction == 1, count)
        }
        (Some(StreamOption::All(all)), Some(CountOption::Count(count))) => {
            part_of_all(&node, all, direction == 1, filter.as_deref(), count)
        }
        (Some(StreamOption::All(all)), Some(CountOption::Subscription(()))) => {
            let from = position_of(&node, all)?;
            Ok(subscribe(node, from, filter))
        }
        other => Err(Status::unimplemented(format!("the double does not know {other:?}"))),
    }
}

/// The prefixes of a filter by names of streams.
fn check_filter(filter: Filter) -> Result<Vec<String>, Status> {
    let Some(FilterBy::Stream(expression)) = filter.by else {
        return Err(Status::unimplemented("the double filters by names of streams only"));
    };
    if !expression.regex.is_empty() {
        return Err(Status::unimplemented("the double filters by prefixes only"));
    }
    if expression.prefix.is_empty() || filter.checkpoint_interval_multiplier == 0 {
        return Err(Status::invalid_argument("a filter needs a prefix and an interval"));
    }
    match filter.window {
        Some(Window::Max(1..) | Window::Count(())) => Ok(expression.prefix),
        Some(Window::Max(0)) | None => Err(Status::invalid_argument("a filter needs a window")),
    }
}

fn lets_through(filter: Option<&[String]>, record: &Record) -> bool {
    filter.is_none_or(|prefixes| prefixes.iter().any(|prefix| record.stream.starts_with(prefix)))
}

fn response(content: Content) -> Result<ReadResp, Status> {
    Ok(ReadResp { content: Some(content) })
}

fn event(record: Record) -> Result<ReadResp, Status> {
    let commit_position = Some(record.position);
    let recorded = RecordedEvent {
        id: Some(Uuid { value: Some(UuidValue::String(record.id.to_string())) }),
        stream: Some(StreamIdentifier { stream_name: record.stream.into_bytes() }),
        revision: record.revision,
        prepare: record.position,
        commit: record.position,
        metadata: record.metadata,
        custom_metadata: record.custom_metadata,
        data: record.data,
    };
    response(Content::Event(ReadEvent { event: Some(recorded), commit_position }))
}

fn part_of_stream(node: &Node, options: StreamOptions, is_back: bool, count: u64) -> Result<Answers, Status> {
    let identifier = options.stream.ok_or_else(|| Status::invalid_argument("no stream"))?;
    let name = String::from_utf8(identifier.stream_name.clone())
        .map_err(|_| Status::invalid_argument("no name of a stream"))?;
    let Some(mut records) = node.store.stream(&name) else {
        let answer = response(Content::NotFound(NotFound { stream: Some(identifier) }));
        return Ok(stream::iter([answer]).boxed());
    };
    let last = records.last().map_or(0, |record| record.revision);
    match (options.revision, is_back) {
        (Some(RevisionOption::Start(())), false) | (Some(RevisionOption::End(())), true) => {}
        (Some(RevisionOption::Start(())), true) => records.retain(|record| record.revision == 0),
        (Some(RevisionOption::End(())), false) => records.clear(),
        (Some(RevisionOption::Revision(from)), false) => records.retain(|record| record.revision >= from),
        (Some(RevisionOption::Revision(from)), true) => records.retain(|record| record.revision <= from),
        (None, _) => return Err(Status::invalid_argument("no revision to read from")),
    }
    if is_back {
        records.reverse();
    }
    records.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    let answers = records.into_iter().map(event);
    Ok(stream::iter(answers.chain([response(Content::LastStreamPosition(last))])).boxed())
}

/// A position has to be one of a record, or the beginning, or the end.
fn position_of(node: &Node, options: AllOptions) -> Result<Option<u64>, Status> {
    match options.from {
        Some(AllOption::Start(())) => Ok(None),
        Some(AllOption::End(())) => Ok(Some(node.store.end())),
        Some(AllOption::Position(Position { commit, prepare })) => {
            if commit == prepare && node.store.has(commit) {
                Ok(Some(commit))
            } else {
                Err(Status::invalid_argument(format!("C:{commit}/P:{prepare} is no position of a record")))
            }
        }
        None => Err(Status::invalid_argument("no position to read from")),
    }
}

fn part_of_all(
    node: &Node,
    options: AllOptions,
    is_back: bool,
    filter: Option<&[String]>,
    count: u64,
) -> Result<Answers, Status> {
    let from = position_of(node, options)?;
    let records = match is_back {
        true => node.store.before(from.unwrap_or(0), usize::MAX),
        false => node.store.from(from.unwrap_or(0), usize::MAX),
    };
    let records: Vec<_> = records
        .into_iter()
        .filter(|record| lets_through(filter, record))
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .map(event)
        .collect();
    Ok(stream::iter(records).boxed())
}

/// Everything after a position, and then what comes.
fn subscribe(node: Arc<Node>, after: Option<u64>, filter: Option<Vec<String>>) -> Answers {
    let (answers, told) = mpsc::channel(BATCH);
    let cuts_after = node.faults.cuts_after.load(Ordering::Relaxed);
    let from = after.map_or(0, |after| after + 1);
    let subscription = Subscription { node, filter, from, left_out: 0, cuts_after, told: 0, answers };
    tokio::spawn(subscription.run());
    told.boxed()
}

struct Subscription {
    node: Arc<Node>,
    filter: Option<Vec<String>>,
    from: u64,
    left_out: u32,
    cuts_after: u32,
    told: u32,
    answers: mpsc::Sender<Result<ReadResp, Status>>,
}

impl Subscription {
    async fn run(mut self) {
        // It ends when nobody listens, or by an error; never as if there were no more.
        let _ = self.tell_all().await;
    }

    async fn tell_all(&mut self) -> Result<(), mpsc::SendError> {
        let mut grown = self.node.store.grown.subscribe();
        let confirmation = Confirmation { subscription: uuid::Uuid::new_v4().to_string() };
        self.answers.send(response(Content::Confirmation(confirmation))).await?;
        let mut has_caught_up = false;
        loop {
            grown.mark_unchanged();
            let batch = self.node.store.from(self.from, BATCH);
            if !batch.is_empty() {
                for record in batch {
                    self.tell(record).await?;
                }
                continue;
            }
            if !has_caught_up {
                self.answers.send(response(Content::CaughtUp(()))).await?;
                has_caught_up = true;
            }
            if grown.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn tell(&mut self, record: Record) -> Result<(), mpsc::SendError> {
        let position = record.position;
        self.from = position + 1;
        if lets_through(self.filter.as_deref(), &record) {
            if self.cuts_after > 0 && self.told >= self.cuts_after {
                self.answers
                    .send(Err(Status::unavailable("a fault of the test: the subscription is cut")))
                    .await?;
                self.answers.close_channel();
                return Ok(());
            }
            self.told += 1;
            return self.answers.send(event(record)).await;
        }
        self.left_out += 1;
        let lies = self.node.faults.checkpoints_lie.load(Ordering::Relaxed);
        if self.left_out < CHECKPOINT_AFTER && !lies {
            return Ok(());
        }
        self.left_out = 0;
        let at = if lies { position + 1_000_000 } else { position };
        self.answers.send(response(Content::Checkpoint(Position { commit: at, prepare: at }))).await
    }
}
