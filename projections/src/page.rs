//! Lists in pages. A cursor is the key of the last row of a page, in a form that callers need not understand:
//! rows that come and go between two pages are neither shown twice nor make others be missed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::table::Kind;
use crate::value::Value;

/// How many rows a page has when nobody says.
pub const DEFAULT_LIMIT: u32 = 50;
/// How many rows a page has at most.
pub const MAX_LIMIT: u32 = 200;
/// The longest cursor, in bytes. Ours are far shorter.
const MAX_CURSOR: usize = 1000;

/// Which page is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    limit: u32,
    after: Option<Cursor>,
}

/// The key of the row before a page.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    /// Which list it is of, so that the cursor of one is refused by another.
    list: String,
    key: Vec<Value>,
}

/// A page that cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPage {
    /// Too many rows, or none.
    #[error("{0} is not a number of rows; a page has 1 to {MAX_LIMIT}")]
    Limit(u32),
    /// A cursor that no answer gave.
    #[error("the cursor is none that this list gave; leave it out to begin at the first page")]
    Cursor,
}

impl InvalidPage {
    /// The field of the request that is at fault.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Limit(_) => "limit",
            Self::Cursor => "cursor",
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed<T> {
    /// Its rows.
    pub items: Vec<T>,
    /// The cursor of the page after it, when there is one.
    pub next: Option<String>,
    /// How many rows it could have had.
    pub limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, after: None }
    }
}

impl Page {
    /// The page that a request asks for.
    ///
    /// # Errors
    /// [`InvalidPage`].
    pub fn new(limit: Option<u32>, cursor: Option<&str>) -> Result<Self, InvalidPage> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(InvalidPage::Limit(limit));
        }
        let after = cursor.map(Cursor::decode).transpose()?;
        Ok(Self { limit, after })
    }

    /// How many rows to ask for: one more than the page has tells whether there is a page after it.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The key of the row before the page, which must be of these kinds: a cursor comes from outside.
    pub(crate) fn after<const N: usize>(
        &self,
        list: &str,
        kinds: [Kind; N],
    ) -> Result<Option<[Value; N]>, InvalidPage> {
        let Some(cursor) = &self.after else { return Ok(None) };
        let key = <[Value; N]>::try_from(cursor.key.clone()).map_err(|_| InvalidPage::Cursor)?;
        let fits = cursor.list == list && key.iter().map(Value::kind).eq(kinds);
        if fits { Ok(Some(key)) } else { Err(InvalidPage::Cursor) }
    }

    /// The page that the fetched rows make.
    pub(crate) fn of<T>(&self, list: &str, mut rows: Vec<T>, key: impl Fn(&T) -> Vec<Value>) -> Listed<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| is_more).map(|last| Cursor::encode(list, &key(last)));
        Listed { items: rows, next, limit: self.limit }
    }
}

impl<T> Listed<T> {
    /// The same page with other rows.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Listed<U> {
        Listed { items: self.items.into_iter().map(change).collect(), next: self.next, limit: self.limit }
    }
}

impl Cursor {
    fn encode(list: &str, key: &[Value]) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::json!([list, key]).to_string())
    }

    fn decode(text: &str) -> Result<Self, InvalidPage> {
        let decoded = (text.len() <= MAX_CURSOR).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten();
        let (list, key): (String, Vec<serde_json::Value>) =
            decoded.and_then(|json| serde_json::from_slice(&json).ok()).ok_or(InvalidPage::Cursor)?;
        let key: Option<Vec<Value>> = key
            .into_iter()
            .map(|value| match value {
                serde_json::Value::String(text) => Some(text.into()),
                serde_json::Value::Number(number) => number.as_i64().map(Into::into),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Array(_)
                | serde_json::Value::Object(_) => None,
            })
            .collect();
        Ok(Self { list, key: key.ok_or(InvalidPage::Cursor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: i64) -> Vec<i64> {
        (1..=n).collect()
    }

    fn key(row: &i64) -> Vec<Value> {
        vec![(*row).into(), "b".into()]
    }

    #[test]
    fn a_page_has_1_to_200_rows() {
        assert_eq!(Page::new(None, None).map(|page| page.limit), Ok(50));
        assert_eq!(Page::new(Some(1), None).map(|page| page.limit), Ok(1));
        assert_eq!(Page::new(Some(200), None).map(|page| page.limit), Ok(200));
        assert_eq!(Page::new(Some(0), None), Err(InvalidPage::Limit(0)));
        assert_eq!(Page::new(Some(201), None), Err(InvalidPage::Limit(201)));
    }

    #[test]
    fn the_last_page_has_no_next_one_even_when_it_is_full() {
        let page = Page::new(Some(3), None).unwrap();
        assert_eq!(page.of("a", rows(3), key).next, None);
        let more = page.of("a", rows(4), key);
        assert_eq!(more.items, [1, 2, 3]);
        let next = Page::new(Some(3), more.next.as_deref()).unwrap();
        let kinds = [Kind::Number, Kind::Text];
        assert_eq!(next.after("a", kinds), Ok(Some([3_i64.into(), "b".into()])));
    }

    #[test]
    fn a_cursor_of_another_list_or_of_nobody_is_refused() {
        let page = Page::new(Some(1), None).unwrap();
        let cursor = page.of("a", rows(2), key).next;
        let next = Page::new(None, cursor.as_deref()).unwrap();
        assert_eq!(next.after("b", [Kind::Number, Kind::Text]), Err(InvalidPage::Cursor));
        assert_eq!(next.after("a", [Kind::Number]), Err(InvalidPage::Cursor));
        assert_eq!(next.after("a", [Kind::Text, Kind::Number]), Err(InvalidPage::Cursor));
        let long = "A".repeat(1001);
        for text in ["", "x", "////", "bnVsbA", "WyJhIixbbnVsbF1d", long.as_str()] {
            assert_eq!(Page::new(None, Some(text)), Err(InvalidPage::Cursor), "{text}");
        }
    }
}
