//! The lines of a Dockerfile: directives, comments, continuations, and the flags of an instruction.

use crate::builder::docker::scan::{OWN_FRONT_END, Refused, refused};

/// A file, taken apart.
pub(super) struct Text {
    /// It, without a line that names the engine's own front end.
    pub(super) text: String,
    /// What that line named.
    pub(super) front_end: Option<String>,
    pub(super) instructions: Vec<Instruction>,
}

/// An instruction, its lines joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// In capitals.
    pub(super) keyword: String,
    /// `--name=value`, in their order, quotes and escapes resolved.
    pub(super) flags: Vec<(String, String)>,
    /// What comes after them.
    pub(super) rest: String,
    escape: char,
}

pub(super) fn read(text: &str) -> Result<Text, Refused> {
    let text = text.trim_start_matches('\u{feff}');
    let (escape, front_end) = directives(text)?;
    let text = match &front_end {
        // A comment in its place keeps the numbers of the lines.
        Some(_) => text
            .split_inclusive('\n')
            .enumerate()
            .map(|(index, line)| if index == 0 { "#\n" } else { line })
            .collect(),
        None => text.to_owned(),
    };
    let instructions = instructions(&text, escape);
    Ok(Text { text, front_end, instructions })
}

/// `# name=value`, also in the forms that newer front ends know.
fn directive(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let rest = line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?;
    let (name, value) = rest.split_once('=')?;
    let name = name.trim();
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
    plain.then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// The escape character, and the engine's own front end when that is named. Versions of BuildKit differ in
/// where they look for these, so only the first line may say something of weight.
fn directives(text: &str) -> Result<(char, Option<String>), Refused> {
    let (mut escape, mut front_end) = ('\\', None);
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        let is_comment = trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with("//");
        if trimmed.starts_with('{') && trimmed.contains("syntax") {
            return Err(foreign(index + 1, trimmed));
        }
        if !is_comment {
            break;
        }
        match directive(line) {
            Some((name, value)) if name == "syntax" => {
                let is_own = value == OWN_FRONT_END
                    || value.strip_prefix(OWN_FRONT_END).and_then(|rest| rest.strip_prefix('.')).is_some_and(
                        |rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'),
                    );
                if index > 0 || !is_own || !trimmed.starts_with('#') {
                    return Err(foreign(index + 1, &value));
                }
                front_end = Some(value);
            }
            Some((name, value)) if name == "escape" && value != "\\" => {
                if index > 0 || value != "`" {
                    return Err(refused(index + 1, "`# escape=` may only be ` or \\, in the first line"));
                }
                escape = '`';
            }
            Some(_) | None => {}
        }
    }
    Ok((escape, front_end))
}

fn foreign(line: usize, named: &str) -> Refused {
    let shown: String = named.chars().take(80).collect();
    let message = format!(
        "`syntax` would load the front end `{shown}`, a program of somebody else's that runs inside the \
         builder; remove the line (only {OWN_FRONT_END} is taken, in the first line, and built by the \
         engine's own)"
    );
    refused(line, message)
}

/// Comments and empty lines within an instruction are skipped, as BuildKit does.
fn instructions(text: &str, escape: char) -> Vec<Instruction> {
    let mut instructions = vec![];
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with('#') || (trimmed.is_empty() && open.is_some()) {
            continue;
        }
        let (line_at, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let end = line.trim_end();
        match end.strip_suffix(escape) {
            Some(before) => {
                joined.push_str(before);
                open = Some((line_at, joined));
            }
            None => {
                joined.push_str(line);
                instructions.extend(Instruction::parse(line_at, &joined, escape));
            }
        }
    }
    if let Some((line_at, joined)) = open {
        instructions.extend(Instruction::parse(line_at, &joined, escape));
    }
    instructions
}

impl Instruction {
    fn parse(line: usize, text: &str, escape: char) -> Option<Self> {
        let text = text.trim();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let keyword = text[..end].to_ascii_uppercase();
        if keyword.is_empty() {
            return None;
        }
        let (flags, rest) = flags(&text[end..], escape);
        Some(Self { line, keyword, flags, rest, escape })
    }

    /// What an ONBUILD will do.
    pub(super) fn triggered(&self) -> Self {
        let inner = Self::parse(self.line, &self.rest, self.escape);
        // One within another is refused by BuildKit itself, and would never end here.
        inner.filter(|inner| inner.keyword != "ONBUILD").unwrap_or_default()
    }

    /// The words after the flags, in JSON or as they stand.
    pub(super) fn words(&self) -> Vec<String> {
        let rest = self.rest.trim();
        if rest.starts_with('[')
            && let Ok(words) = serde_json::from_str::<Vec<String>>(rest)
        {
            return words;
        }
        rest.split_whitespace().map(|word| unquoted(word, self.escape)).collect()
    }
}

fn unquoted(word: &str, escape: char) -> String {
    let mut text = String::new();
    let mut characters = word.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' | '\'' => {}
            c if c == escape => text.extend(characters.next()),
            c => text.push(c),
        }
    }
    text
}

/// `--name=value` at the front, as BuildKit takes them apart: quotes may stand anywhere in a word, and the
/// escape character makes the next one plain.
fn flags(text: &str, escape: char) -> (Vec<(String, String)>, String) {
    let mut flags = vec![];
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest.to_owned());
        }
        let (word, length) = word(rest, escape);
        rest = &rest[length..];
        if word == "--" {
            return (flags, rest.trim_start().to_owned());
        }
        let (name, value) = word[2..].split_once('=').unwrap_or((&word[2..], ""));
        flags.push((name.to_ascii_lowercase(), value.to_owned()));
    }
}

/// The first word, and how much of the text it takes.
fn word(text: &str, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (None, c) if c.is_whitespace() => return (word, at),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), c) if c == open => quote = None,
            (_, c) if c == escape => word.extend(characters.next().map(|(_, next)| next)),
            (_, c) => word.push(c),
        }
    }
    (word, text.len())
}
