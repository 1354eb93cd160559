//! Takes the values of variables out of what programs print, because a build that prints its environment
//! would otherwise write them into a log.
//!
//! Lines are looked at whole, so it does not matter in which pieces they came; the lines of a value of
//! several lines are taken out one by one. The usual forms of a value are taken out too: in JSON, in a URL,
//! in hexadecimal digits and in base64. A program that wants to get a value out of a build can still do so in
//! a form of its own.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::process::CUT;

/// Values with fewer characters stay: they are words such as `true`, and would tear holes into every line.
const MIN_CHARACTERS: usize = 6;
/// Stands for a value.
const STARS: &str = "***";

/// What is to be taken out. An empty one takes nothing out.
#[derive(Clone, Default)]
pub struct Mask {
    /// By their first two bytes, the longest first.
    values: Arc<HashMap<[u8; 2], Vec<String>>>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(***)")
    }
}

impl Mask {
    /// Takes these values out.
    #[must_use]
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut by_begin: HashMap<[u8; 2], Vec<String>> = HashMap::new();
        for form in values.into_iter().flat_map(forms) {
            if let [first, second, ..] = form.as_bytes() {
                by_begin.entry([*first, *second]).or_default().push(form);
            }
        }
        for forms in by_begin.values_mut() {
            forms.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            forms.dedup();
        }
        Self { values: Arc::new(by_begin) }
    }

    /// The line without them.
    #[must_use]
    pub fn apply(&self, line: String) -> String {
        if self.values.is_empty() {
            return line;
        }
        let (text, cut) = match line.strip_suffix(CUT) {
            Some(text) => (text, CUT),
            None => (line.as_str(), ""),
        };
        let mut masked = String::new();
        let (mut kept, mut at) = (0, 0);
        while at + 1 < text.len() {
            match self.found(text, at, !cut.is_empty()) {
                Some(length) => {
                    masked.push_str(&text[kept..at]);
                    masked.push_str(STARS);
                    at += length;
                    kept = at;
                }
                None => at += 1,
            }
        }
        if kept == 0 {
            return line;
        }
        masked.push_str(&text[kept..]);
        masked.push_str(cut);
        masked
    }

    /// How much of the text from here on is a value. Where a line was cut, the beginning of a value may stand
    /// at its end.
    fn found(&self, text: &str, at: usize, is_cut: bool) -> Option<usize> {
        let bytes = text.as_bytes();
        let values = self.values.get(&[bytes[at], bytes[at + 1]])?;
        let rest = &bytes[at..];
        values.iter().find_map(|value| {
            let whole = rest.starts_with(value.as_bytes());
            let begun = is_cut && value.as_bytes().starts_with(rest);
            (whole || begun).then_some(value.len().min(rest.len()))
        })
    }
}

/// The forms in which a value is printed; of a value of several lines, those of each line.
fn forms(value: &str) -> Vec<String> {
    let long = |text: &str| text.chars().count() >= MIN_CHARACTERS;
    let mut forms: Vec<String> =
        value.lines().map(str::trim).filter(|line| long(line)).map(str::to_owned).collect();
    if !long(value) {
        return forms;
    }
    if !value.contains(['\n', '\r']) {
        forms.push(value.to_owned()); // With the spaces around it.
    }
    let json = serde_json::Value::from(value).to_string();
    forms.push(json.trim_matches('"').to_owned());
    forms.push(percent_encoded(value));
    forms.push(hex::encode(value));
    forms.extend(base64(value.as_bytes()));
    forms.sort_unstable();
    forms.dedup();
    forms
}

fn percent_encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}"); // Writing into a String cannot fail.
        }
    }
    text
}

/// What is in base64 whatever stands before and after the value: one text for each place that its first byte
/// may have in a group of three, in both alphabets.
fn base64(value: &[u8]) -> Vec<String> {
    let alphabets = ["+/", "-_"]
        .map(|last| ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(last.chars()).collect::<Vec<char>>());
    let mut texts = vec![];
    for offset in 0..3 {
        // Bits of the first whole character that the value alone decides, and so on to the last.
        let bits: Vec<bool> =
            value.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
        let skipped = [0, 4, 2][offset];
        for alphabet in &alphabets {
            let groups = bits.get(skipped..).unwrap_or_default().chunks_exact(6);
            let text: String = groups
                .map(|group| alphabet[group.iter().fold(0, |sum, bit| sum * 2 + usize::from(*bit))])
                .collect();
            texts.push(text);
        }
    }
    texts.retain(|text| text.len() >= MIN_CHARACTERS);
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(values: &[&str], line: &str) -> String {
        Mask::new(values.iter().copied()).apply(line.to_owned())
    }

    #[test]
    fn values_of_six_characters_and_more_are_taken_out() {
        assert_eq!(masked(&["secret"], "a secret, secretsecret"), "a ***, ******");
        assert_eq!(masked(&["short"], "short"), "short");
        assert_eq!(masked(&["gähéim"], "x gähéim y"), "x *** y");
        assert_eq!(masked(&["äöü"], "äöü"), "äöü");
        assert_eq!(masked(&[], "secret"), "secret");
        assert_eq!(masked(&["secret"], ""), "");
        assert_eq!(masked(&["secret"], "secre"), "secre");
    }

    #[test]
    fn of_two_values_the_longer_one_is_taken_out() {
        assert_eq!(masked(&["secret", "secret-of-all"], "secret-of-all secret-of"), "*** ***-of");
    }

    #[test]
    fn each_line_of_a_value_is_taken_out() {
        let key = "-----BEGIN-----\r\n  MIIEpAIBAAKC\nend\n";
        assert_eq!(masked(&[key], "MIIEpAIBAAKC"), "***");
        assert_eq!(masked(&[key], "-----BEGIN-----"), "***");
        assert_eq!(masked(&[key], "end"), "end");
    }

    #[test]
    fn the_usual_forms_are_taken_out_too() {
        let value = "p@ss/w\"rd\nline two";
        assert_eq!(masked(&[value], r#"{"a":"p@ss/w\"rd\nline two"}"#), r#"{"a":"***"}"#);
        assert_eq!(masked(&["p@ss/w rd"], "https://x:p%40ss%2Fw%20rd@h"), "https://x:***@h");
        assert_eq!(masked(&["secret"], "736563726574"), "***");
    }

    #[test]
    fn base64_is_taken_out_wherever_the_value_stands_in_it() {
        let engine = |text: &str| {
            // What `printf … | base64` prints; checked by the tool once.
            match text {
                "user:hunter22-hunter22" => "dXNlcjpodW50ZXIyMi1odW50ZXIyMg==",
                "a:hunter22-hunter22" => "YTpodW50ZXIyMi1odW50ZXIyMg==",
                _ => "aHVudGVyMjItaHVudGVyMjI=",
            }
        };
        for text in ["user:hunter22-hunter22", "a:hunter22-hunter22", "hunter22-hunter22"] {
            let shown = masked(&["hunter22-hunter22"], engine(text));
            assert!(shown.contains("***") && shown.len() < 14, "{text}: {shown}");
        }
    }

    #[test]
    fn where_a_line_was_cut_the_beginning_of_a_value_is_taken_out() {
        assert_eq!(masked(&["secret"], &format!("x secr{CUT}")), format!("x ***{CUT}"));
        assert_eq!(masked(&["secret"], "x secr"), "x secr");
    }
}
