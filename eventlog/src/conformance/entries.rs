//! What every store of entries promises, and leadership on it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::id::{OrganizationId, UserId};
use tokio::sync::watch;
use uuid::Uuid;

use crate::entries::{self, Entry, EntryError, EntryStore, Key, Revision, SharedEntries};
use crate::error::StoreError;
use crate::installation::{self, Installation};
use crate::leadership::{self, Leadership};

/// A store to be tried, empty at first.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store.
    fn entries(&self) -> SharedEntries;

    /// Ends every process that has the store open, as far as the adapter can have it, and opens it again.
    async fn reopen(&mut self);
}

/// Makes a test of each case, for the fixture that the expression gives (it may await).
#[macro_export]
macro_rules! entries_suite {
    ($fixture:expr) => {
        $crate::cases!(
            entries,
            $fixture,
            what_was_written_is_read,
            an_entry_is_created_once,
            of_many_that_create_one_wins_and_all_get_its_value,
            a_replacement_needs_the_revision_that_stands,
            of_many_that_replace_one_wins,
            a_deleted_entry_is_gone_and_can_be_created_again,
            entries_are_there_after_a_restart,
            an_installation_is_described_once,
            a_duty_is_had_by_one_and_passed_on_when_it_is_released,
            a_duty_passes_on_when_its_holder_is_killed,
            a_holder_that_is_cut_off_is_told_before_another_leads,
            a_holder_that_rides_out_a_short_cut_leads_on,
            a_holder_that_was_paused_knows_that_it_does_not_lead
        );
    };
}

/// A test that waits longer than this fails.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a term is in these tests.
const PERIOD: Duration = Duration::from_millis(800);

fn key() -> Key {
    Key::of("test", Uuid::now_v7())
}

fn duty() -> String {
    Uuid::now_v7().simple().to_string()
}

async fn in_time<T>(doing: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{doing} did not happen"))
}

async fn claim(entries: &SharedEntries, duty: &str, holder: &str) -> Leadership {
    in_time("a claim", leadership::claim(entries, duty, holder, PERIOD)).await.unwrap()
}

/// Whole, and only at its key.
pub async fn what_was_written_is_read(fixture: impl Fixture) {
    let (entries, a, b) = (fixture.entries(), key(), key());
    assert_eq!(entries.get(&a).await.unwrap(), None);
    let first = entries.put(&a, Bytes::from_static(b"\0one")).await.unwrap();
    let second = entries.put(&a, Bytes::from_static(b"")).await.unwrap();
    assert!(second > first);
    assert_eq!(entries.get(&a).await.unwrap(), Some(Entry { value: Bytes::new(), revision: second }));
    assert_eq!(entries.get(&b).await.unwrap(), None);
}

/// And is not changed by who comes later.
pub async fn an_entry_is_created_once(fixture: impl Fixture) {
    let (entries, key) = (fixture.entries(), key());
    entries.create(&key, "1".into()).await.unwrap();
    let error = entries.create(&key, "2".into()).await.unwrap_err();
    assert!(matches!(error, EntryError::Exists { .. }), "{error:?}");
    assert_eq!(entries.get(&key).await.unwrap().unwrap().value, "1");
}

/// As with keys that several processes make at once.
pub async fn of_many_that_create_one_wins_and_all_get_its_value(fixture: impl Fixture) {
    for _ in 0..10 {
        let key = key();
        let tasks: Vec<_> = (0..8_u32)
            .map(|number| {
                let (entries, key) = (fixture.entries(), key.clone());
                tokio::spawn(async move {
                    entries::first(&*entries, &key, number.to_string().into()).await.unwrap()
                })
            })
            .collect();
        let mut found = Vec::new();
        for task in tasks {
            found.push(in_time("an entry", task).await.unwrap());
        }
        found.dedup();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(fixture.entries().get(&key).await.unwrap().as_ref(), found.first());
    }
}

/// Neither one from before nor one that never was.
pub async fn a_replacement_needs_the_revision_that_stands(fixture: impl Fixture) {
    let (entries, key) = (fixture.entries(), key());
    let first = entries.create(&key, "1".into()).await.unwrap();
    let second = entries.replace(&key, "2".into(), first).await.unwrap();
    assert!(second > first);
    for wrong in [first, Revision(second.0 + 1000)] {
        let error = entries.replace(&key, "3".into(), wrong).await.unwrap_err();
        assert!(matches!(error, EntryError::Changed { .. }), "{error:?}");
    }
    let other = Key::of("test", Uuid::now_v7());
    let error = entries.replace(&other, "3".into(), second).await.unwrap_err();
    assert!(matches!(error, EntryError::Changed { .. }), "{error:?}");
    let found = entries.get(&key).await.unwrap();
    assert_eq!(found, Some(Entry { value: "2".into(), revision: second }));
}

