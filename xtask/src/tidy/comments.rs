//! Comments that run past the line (`tidy --fix`): rustfmt wraps code only.
//!
//! A paragraph with a line that is too long is filled anew. What has a shape of its own is left as it is:
//! lists, tables, headings, code. An address is never broken.

use crate::tidy::lengths::LINE_CHARS_MAX;

const MARKERS: [&str; 3] = ["//! ", "/// ", "// "];

/// The text with its comments wrapped; the same text when there is nothing to wrap.
pub(super) fn wrapped(text: &str) -> String {
    let mut lines = Vec::new();
    let mut paragraph = Paragraph::default();
    let mut in_code = false;
    for line in text.lines() {
        let comment = split(line);
        if comment.is_some_and(|(_, words)| words.starts_with("```")) {
            in_code = !in_code;
        }
        let prose = comment.filter(|(_, words)| !in_code && is_prose(words));
        if prose.is_none_or(|(prefix, _)| prefix != paragraph.prefix) {
            paragraph.close(&mut lines);
        }
        match prose {
            Some((prefix, words)) => paragraph.add(prefix, words),
            None => lines.push(line.to_owned()),
        }
    }
    paragraph.close(&mut lines);
    let mut wrapped = lines.join("\n");
    if text.ends_with('\n') {
        wrapped.push('\n');
    }
    wrapped
}

/// Lines of prose with the same indentation and marker.
#[derive(Default)]
struct Paragraph {
    prefix: String,
    lines: Vec<String>,
}

impl Paragraph {
    fn add(&mut self, prefix: &str, words: &str) {
        prefix.clone_into(&mut self.prefix);
        self.lines.push(words.to_owned());
    }

    fn close(&mut self, into: &mut Vec<String>) {
        let prefix = std::mem::take(&mut self.prefix);
        let lines = std::mem::take(&mut self.lines);
        let width = LINE_CHARS_MAX - prefix.chars().count().min(LINE_CHARS_MAX);
        let is_long = lines.iter().any(|line| line.chars().count() > width);
        let lines = if is_long { fill(&lines, width) } else { lines };
        into.extend(lines.into_iter().map(|line| format!("{prefix}{line}")));
    }
}

/// Indentation with marker, and the words behind it. A comment that stands behind code is no line of its own.
fn split(line: &str) -> Option<(&str, &str)> {
    let indentation = line.len() - line.trim_start().len();
    let marker = MARKERS.iter().find(|marker| line[indentation..].starts_with(**marker))?;
    Some(line.split_at(indentation + marker.len()))
}

/// Whether it may be joined with its neighbours.
fn is_prose(words: &str) -> bool {
    let is_numbered = words.split_once(['.', ')']).is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    let is_address_of_link = words.starts_with('[') && words.contains("]: ");
    !is_numbered && !is_address_of_link && !words.starts_with([' ', '|', '#', '>']) && !is_item(words)
}

/// `- item` or `* item`; not `-flag` or `*emphasis*`.
fn is_item(words: &str) -> bool {
    words.starts_with("- ") || words.starts_with("* ") || words.starts_with("```")
}

fn fill(lines: &[String], width: usize) -> Vec<String> {
    let mut filled: Vec<String> = Vec::new();
    for word in lines.iter().flat_map(|line| line.split_whitespace()) {
        match filled.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => filled.push(word.to_owned()),
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_wrapped_with_the_rest_of_its_paragraph() {
        let long = "word ".repeat(25);
        let text = format!("    /// {long}\n    /// end.\n    ///\n    /// Other.\n    fn a() {{}}\n");
        let first = "word ".repeat(20);
        let second = "word ".repeat(5);
        let expected = format!(
            "    /// {}\n    /// {second}end.\n    ///\n    /// Other.\n    fn a() {{}}\n",
            first.trim_end()
        );
        assert_eq!(wrapped(&text), expected);
    }

    #[test]
    fn what_has_a_shape_of_its_own_stays() {
        let long = "word ".repeat(25);
        for line in [
            "//! - {}",
            "//! | {}",
            "//! 1. {}",
            "//!     {}",
            "//! ```\n//! {}\n//! ```",
            "let a = 1; // {}",
        ] {
            let text = line.replace("{}", long.trim_end());
            assert_eq!(wrapped(&text), text);
        }
    }

    #[test]
    fn a_paragraph_that_fits_keeps_its_lines() {
        let text = "//! One.\n//! Two.\n\nfn a() {}";
        assert_eq!(wrapped(text), text);
    }
}
