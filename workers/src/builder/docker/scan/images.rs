//! The images that a Dockerfile names: by `FROM`, `COPY --from` and `RUN --mount=from=`.
//!
//! The images of other services are in the same engine and the same registry, and no build may begin with
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use domain::source::image::ImageReference;

use crate::builder::docker::scan::{Refused, refused};

/// How long a name may grow when its variables are put in.
const NAME_MAX: usize = 1_000;

/// What no build may be based on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::builder::docker) struct Guarded {
    /// Beginnings of names in full: `registry.example/services/`.
    pub(in crate::builder::docker) prefixes: Vec<String>,
}

/// The names seen so far.
pub(super) struct Images<'a> {
    guarded: &'a Guarded,
    given: &'a BTreeMap<String, String>,
    /// What `ARG`s before the first stage say.
    arguments: BTreeMap<String, String>,
    stages: BTreeSet<String>,
    in_stage: bool,
}

impl<'a> Images<'a> {
    pub(super) fn new(guarded: &'a Guarded, given: &'a BTreeMap<String, String>) -> Self {
        Self { guarded, given, arguments: BTreeMap::new(), stages: BTreeSet::new(), in_stage: false }
    }

    /// `ARG NAME=value NAME`.
    pub(super) fn argument(&mut self, rest: &str) -> Result<(), Refused> {
        if self.in_stage {
            return Ok(()); // Not known to any FROM.
        }
        for word in rest.split_whitespace() {
            let word: String = word.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
            let (name, default) = word.split_once('=').unwrap_or((word.as_str(), ""));
            // What cannot be put in here is found when it is used: it holds a `$`, and no name does.
            let default = self.expanded(default).unwrap_or_else(|| default.to_owned());
            let value = self.given.get(name).cloned().unwrap_or(default);
            self.arguments.insert(name.to_owned(), value);
        }
        Ok(())
    }

    pub(super) fn from(&mut self, line: usize, words: &[String]) -> Result<(), Refused> {
        self.in_stage = true;
        let Some(name) = words.first() else { return Ok(()) };
        let expanded = self.expanded(name).filter(|name| !name.contains('$'));
        let name = expanded.ok_or_else(|| {
            refused(line, "this form of a variable in FROM is not known; $NAME, ${NAME} and ${NAME:-x} are")
        })?;
        self.check(line, &name)?;
        if let [_, keyword, stage] = words
            && keyword.eq_ignore_ascii_case("as")
        {
            self.stages.insert(stage.to_ascii_lowercase());
        }
        Ok(())
    }

    /// Whether an image may be used; names of stages before and `scratch` are none.
    pub(super) fn check(&self, line: usize, name: &str) -> Result<(), Refused> {
        let is_stage = self.stages.contains(&name.to_ascii_lowercase())
            || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()));
        if is_stage || name.is_empty() || name.eq_ignore_ascii_case("scratch") {
            return Ok(());
        }
        let reference: ImageReference =
            name.parse().map_err(|error: domain::source::image::InvalidImage| {
                refused(line, format!("{error}; a variable may only be in FROM"))
            })?;
        let full = format!("{}/", reference.name());
        let is_guarded = self.guarded.prefixes.iter().any(|prefix| full.starts_with(prefix.as_str()));
        if is_guarded || is_inside(reference.registry()) {
            let message = format!(
                "`{}` is not an image to build on: it is in a registry of this platform or of this network",
                reference.name()
            );
            return Err(refused(line, message));
        }
        Ok(())
    }

    /// With `$NAME`, `${NAME}` and `${NAME:-default}` put in; none for other forms.
    fn expanded(&self, text: &str) -> Option<String> {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let (name, default) = if let Some(inner) = rest.strip_prefix('{') {
                let end = inner.find('}')?;
                rest = &inner[end + 1..];
                inner[..end].split_once(":-").unwrap_or((&inner[..end], ""))
            } else {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let name = &rest[..end];
                rest = &rest[end..];
                (name, "")
            };
            let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !plain || default.contains(['$', '{']) {
                return None;
            }
            // The platform of a build is BuildKit's to say, and its words are no part of a registry's name.
            let value = self.arguments.get(name).filter(|value| !value.is_empty());
            expanded.push_str(value.map_or(default, String::as_str));
            if expanded.len() > NAME_MAX {
                return None;
            }
        }
        expanded.push_str(rest);
        Some(expanded)
    }
}

/// Whether a registry is on this machine or in this network, as far as its name says so.
fn is_inside(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host == "localhost" || host.ends_with(".localhost") || host.ends_with(".internal") {
        return true;
    }
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            let [first, second, ..] = address.octets();
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || (first == 100 && (64..128).contains(&second))
        }
        Ok(IpAddr::V6(_)) => true,
        // 0x7f.1 and 2130706433 are addresses, too.
        Err(_) => host.rsplit('.').next().is_some_and(|last| {
            !last.is_empty() && (last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x"))
        }),
    }
}
