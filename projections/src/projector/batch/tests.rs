//! Batches: the same as the changes one by one.

use proptest::prelude::*;

use super::*;
use crate::change::Change;
use crate::store::{FromRow, QueryError, ReadStore, Row, Select};
use crate::table::{Owner, number, text};
use crate::value::plus;

static THINGS: Table = Table {
    name: "things",
    key: 2,
    owner: Owner::Platform,
    columns: &[text("owner"), number("place"), text("color").or_null(), number("times").or_null()],
    indexes: &[],
};

/// A row as text.
struct Thing(String);

impl FromRow for Thing {
    fn from_row(row: &Row) -> Result<Self, QueryError> {
        let (owner, place): (String, i64) = (row.get("owner")?, row.get("place")?);
        let (color, times): (Option<String>, Option<i64>) = (row.optional("color")?, row.optional("times")?);
        Ok(Self(format!("{owner} {place} {color:?} {times:?}")))
    }
}

/// Any change of a few rows. A row is only inserted where none can be: what comes before removes it.
fn change() -> impl Strategy<Value = Vec<Change>> {
    let owner = prop_oneof![Just("a"), Just("b")];
    (owner, 0..2_i64, 0..9_u8, 0..5_i64).prop_map(|(owner, place, kind, n)| {
        let (key, color) = ((owner, place), ["red", "green", "blue", "white", "black"][n as usize]);
        match kind {
            0 => vec![THINGS.delete(key), THINGS.insert(key, [("color", color.into())])],
            1 => vec![THINGS.delete(key), THINGS.insert(key, [("times", n.into()), ("color", color.into())])],
            2 => vec![THINGS.upsert(key, [("times", plus(n))])],
            3 => vec![THINGS.upsert(key, [("color", color.into()), ("times", n.into())])],
            4 => vec![THINGS.upsert(key, [])],
            5 => vec![THINGS.update(key, [("color", None::<String>.into())])],
            6 => vec![THINGS.update(key, [("times", plus(n)), ("color", color.into())])],
            7 => vec![THINGS.delete(key)],
            _ => vec![THINGS.delete(owner)],
        }
    })
}

async fn rows(batches: Vec<Vec<Change>>) -> Vec<String> {
    let store = ReadStore::sqlite_in_memory().await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    transaction.create(&THINGS, "things").await.unwrap();
    for changes in batches {
        let mut batch = Batch::default();
        for change in changes {
            batch.push(change).unwrap();
        }
        batch.write(&mut transaction, |table| table.name.to_owned()).await.unwrap();
    }
    transaction.commit().await.unwrap();
    let select = Select::unscoped("SELECT owner, place, color, times FROM things ORDER BY owner, place");
    store.all::<Thing>(select).await.unwrap().into_iter().map(|thing| thing.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn changes_in_one_batch_do_what_they_do_one_by_one(changes in prop::collection::vec(change(), 0..30)) {
        let changes: Vec<Change> = changes.into_iter().flatten().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let one_by_one = changes.iter().map(|change| vec![change.clone()]).collect();
        let (alone, together) =
            runtime.block_on(async { (rows(one_by_one).await, rows(vec![changes]).await) });
        prop_assert_eq!(alone, together);
    }
}

#[test]
fn changes_of_one_row_become_one() {
    let mut batch = Batch::default();
    batch.push(THINGS.insert(("a", 1_i64), [("color", "red".into())])).unwrap();
    batch.push(THINGS.update(("a", 1_i64), [("times", plus(2))])).unwrap();
    batch.push(THINGS.update(("a", 1_i64), [("times", plus(3)), ("color", "blue".into())])).unwrap();
    let segments = &batch.tables["things"].segments;
    assert_eq!(segments.len(), 1);
    let Segment::Rows(rows) = &segments[0] else { panic!("it is not about rows") };
    assert_eq!(rows.len(), 1);
}

#[test]
fn two_rows_of_one_key_are_left_to_the_database_to_refuse() {
    let mut batch = Batch::default();
    batch.push(THINGS.insert(("a", 1_i64), [])).unwrap();
    batch.push(THINGS.insert(("a", 1_i64), [])).unwrap();
    assert_eq!(batch.tables["things"].segments.len(), 2);
}

#[test]
fn what_does_not_fit_the_table_is_refused() {
    let refused = |change: Change| Batch::default().push(change).unwrap_err().to_string();
    assert!(refused(THINGS.update(("a", 1_i64), [("size", 1_i64.into())])).contains("no column size"));
    assert!(refused(THINGS.update(("a", 1_i64), [("owner", "b".into())])).contains("no column owner"));
    assert!(refused(THINGS.update(("a", 1_i64), [("color", 1_i64.into())])).contains("another kind"));
    assert!(refused(THINGS.update(("a", 1_i64), [("color", plus(1))])).contains("another kind"));
    assert!(refused(THINGS.update((1_i64, 1_i64), [])).contains("another kind"));
    assert!(refused(THINGS.update("a", [])).contains("1 values"));
}
