//! The tables of a projection, described once: the store makes each database's own statements from it.

/// What a column holds. There are two kinds only, because both databases have them: identifiers, times and
/// documents are text, counts and positions are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TEXT in both databases.
    Text,
    /// BIGINT, which `SQLite` calls INTEGER.
    Number,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null.
    pub is_nullable: bool,
}

impl Column {
    /// The same column, that may be null.
    #[must_use]
    pub const fn or_null(self) -> Self {
        Self { is_nullable: true, ..self }
    }
}

/// A column of text.
#[must_use]
pub const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, is_nullable: false }
}

/// A column of numbers.
#[must_use]
pub const fn number(name: &'static str) -> Column {
    Column { name, kind: Kind::Number, is_nullable: false }
}

/// Whose the rows of a table are. `PostgreSQL` shows a reader the rows of the organisation that it asks for
/// and no others, whatever the query says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The organisation whose id is in this column.
    Organization(&'static str),
    /// Nobody's alone. Whoever adds such a table says why at its place.
    Platform,
}

/// A table. Rows are known by its first `key` columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, as queries write it.
    pub name: &'static str,
    /// How many of the columns, from the first, are the key.
    pub key: usize,
    /// Whose its rows are.
    pub owner: Owner,
    /// Its columns, at most 64.
    pub columns: &'static [Column],
    /// Columns that rows are found by besides the key, each with the order that queries want.
    pub indexes: &'static [&'static str],
}

impl Table {
    /// Where a column stands.
    #[must_use]
    pub fn position_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// The columns of the key.
    #[must_use]
    pub fn key_columns(&self) -> &'static [Column] {
        &self.columns[..self.key]
    }
}
