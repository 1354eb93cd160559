//! Many changes made few statements: changes of one row become one change, rows that are written alike one
//! statement.
//!
//! What comes out has the same effect as the changes one after the other. Where two changes of a row cannot
//! be one, a new segment begins; segments are written in their order.

use std::collections::BTreeMap;

use crate::change::{Assignment, Change, Operation};
use crate::store::{Rows, Transaction, Verb};
use crate::table::Table;
use crate::value::{Cell, Value};

/// A change that does not fit its table: a mistake in a projection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("table {table} has no column {column}")]
    Column { table: &'static str, column: &'static str },
    #[error("column {column} of table {table} holds another kind of value")]
    Kind { table: &'static str, column: &'static str },
    #[error("a key of table {table} has {given} values")]
    Key { table: &'static str, given: usize },
}

/// The changes of one projection.
#[derive(Default)]
pub(crate) struct Batch {
    /// By the table's name.
    tables: BTreeMap<&'static str, Segments>,
}

struct Segments {
    table: &'static Table,
    segments: Vec<Segment>,
}

enum Segment {
    /// Rows by their keys, which makes them come in the order of the table.
    Rows(BTreeMap<Vec<Value>, RowChange>),
    /// All rows whose key begins like this are removed.
    Sweep(Vec<Value>),
}

/// What is done to one row; `cells` has one for each column of the table that is not of the key.
struct RowChange {
    verb: Verb,
    cells: Vec<Option<Cell>>,
}

impl Batch {
    pub(crate) fn push(&mut self, change: Change) -> Result<(), Misfit> {
        let Change { table, operation } = change;
        let segments = self.tables.entry(table.name).or_insert_with(|| Segments { table, segments: vec![] });
        match operation {
            Operation::Insert { key, set } => segments.row(key, Verb::Insert, set),
            Operation::Upsert { key, set } => segments.row(key, Verb::Upsert, set),
            Operation::Update { key, set } => segments.row(key, Verb::Update, set),
            Operation::Delete { key } if key.len() == table.key => segments.row(key, Verb::Delete, vec![]),
            Operation::Delete { key } => segments.sweep(key),
        }
    }

