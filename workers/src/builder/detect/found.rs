//! What the rules of one language found.

use domain::plan::Language;

/// How it is started, as the rules put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// A program.
    Command(String),
    /// The platform serves a directory.
    Static(String),
}

/// A part of the plan, which `switchback.toml` may replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Install,
    Build,
    Start,
}

/// A language, and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) language: Language,
    /// The files that it is known by.
    pub(super) seen: Vec<String>,
    pub(super) install: Vec<String>,
    pub(super) build: Vec<String>,
    /// How it is started, or what was looked for in vain.
    pub(super) start: Result<Begin, String>,
    /// Programs that this machine must have.
    pub(super) needs: Vec<(Part, &'static str)>,
    pub(super) notes: Vec<String>,
}

impl Found {
    /// A language without anything to install or build.
    pub(super) fn new(language: Language, seen: Vec<String>, start: Result<Begin, String>) -> Self {
        Self { language, seen, install: vec![], build: vec![], start, needs: vec![], notes: vec![] }
    }

    /// No language, for what is known by its commands alone.
    pub(super) fn by_commands() -> Self {
        Self::new(Language::Other, vec![], Err("only a Procfile or switchback.toml says it".into()))
    }

    pub(super) fn with_install(mut self, commands: Vec<String>) -> Self {
        self.install = commands;
        self
    }

    pub(super) fn with_build(mut self, commands: Vec<String>) -> Self {
        self.build = commands;
        self
    }

    pub(super) fn with_needs(mut self, needs: &[(Part, &'static str)]) -> Self {
        self.needs.extend_from_slice(needs);
        self
    }

    pub(super) fn with_notes(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }
}

/// A word of a command that came out of the repository: quoted unless it is plain.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::command_line::CommandLine;

    use super::*;

    #[test]
    fn a_quoted_word_stays_one_argument_whatever_is_in_it() {
        for word in
            ["a", "", "a b", "$(touch x)", "it's", "'; rm -rf /", "`id`", "*", "$PORT", "a|b", "\\", "é"]
        {
            let command: CommandLine = format!("node {}", quote(word)).parse().expect(word);
            assert_eq!(command.invocations(&BTreeMap::new())[0].arguments, ["node", word]);
        }
    }
}