/// The others are told.
pub async fn of_many_that_replace_one_wins(fixture: impl Fixture) {
    let (entries, key) = (fixture.entries(), key());
    let mut revision = entries.create(&key, "0".into()).await.unwrap();
    for _ in 0..10 {
        let tasks: Vec<_> = (0..6_u32)
            .map(|number| {
                let (entries, key) = (fixture.entries(), key.clone());
                tokio::spawn(
                    async move { entries.replace(&key, number.to_string().into(), revision).await.ok() },
                )
            })
            .collect();
        let mut won = Vec::new();
        for task in tasks {
            won.extend(in_time("a replacement", task).await.unwrap());
        }
        assert_eq!(won.len(), 1, "{won:?}");
        revision = won[0];
        assert_eq!(entries.get(&key).await.unwrap().unwrap().revision, revision);
    }
}

/// Also twice.
pub async fn a_deleted_entry_is_gone_and_can_be_created_again(fixture: impl Fixture) {
    let (entries, key) = (fixture.entries(), key());
    for value in ["1", "2"] {
        let revision = entries.create(&key, value.into()).await.unwrap();
        assert_eq!(entries.get(&key).await.unwrap().unwrap().value, value);
        entries.delete(&key).await.unwrap();
        entries.delete(&key).await.unwrap();
        assert_eq!(entries.get(&key).await.unwrap(), None);
        let error = entries.replace(&key, "3".into(), revision).await.unwrap_err();
        assert!(matches!(error, EntryError::Changed { .. }), "{error:?}");
    }
}

/// With what stood there last.
pub async fn entries_are_there_after_a_restart(mut fixture: impl Fixture) {
    let (kept, gone) = (key(), key());
    for key in [&kept, &gone] {
        fixture.entries().put(key, "1".into()).await.unwrap();
    }
    fixture.entries().put(&kept, "2".into()).await.unwrap();
    fixture.entries().delete(&gone).await.unwrap();
    fixture.reopen().await;
    assert_eq!(fixture.entries().get(&kept).await.unwrap().unwrap().value, "2");
    assert_eq!(fixture.entries().get(&gone).await.unwrap(), None);
}

/// By the first of those that start.
pub async fn an_installation_is_described_once(mut fixture: impl Fixture) {
    assert_eq!(installation::find(&*fixture.entries()).await.unwrap(), None);
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let entries = fixture.entries();
            let ours = Installation {
                id: Uuid::now_v7(),
                owner: UserId(Uuid::now_v7()),
                organization: OrganizationId(Uuid::now_v7()),
            };
            tokio::spawn(async move { (installation::describe(&*entries, ours).await.unwrap(), ours) })
        })
        .collect();
    let (mut found, mut given) = (Vec::new(), Vec::new());
    for task in tasks {
        let (it, ours) = in_time("a description", task).await.unwrap();
        found.push(it);
        given.push(ours);
    }
    found.dedup();
    assert!(matches!(found[..], [one] if given.contains(&one)), "{found:?}");
    fixture.reopen().await;
    assert_eq!(installation::find(&*fixture.entries()).await.unwrap(), found.first().copied());
}

/// At once, not when its time is over; and each term has a greater number.
pub async fn a_duty_is_had_by_one_and_passed_on_when_it_is_released(fixture: impl Fixture) {
    const LONG: Duration = Duration::from_secs(600);
    let (entries, duty) = (fixture.entries(), duty());
    assert_eq!(leadership::holder(&entries, &duty).await.unwrap(), None);
    let first = in_time("a claim", leadership::claim(&entries, &duty, "a", LONG)).await.unwrap();
    let second = {
        let (entries, duty) = (fixture.entries(), duty.clone());
        tokio::spawn(async move { leadership::claim(&entries, &duty, "b", LONG).await.unwrap() })
    };
    assert_eq!(leadership::holder(&entries, &duty).await.unwrap().as_deref(), Some("a"));
    tokio::time::sleep(PERIOD).await;
    assert!(first.is_held() && !second.is_finished());
    let number = first.number();
    first.release().await;
    let second = in_time("a claim", second).await.unwrap();
    assert!(second.is_held() && second.number() > number);
    assert_eq!(leadership::holder(&entries, &duty).await.unwrap().as_deref(), Some("b"));
    second.release().await;
    assert_eq!(leadership::holder(&entries, &duty).await.unwrap(), None);
}

