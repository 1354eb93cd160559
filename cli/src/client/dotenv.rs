//! `.env` files: one `NAME=value` a line, with quotes. Nothing is substituted: a `$` is a `$`.

use std::collections::BTreeMap;

use domain::name::{InvalidName, VariableName};

/// A line that cannot be read. Its value is never repeated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct InvalidFile {
    line: usize,
    what: What,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum What {
    #[error("it has no `=`; a line is NAME=value, a comment (#), or empty")]
    NoEquals,
    #[error(transparent)]
    Name(InvalidName),
    #[error("the quote that begins here is not closed")]
    Open,
    #[error("something follows the closing quote; a comment begins with #")]
    AfterQuote,
    #[error("{0} is set twice")]
    Twice(VariableName),
}

/// Reads a file. Comments (`#` at the beginning, or after white space), empty lines and `export` are taken; a
/// value in single quotes is taken as it is, one in double quotes knows `\n`, `\r`, `\t`, `\"`, `\\` and
/// `\$`; both may have several lines.
///
/// # Errors
/// [`InvalidFile`] with the line.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<VariableName, String>, InvalidFile> {
    let mut variables = BTreeMap::new();
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let (mut rest, mut line) = (text.as_str(), 1);
    while !rest.is_empty() {
        let at = |what| InvalidFile { line, what };
        let end = rest.find('\n').unwrap_or(rest.len());
        let this = rest[..end].trim();
        if this.is_empty() || this.starts_with('#') {
            rest = rest.get(end + 1..).unwrap_or_default();
            line += 1;
            continue;
        }
        let equals = rest[..end].find('=').ok_or_else(|| at(What::NoEquals))?;
        let name = rest[..equals].trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim);
        let name: VariableName = name.parse().map_err(|error| at(What::Name(error)))?;
        let (value, used) = value(&rest[equals + 1..]).map_err(at)?;
        if variables.insert(name.clone(), value).is_some() {
            return Err(at(What::Twice(name)));
        }
        let read = &rest[..equals + 1 + used];
        line += read.matches('\n').count();
        rest = &rest[read.len()..];
    }
    Ok(variables)
}

/// The value that a text begins with, and how much of the text it takes, with the line's end.
fn value(text: &str) -> Result<(String, usize), What> {
    let start = text.len() - text.trim_start_matches([' ', '\t']).len();
    let Some(quote @ ('"' | '\'')) = text[start..].chars().next() else {
        let end = text.find('\n').unwrap_or(text.len());
        let line = &text[start.min(end)..end];
        let comment = line.match_indices('#').find(|(at, _)| *at == 0 || line[..*at].ends_with([' ', '\t']));
        let plain = comment.map_or(line, |(at, _)| &line[..at]);
        return Ok((plain.trim().to_owned(), (end + 1).min(text.len())));
    };
    let mut value = String::new();
    let mut characters = text[start + 1..].char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            c if c == quote => {
                let after = start + 1 + at + 1;
                let end = text[after..].find('\n').map_or(text.len(), |end| after + end);
                let tail = text[after..end].trim();
                if !tail.is_empty() && !tail.starts_with('#') {
                    return Err(What::AfterQuote);
                }
                return Ok((value, (end + 1).min(text.len())));
            }
            '\\' if quote == '"' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('"' | '\\' | '$'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => return Err(What::Open),
            },
            c => value.push(c),
        }
    }
    Err(What::Open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let variables = parse(text).expect(text);
        variables.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn error(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn the_usual_lines_are_read() {
        for (text, name, value) in [
            ("A=b", "A", "b"),
            ("A=b\n", "A", "b"),
            ("export A=b\r\n", "A", "b"),
            ("  A = b c  ", "A", "b c"),
            ("A=", "A", ""),
            ("A=\n", "A", ""),
            ("A=b # why", "A", "b"),
            ("A=b#c", "A", "b#c"),
            ("A=#c", "A", ""),
            ("A=\"b # c\" # why", "A", "b # c"),
            ("A='b\\n$X'", "A", "b\\n$X"),
            ("A=\"b\\n\\\"c\\\"\\$X \\d\"", "A", "b\n\"c\"$X \\d"),
            ("A=\"two\nlines\"\n", "A", "two\nlines"),
            ("A=postgres://u:p@h/d?x=1#y", "A", "postgres://u:p@h/d?x=1#y"),
            ("\u{feff}A=grün", "A", "grün"),
        ] {
            assert_eq!(read(text), [(name.to_owned(), value.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn lines_follow_each_other() {
        let text = "# first\n\nA='x\ny'\nB=2 # two\n   # last\nC=\"3\"";
        let expected = [("A", "x\ny"), ("B", "2"), ("C", "3")];
        assert_eq!(read(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_cannot_be_read_names_its_line_and_no_value() {
        for (text, says) in [
            ("A=1\nhunter2", "line 2: it has no `=`"),
            ("A='x\ny'\nB=\"hunter2", "line 3: the quote that begins here is not closed"),
            ("A='hunter2' hunter2", "line 1: something follows the closing quote"),
            ("A=1\nA=hunter2", "line 2: A is set twice"),
            ("a=hunter2", "line 1: variable name `a` contains"),
        ] {
            let error = error(text);
            assert!(error.starts_with(says), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
