//! What a projection wants done to its rows, as data: nothing here touches a database.

use crate::table::Table;
use crate::value::{Cell, Value};

/// One change of a table's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The table.
    pub table: &'static Table,
    /// What is done to it.
    pub operation: Operation,
}

/// A column and what it is set to.
pub type Assignment = (&'static str, Cell);

/// What is done to a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A row that is not there yet. One of the same key is an error: the projection is wrong.
    Insert {
        /// The key.
        key: Vec<Value>,
        /// The other columns; those left out are null.
        set: Vec<Assignment>,
    },
    /// A row that may be there: then only the columns that are named change.
    Upsert {
        /// The key.
        key: Vec<Value>,
        /// The columns.
        set: Vec<Assignment>,
    },
    /// A row that is there; nothing happens when it is not.
    Update {
        /// The key.
        key: Vec<Value>,
        /// The columns.
        set: Vec<Assignment>,
    },
    /// A row, or all rows whose key begins like this.
    Delete {
        /// The key, or the first columns of it.
        key: Vec<Value>,
    },
}

/// What a row is found by: one value, or several when the key has several columns.
pub trait Key {
    /// The values, in the order of the key's columns.
    fn values(self) -> Vec<Value>;
}

impl<T: Into<Value>> Key for T {
    fn values(self) -> Vec<Value> {
        vec![self.into()]
    }
}

impl<A: Into<Value>, B: Into<Value>> Key for (A, B) {
    fn values(self) -> Vec<Value> {
        vec![self.0.into(), self.1.into()]
    }
}

impl Table {
    /// Adds a row. Columns that are not named are null.
    #[must_use]
    pub fn insert<const N: usize>(&'static self, key: impl Key, set: [Assignment; N]) -> Change {
        Change { table: self, operation: Operation::Insert { key: key.values(), set: set.into() } }
    }

    /// Adds a row, or changes the named columns of the one that is there.
    #[must_use]
    pub fn upsert<const N: usize>(&'static self, key: impl Key, set: [Assignment; N]) -> Change {
        Change { table: self, operation: Operation::Upsert { key: key.values(), set: set.into() } }
    }

    /// Changes the named columns of a row.
    #[must_use]
    pub fn update<const N: usize>(&'static self, key: impl Key, set: [Assignment; N]) -> Change {
        Change { table: self, operation: Operation::Update { key: key.values(), set: set.into() } }
    }

    /// Removes a row, or all rows whose key begins with `key`.
    #[must_use]
    pub fn delete(&'static self, key: impl Key) -> Change {
        Change { table: self, operation: Operation::Delete { key: key.values() } }
    }
}