    /// Writes everything. `name_of` tells the name that a table has now.
    pub(crate) async fn write(
        self,
        transaction: &mut Transaction,
        name_of: impl Fn(&Table) -> String,
    ) -> Result<(), sqlx::Error> {
        for Segments { table, segments } in self.tables.into_values() {
            let name = name_of(table);
            for segment in segments {
                match segment {
                    Segment::Rows(rows) => {
                        for rows in alike(table, &name, rows) {
                            transaction.write(&rows).await?;
                        }
                    }
                    Segment::Sweep(key) => {
                        let columns = (0..key.len()).collect();
                        let rows = vec![key];
                        let sweep =
                            Rows { verb: Verb::Delete, table, name: &name, columns, added: vec![], rows };
                        transaction.write(&sweep).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Segments {
    fn row(&mut self, key: Vec<Value>, verb: Verb, set: Vec<Assignment>) -> Result<(), Misfit> {
        self.check_key(&key, self.table.key)?;
        let change = RowChange { verb, cells: self.cells(set)? };
        if let Some(Segment::Rows(rows)) = self.segments.last_mut() {
            match rows.get_mut(&key) {
                None => {
                    rows.insert(key, change);
                    return Ok(());
                }
                Some(before) if before.takes(change.verb) => {
                    before.then(change);
                    return Ok(());
                }
                Some(_) => {}
            }
        }
        self.segments.push(Segment::Rows(BTreeMap::from([(key, change)])));
        Ok(())
    }

    fn sweep(&mut self, key: Vec<Value>) -> Result<(), Misfit> {
        let most = self.table.key;
        if key.is_empty() || key.len() > most {
            return Err(Misfit::Key { table: self.table.name, given: key.len() });
        }
        self.check_key(&key, key.len())?;
        self.segments.push(Segment::Sweep(key));
        Ok(())
    }

    fn check_key(&self, key: &[Value], length: usize) -> Result<(), Misfit> {
        let (table, given) = (self.table.name, key.len());
        if given != length {
            return Err(Misfit::Key { table, given });
        }
        for (value, column) in key.iter().zip(self.table.key_columns()) {
            if value.kind() != column.kind {
                return Err(Misfit::Kind { table, column: column.name });
            }
        }
        Ok(())
    }

    fn cells(&self, set: Vec<Assignment>) -> Result<Vec<Option<Cell>>, Misfit> {
        let (table, key) = (self.table.name, self.table.key);
        let mut cells = vec![None; self.table.columns.len() - key];
        for (column, cell) in set {
            let place = self.table.position_of(column).filter(|place| *place >= key);
            let place = place.ok_or(Misfit::Column { table, column })?;
            let kind = match &cell {
                Cell::Is(value) => value.kind(),
                Cell::Plus(_) => crate::table::Kind::Number,
            };
            if kind != self.table.columns[place].kind {
                return Err(Misfit::Kind { table, column });
            }
            cells[place - key] = Some(cell);
        }
        Ok(cells)
    }
}

impl RowChange {
    /// Whether a change that comes after this one can be made part of it. Those that cannot are rare, or
    /// mistakes that the database is to find: two rows of one key.
    const fn takes(&self, next: Verb) -> bool {
        match (self.verb, next) {
            (_, Verb::Delete)
            | (Verb::Insert | Verb::Upsert, Verb::Update | Verb::Upsert)
            | (Verb::Update | Verb::Delete, Verb::Update) => true,
            (_, Verb::Insert) | (Verb::Update | Verb::Delete, Verb::Upsert) => false,
        }
    }

    fn then(&mut self, next: Self) {
        match (self.verb, next.verb) {
            (_, Verb::Delete) => *self = next,
            (Verb::Delete, _) => {} // Nothing is there to be changed.
            (_, _) => {
                for (cell, next) in self.cells.iter_mut().zip(next.cells) {
                    *cell = sum(cell.take(), next);
                }
            }
        }
    }
}

/// What is left of two changes of one column.
fn sum(before: Option<Cell>, next: Option<Cell>) -> Option<Cell> {
    match (before, next) {
        (before, None) => before,
        (Some(Cell::Is(Value::Number(number))), Some(Cell::Plus(count))) => {
            Some(Cell::Is(Value::Number(Some(number.unwrap_or(0).saturating_add(count)))))
        }
        (Some(Cell::Plus(a)), Some(Cell::Plus(b))) => Some(Cell::Plus(a.saturating_add(b))),
        (_, next) => next,
    }
}

/// The rows in groups of those that are written by the same statement.
fn alike<'a>(table: &'static Table, name: &'a str, rows: BTreeMap<Vec<Value>, RowChange>) -> Vec<Rows<'a>> {
    let mut groups: BTreeMap<(Verb, u64, u64), Rows<'a>> = BTreeMap::new();
    for (key, RowChange { verb, cells }) in rows {
        if verb == Verb::Update && cells.iter().all(Option::is_none) {
            continue;
        }
        let (mut set, mut added) = (0_u64, 0_u64);
        for (n, cell) in cells.iter().enumerate() {
            set |= u64::from(cell.is_some()) << n;
            added |= u64::from(matches!(cell, Some(Cell::Plus(_)))) << n;
        }
        let columns = |mask: u64| {
            (0..table.columns.len() - table.key).filter(move |n| mask >> n & 1 == 1).map(|n| n + table.key)
        };
        let group = groups.entry((verb, set, added)).or_insert_with(|| Rows {
            verb,
            table,
            name,
            columns: (0..table.key).chain(columns(set)).collect(),
            added: columns(added).collect(),
            rows: vec![],
        });
        let values = cells.into_iter().flatten().map(|cell| match cell {
            Cell::Is(value) => value,
            Cell::Plus(count) => Value::Number(Some(count)),
        });
        group.rows.push(key.into_iter().chain(values).collect());
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests;
