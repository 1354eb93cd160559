//! Traces that go on in another process: what a span passes on, and what it goes on from, as a W3C
//! `traceparent`.
//!
//! It travels in the header of a request, in the envelope of every event and in every item of work. Nothing
//! of a trace decides anything. The crates know spans of `tracing` and no ids: how those are found is said
//! once, by whoever puts the program together; until then spans pass nothing on.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tracing::Span;

/// Names a span of a trace: `00-<32 digits>-<16 digits>-<2 digits>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Traceparent {
    /// The trace; never zero.
    pub trace: u128,
    /// The span; never zero.
    pub span: u64,
    /// Bit 0: whether it is recorded.
    pub flags: u8,
}

/// A text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of the form 00-<32 digits>-<16 digits>-<2 digits>")]
pub struct InvalidTraceparent;

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for Traceparent {
    type Err = InvalidTraceparent;

    /// A later version may have more behind; it is read as far as it is known.
    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let mut parts = text.split('-');
        let mut part = |length: usize| {
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let part = parts.next().filter(|part| part.len() == length && part.bytes().all(is_hex));
            part.ok_or(InvalidTraceparent)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let invalid = |_| InvalidTraceparent;
        let parsed = Self {
            trace: u128::from_str_radix(trace, 16).map_err(invalid)?,
            span: u64::from_str_radix(span, 16).map_err(invalid)?,
            flags: u8::from_str_radix(flags, 16).map_err(invalid)?,
        };
        let is_over = version != "00" || parts.next().is_none();
        let is_valid = parsed.trace != 0 && parsed.span != 0 && version != "ff" && is_over;
        is_valid.then_some(parsed).ok_or(InvalidTraceparent)
    }
}

impl From<Traceparent> for String {
    fn from(traceparent: Traceparent) -> Self {
        traceparent.to_string()
    }
}

impl TryFrom<String> for Traceparent {
    type Error = InvalidTraceparent;

    fn try_from(text: String) -> Result<Self, InvalidTraceparent> {
        text.parse()
    }
}

/// How ids are found and taken over.
#[derive(Clone, Copy, Debug)]
pub struct Propagation {
    /// What names a span.
    pub of: fn(&Span) -> Option<Traceparent>,
    /// Makes a span, which was not entered yet, a child of another.
    pub adopt: fn(&Span, Traceparent),
}

static PROPAGATION: OnceLock<Propagation> = OnceLock::new();

/// Says how. The first to say it counts.
pub fn install(propagation: Propagation) {
    let _ = PROPAGATION.set(propagation);
}

/// What names a span elsewhere; nothing, while traces are not kept.
#[must_use]
pub fn of(span: &Span) -> Option<Traceparent> {
    PROPAGATION.get().and_then(|propagation| (propagation.of)(span))
}

/// The span as a child of another: one of another process, or of another time.
#[must_use]
pub fn continued(span: Span, parent: Option<Traceparent>) -> Span {
    if let (Some(propagation), Some(parent)) = (PROPAGATION.get(), parent) {
        (propagation.adopt)(&span, parent);
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_reads_back_as_it_was_written() {
        let parsed: Traceparent = GOOD.parse().unwrap();
        assert_eq!(parsed.to_string(), GOOD);
        assert_eq!(serde_json::to_value(parsed).unwrap(), GOOD);
        assert_eq!(serde_json::from_value::<Traceparent>(GOOD.into()).unwrap(), parsed);
        assert_eq!(GOOD.replacen("00", "01", 1).parse(), Ok(parsed), "a later version");
        assert_eq!(format!("01{}-more", &GOOD[2..]).parse(), Ok(parsed), "a later version, and more");
    }

    #[test]
    fn a_traceparent_of_another_form_is_none() {
        for bad in [
            "",
            "00",
            "00-0af-b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(bad.parse::<Traceparent>(), Err(InvalidTraceparent), "{bad}");
        }
    }
}
