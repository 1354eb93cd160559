//! A query: fixed texts and the values that go into them.

use domain::id::OrganizationId;

use crate::value::Value;

/// What a query may see, where the database itself holds readers back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One organisation's rows.
    Organization(OrganizationId),
    /// What is nobody's alone: checkpoints.
    Shared,
    /// All rows, along the path of whoever writes them.
    Platform,
}

/// A query under construction. Its text is only ever put together from texts that stand in this program;
/// whatever comes from outside is bound.
#[derive(Clone, Debug)]
pub struct Select {
    scope: Scope,
    text: String,
    binds: Vec<Value>,
}

impl Select {
    /// A query of one organisation's rows. The text, or what is added to it, must ask for `organization =
    /// $1`.
    #[must_use]
    pub fn of(organization: OrganizationId, text: &'static str) -> Self {
        let scope = Scope::Organization(organization);
        Self { scope, text: text.to_owned(), binds: vec![organization.into()] }
    }

    /// A query of what is nobody's alone, as checkpoints are, or a statement of the projector. A reader sees
    /// no row of any organisation with it.
    #[must_use]
    pub(crate) fn unscoped(text: &'static str) -> Self {
        Self { scope: Scope::Shared, text: text.to_owned(), binds: vec![] }
    }

    /// A query of all organisations' rows, for the platform itself. There are three: all routes and all
    /// hostnames, for whoever makes them true, and the organisations of a person.
    #[must_use]
    pub(crate) fn platform(text: &'static str) -> Self {
        Self { scope: Scope::Platform, text: text.to_owned(), binds: vec![] }
    }

    /// More of the text. Each `?` stands for one of the values, in their order.
    #[must_use]
    pub fn with<const N: usize>(mut self, text: &'static str, values: [Value; N]) -> Self {
        let mut values = values.into_iter();
        self.text.push(' ');
        for (n, piece) in text.split('?').enumerate() {
            if n > 0 {
                self.bind(values.next());
            }
            self.text.push_str(piece);
        }
        self
    }

    /// More of the text, when there is a value for it.
    #[must_use]
    pub fn with_some<T: Into<Value>>(self, text: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(text, [value.into()]),
            None => self,
        }
    }

    /// More of the text, ending in the list of values in brackets: `AND id IN`, [a, b] becomes `AND id IN
    /// ($2, $3)`. An empty list becomes one that nothing is in.
    #[must_use]
    pub fn with_list(mut self, text: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        self.text.push(' ');
        self.text.push_str(text);
        self.text.push_str(" (");
        let mut is_first = true;
        for value in values {
            if !is_first {
                self.text.push_str(", ");
            }
            is_first = false;
            self.bind(Some(value));
        }
        self.text.push_str(if is_first { "NULL)" } else { ")" });
        self
    }

    fn bind(&mut self, value: Option<Value>) {
        debug_assert!(value.is_some(), "a value is missing for {}", self.text);
        self.binds.push(value.unwrap_or(Value::Text(None)));
        self.text.push('$');
        self.text.push_str(&self.binds.len().to_string());
    }

    pub(super) const fn scope(&self) -> Scope {
        self.scope
    }

    pub(super) fn into_parts(self) -> (String, Vec<Value>) {
        debug_assert!(self.binds.is_empty() || self.text.contains("$1"), "whose rows? {}", self.text);
        (self.text, self.binds)
    }
}

/// `text` as a pattern of LIKE that is found anywhere, in small letters; to be used with `ESCAPE '\'`.
#[must_use]
pub(crate) fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_in_the_order_in_which_they_come() {
        let select = Select::of(OrganizationId::PLATFORM, "SELECT * FROM t WHERE organization = $1")
            .with("AND (a, b) < (?, ?)", [1_i64.into(), 2_i64.into()])
            .with_some("AND c = ?", None::<i64>)
            .with_some("AND d = ?", Some("x"))
            .with_list("AND e IN", ["p".into(), "q".into()])
            .with_list("AND f IN", []);
        let (text, binds) = select.into_parts();
        let expected = "SELECT * FROM t WHERE organization = $1 AND (a, b) < ($2, $3) AND d = $4 \
                        AND e IN ($5, $6) AND f IN (NULL)";
        assert_eq!(text, expected);
        assert_eq!(binds.len(), 6);
    }

    #[test]
    fn what_like_takes_for_a_sign_is_escaped() {
        assert_eq!(pattern("50%_A\\"), "%50\\%\\_a\\\\%");
    }
}
