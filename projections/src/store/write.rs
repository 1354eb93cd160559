//! Many rows written by one statement, which is the same for one row and for a thousand, so that it is
//! prepared once.
//!
//! The rows come as a table of their own, `u`: on `PostgreSQL` from one array for each column, on `SQLite`
//! from one JSON document. All else is the same text.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::table::{Column, Kind, Table};
use crate::value::Value;

/// What is done with the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Insert,
    Upsert,
    Update,
    Delete,
}

/// Rows of one table that are written alike.
pub(crate) struct Rows<'a> {
    pub(crate) verb: Verb,
    pub(crate) table: &'static Table,
    /// The name that the table has now.
    pub(crate) name: &'a str,
    /// Which columns of the table the rows have, those of the key first.
    pub(crate) columns: Vec<usize>,
    /// Which of those are added to what is there.
    pub(crate) added: Vec<usize>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// One column of all rows.
pub(crate) enum Array {
    Texts(Vec<Option<String>>),
    Numbers(Vec<Option<i64>>),
}

impl Array {
    pub(crate) fn bound(
        self,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Query<'_, sqlx::Postgres, PgArguments> {
        match self {
            Self::Texts(texts) => query.bind(texts),
            Self::Numbers(numbers) => query.bind(numbers),
        }
    }
}

impl Rows<'_> {
    /// The statement, and the document that it takes.
    pub(crate) fn for_sqlite(&self) -> (String, String) {
        let columns = self.columns().enumerate();
        let columns: Vec<_> = columns.map(|(n, column)| format!("value->>{n} AS {}", column.name)).collect();
        let source = format!("(SELECT {} FROM json_each($1)) AS u", columns.join(", "));
        (self.statement(&source), self.document())
    }

    /// The statement, and the arrays that it takes.
    pub(crate) fn for_postgres(&self) -> (String, Vec<Array>) {
        let arrays: Vec<_> = self
            .columns()
            .enumerate()
            .map(|(n, column)| match column.kind {
                Kind::Text => format!("${}::text[]", n + 1),
                Kind::Number => format!("${}::bigint[]", n + 1),
            })
            .collect();
        let source = format!("UNNEST({}) AS u ({})", arrays.join(", "), self.names().join(", "));
        (self.statement(&source), self.arrays())
    }

    fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|column| &self.table.columns[*column])
    }

    fn names(&self) -> Vec<&'static str> {
        self.columns().map(|column| column.name).collect()
    }

    fn statement(&self, source: &str) -> String {
        let (name, names) = (self.name, self.names().join(", "));
        let key: Vec<_> = self.table.key_columns().iter().map(|column| column.name).collect();
        match self.verb {
            Verb::Insert => format!("INSERT INTO {name} ({names}) SELECT {names} FROM {source}"),
            Verb::Upsert => {
                let changes = match self.assignments("excluded") {
                    changes if changes.is_empty() => "NOTHING".to_owned(),
                    changes => format!("UPDATE SET {changes}"),
                };
                // Without a condition, SQLite reads `ON` as that of a join.
                format!(
                    "INSERT INTO {name} AS t ({names}) SELECT {names} FROM {source} WHERE true \
                     ON CONFLICT ({}) DO {changes}",
                    key.join(", ")
                )
            }
            Verb::Update => {
                let changes = self.assignments("u");
                let same: Vec<_> = key.iter().map(|column| format!("t.{column} = u.{column}")).collect();
                format!("UPDATE {name} AS t SET {changes} FROM {source} WHERE {}", same.join(" AND "))
            }
            Verb::Delete => format!("DELETE FROM {name} WHERE ({names}) IN (SELECT {names} FROM {source})"),
        }
    }

    fn assignments(&self, new: &str) -> String {
        let changes = self.columns.iter().filter(|column| **column >= self.table.key).map(|column| {
            let name = self.table.columns[*column].name;
            if self.added.contains(column) {
                format!("{name} = COALESCE(t.{name}, 0) + {new}.{name}")
            } else {
                format!("{name} = {new}.{name}")
            }
        });
        changes.collect::<Vec<_>>().join(", ")
    }

    fn document(&self) -> String {
        serde_json::to_string(&self.rows).expect("rows are lists of texts, numbers and null")
    }

    fn arrays(&self) -> Vec<Array> {
        let columns = self.columns().enumerate();
        columns
            .map(|(n, column)| {
                let values = self.rows.iter().map(|row| &row[n]);
                match column.kind {
                    Kind::Text => Array::Texts(values.map(text_of).collect()),
                    Kind::Number => Array::Numbers(values.map(number_of).collect()),
                }
            })
            .collect()
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => text.as_ref().map(|text| text.clone().into_owned()),
        Value::Number(_) => None,
    }
}

fn number_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => *number,
        Value::Text(_) => None,
    }
}
