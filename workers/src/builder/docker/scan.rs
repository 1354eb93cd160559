//! A look at a Dockerfile before it is built: what reaches out of the build is refused, with its line.
//!
//! It reads as BuildKit does where that matters, and where two of its versions read differently it takes the
//! worse of both: the lines of a heredoc are looked at as instructions too.

mod images;
mod lines;

use std::collections::{BTreeMap, BTreeSet};

use crate::builder::docker::scan::images::Images;
use crate::builder::docker::scan::lines::{Instruction, Text};

pub(super) use crate::builder::docker::scan::images::Guarded;

/// How large a Dockerfile may be, in bytes.
pub(super) const SIZE_MAX: usize = 512 * 1024;
/// How many lines it may have.
const LINES_MAX: usize = 5_000;
/// Front ends that are the engine's own by another name.
const OWN_FRONT_END: &str = "docker/dockerfile:1";

/// What may be in a Dockerfile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// Whether `ADD` may fetch addresses.
    pub(super) remote_adds: bool,
    /// Images that no build may be based on.
    pub(super) guarded: &'a Guarded,
    /// Values of `ARG`s.
    pub(super) arguments: &'a BTreeMap<String, String>,
}

/// What stands in a Dockerfile that can be built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// What is built: the file, without a line that names the engine's own front end.
    pub(super) text: String,
    /// The ports that its last stage exposes.
    pub(super) ports: BTreeSet<u16>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// Why it is not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(super) struct Refused {
    /// The line, from 1.
    pub(super) line: usize,
    /// What is wrong there, and what to do.
    pub(super) message: String,
}

fn refused(line: usize, message: impl Into<String>) -> Refused {
    Refused { line, message: message.into() }
}

/// Looks at a Dockerfile.
pub(super) fn scan(bytes: &[u8], rules: &Rules) -> Result<Scanned, Refused> {
    if bytes.len() > SIZE_MAX {
        return Err(refused(1, format!("the file has more than {SIZE_MAX} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        refused(line, "the file is not in UTF-8")
    })?;
    if text.lines().count() > LINES_MAX {
        return Err(refused(LINES_MAX + 1, format!("the file has more than {LINES_MAX} lines")));
    }
    let mut scanned = Scanned::default();
    let Text { text, front_end, instructions } = lines::read(text)?;
    scanned.text = text;
    if let Some(front_end) = front_end {
        scanned.notes.push(format!("# syntax={front_end}: the engine's own front end builds instead"));
    }
    let mut images = Images::new(rules.guarded, rules.arguments);
    for instruction in &instructions {
        look(instruction, rules, &mut images)?;
        match instruction.keyword.as_str() {
            "FROM" => scanned.ports.clear(),
            "EXPOSE" => scanned.ports.extend(ports(&instruction.rest)),
            _ => {}
        }
    }
    Ok(scanned)
}

fn look(instruction: &Instruction, rules: &Rules, images: &mut Images) -> Result<(), Refused> {
    let line = instruction.line;
    match instruction.keyword.as_str() {
        "ONBUILD" => look(&instruction.triggered(), rules, images),
        "ARG" => images.argument(&instruction.rest),
        "FROM" => images.from(line, &instruction.words()),
        "RUN" => run(instruction, images),
        "COPY" => copy(instruction, images),
        "ADD" => {
            copy(instruction, images)?;
            if rules.remote_adds { Ok(()) } else { add(line, &instruction.words()) }
        }
        _ => Ok(()),
    }
}

fn run(instruction: &Instruction, images: &Images) -> Result<(), Refused> {
    let line = instruction.line;
    for (name, value) in &instruction.flags {
        match name.as_str() {
            "security" if value != "sandbox" => {
                let message = "RUN --security gives a build the rights of the machine, which no build has";
                return Err(refused(line, message));
            }
            "network" if !matches!(value.as_str(), "none" | "default") => {
                let message = "RUN --network may be `none` or `default`; a build never has the network of \
                               the machine";
                return Err(refused(line, message));
            }
            "device" => {
                return Err(refused(line, "RUN --device reaches for the machine, which no build may"));
            }
            "mount" => mount(line, value, images)?,
            _ => {}
        }
    }
    Ok(())
}

fn mount(line: usize, value: &str, images: &Images) -> Result<(), Refused> {
    let value = value.replace('"', "");
    let fields: Vec<(String, &str)> = value
        .split(',')
        .map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (name.trim().to_ascii_lowercase(), value.trim())
        })
        .collect();
    let of =
        |wanted: &'static str| fields.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| *value);
    for kind in of("type") {
        match kind.to_ascii_lowercase().as_str() {
            "bind" | "cache" | "tmpfs" | "secret" => {}
            "ssh" => {
                let message = "RUN --mount=type=ssh needs keys, which builds are not given; name a variable \
                               with a token under `secrets` and use --mount=type=secret";
                return Err(refused(line, message));
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                return Err(refused(line, format!("RUN --mount=type={shown} is not known")));
            }
        }
    }
    for name in ["id", "target", "dst", "destination", "source", "src"] {
        for value in of(name) {
            // Caches are told apart by service; a way up would lead out of its own.
            if value.split('/').any(|part| part == "..") || (name == "id" && value.contains('$')) {
                let message = format!("`{name}` of RUN --mount may have neither `..` nor a variable in it");
                return Err(refused(line, message));
            }
        }
    }
    for image in of("from") {
        images.check(line, image)?;
    }
    Ok(())
}

fn copy(instruction: &Instruction, images: &Images) -> Result<(), Refused> {
    let from = instruction.flags.iter().filter(|(name, _)| name == "from");
    from.into_iter().try_for_each(|(_, image)| images.check(instruction.line, image))
}

/// An address would be fetched by the engine itself, from inside this network. What a variable holds is
/// not known: the image that the build begins with may have set it.
fn add(line: usize, words: &[String]) -> Result<(), Refused> {
    let sources = words.split_last().map_or(&[][..], |(_, sources)| sources);
    for source in sources {
        let lower = source.to_ascii_lowercase();
        let is_address = lower.contains("://")
            || lower.starts_with("git@")
            || lower.starts_with("http:")
            || lower.starts_with("https:")
            || lower.starts_with("github.com/")
            || (lower.contains('@') && lower.contains(':'));
        if is_address {
            let message = "ADD of an address is not allowed; fetch it with RUN (curl, wget, git), or put the \
                           file into the repository";
            return Err(refused(line, message));
        }
        if source.contains('$') {
            let message = "ADD with a variable could fetch any address, which is not allowed; use COPY, \
                           which takes files only";
            return Err(refused(line, message));
        }
    }
    Ok(())
}

/// Plain TCP ports; what a variable says is not looked up.
fn ports(rest: &str) -> impl Iterator<Item = u16> {
    rest.split_whitespace().filter_map(|word| match word.split_once('/') {
        Some((port, kind)) if kind.eq_ignore_ascii_case("tcp") => port.parse().ok(),
        Some(_) => None,
        None => word.parse().ok(),
    })
}

#[cfg(test)]
mod tests;