/// It does not give it back.
pub async fn a_duty_passes_on_when_its_holder_is_killed(fixture: impl Fixture) {
    let (entries, duty) = (fixture.entries(), duty());
    let mut last = 0;
    for holder in ["a", "b", "c"] {
        let leadership = claim(&entries, &duty, holder).await;
        assert!(leadership.number() > last);
        last = leadership.number();
        // Renewed all the time, so it lasts.
        tokio::time::sleep(PERIOD * 2).await;
        assert!(leadership.is_held());
        drop(leadership);
    }
}

/// A store that can be away.
struct Gate {
    entries: SharedEntries,
    is_open: watch::Receiver<bool>,
}

impl Gate {
    fn around(entries: SharedEntries) -> (SharedEntries, watch::Sender<bool>) {
        let (open, is_open) = watch::channel(true);
        (Arc::new(Self { entries, is_open }), open)
    }

    /// Fails while the gate is closed, after a while, as real ones do.
    async fn pass(&self) -> Result<(), StoreError> {
        if *self.is_open.borrow() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(StoreError::Unavailable { doing: "pass the gate", source: "it is closed".into() })
    }
}

#[async_trait]
impl EntryStore for Gate {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.pass().await?;
        self.entries.get(key).await
    }

    async fn create(&self, key: &Key, value: Bytes) -> Result<Revision, EntryError> {
        self.pass().await?;
        self.entries.create(key, value).await
    }

    async fn put(&self, key: &Key, value: Bytes) -> Result<Revision, StoreError> {
        self.pass().await?;
        self.entries.put(key, value).await
    }

    async fn replace(&self, key: &Key, value: Bytes, revision: Revision) -> Result<Revision, EntryError> {
        self.pass().await?;
        self.entries.replace(key, value, revision).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.pass().await?;
        self.entries.delete(key).await
    }
}

/// There are never two.
pub async fn a_holder_that_is_cut_off_is_told_before_another_leads(fixture: impl Fixture) {
    let (entries, duty) = (fixture.entries(), duty());
    let (cut_off, gate) = Gate::around(fixture.entries());
    let first = claim(&cut_off, &duty, "a").await;
    let second = {
        let (entries, duty) = (entries.clone(), duty.clone());
        tokio::spawn(async move { claim(&entries, &duty, "b").await })
    };
    gate.send_replace(false);
    in_time("the loss", first.lost()).await;
    assert!(!first.is_held() && !second.is_finished());
    let second = in_time("the next term", second).await.unwrap();
    assert!(second.number() > first.number());
    // It is back, and waits like everybody else.
    gate.send_replace(true);
    let again = tokio::spawn(async move { claim(&cut_off, &duty, "a").await });
    tokio::time::sleep(PERIOD).await;
    assert!(second.is_held() && !again.is_finished());
    second.release().await;
    assert!(in_time("the next term", again).await.unwrap().is_held());
}

/// It is shorter than a term.
pub async fn a_holder_that_rides_out_a_short_cut_leads_on(fixture: impl Fixture) {
    let duty = duty();
    let (cut_off, gate) = Gate::around(fixture.entries());
    let leadership = claim(&cut_off, &duty, "a").await;
    for _ in 0..3 {
        gate.send_replace(false);
        tokio::time::sleep(PERIOD / 4).await;
        gate.send_replace(true);
        tokio::time::sleep(PERIOD).await;
        assert!(leadership.is_held());
    }
}

/// Before anything else has run in it.
pub async fn a_holder_that_was_paused_knows_that_it_does_not_lead(fixture: impl Fixture) {
    let (entries, duty) = (fixture.entries(), duty());
    let (leads, led) = tokio::sync::oneshot::channel();
    let paused = {
        let (entries, duty) = (fixture.entries(), duty.clone());
        // What a pause does to a process: everything in it stands still, and time goes on.
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let leadership = claim(&entries, &duty, "a").await;
                leads.send(leadership.number()).unwrap();
                std::thread::sleep(PERIOD * 4);
                let is_held = leadership.is_held();
                in_time("the loss", leadership.lost()).await;
                is_held
            })
        })
    };
    let before = in_time("a claim", led).await.unwrap();
    let second = claim(&entries, &duty, "b").await;
    assert!(second.is_held() && second.number() > before);
    assert!(!in_time("the end of the pause", paused).await.unwrap());
}
