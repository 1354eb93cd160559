//! A command as people write it in a Procfile or in `switchback.toml`, turned into argument lists. No shell
//! is involved.
//!
//! Of a shell's language it knows what such lines really use: words, quotes, `$NAME`, `${NAME}`,
//! `${NAME:-default}`, `NAME=value` in front, `cd DIR`, `exec`, and `&&`. Pipes, redirections, globs, `;` and
//! substitutions are refused with the advice to put them into a script. Quoting follows POSIX.1-2017 §2.2,
//! expansion §2.6.2 without splitting: a value with spaces stays one argument.

mod lexer;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::lexer::{Piece, Token, is_name, tokens};

/// The longest command line, in characters.
pub const MAX_LENGTH: usize = 4096;

/// A command line that was found to be sound.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct CommandLine(String);

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCommand {
    /// Nothing in it.
    #[error("the command is empty")]
    Empty,
    /// Too long.
    #[error("the command has more than {MAX_LENGTH} characters; put it into a script")]
    TooLong,
    /// Something that only a shell could carry out.
    #[error(
        "`{line}` uses `{found}`, which needs a shell; commands are run without one, so put it into a \
         script and run that (such as `./start.sh`)"
    )]
    NeedsShell {
        /// The command.
        line: String,
        /// What needs one.
        found: String,
    },
    /// A quote that is not closed.
    #[error("`{line}` has a {quote} that is not closed")]
    Unclosed {
        /// The command.
        line: String,
        /// Which.
        quote: char,
    },
    /// A control character.
    #[error("the command contains a control character")]
    Control,
}

/// One program to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Where, relative to the root of the files; empty for the root itself.
    pub directory: String,
    /// What is added to its environment.
    pub environment: BTreeMap<String, String>,
    /// The program and its arguments; never empty.
    pub arguments: Vec<String>,
}

impl CommandLine {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The programs to be started one after the other, each only when the one before succeeded, with
    /// `variables` filled in. A name that is not among them is empty.
    #[must_use]
    pub fn invocations(&self, variables: &BTreeMap<String, String>) -> Vec<Invocation> {
        let tokens = tokens(&self.0).expect("it was found sound when it was made");
        let mut directory = String::new();
        let mut invocations = vec![];
        for words in tokens.split(|token| *token == Token::And) {
            let mut invocation = Invocation { directory: directory.clone(), ..Invocation::default() };
            let mut words = words.iter().filter_map(Token::word).peekable();
            while let Some((name, value)) = words.peek().and_then(|pieces| assignment(pieces)) {
                invocation.environment.insert(name, expand(&value, variables));
                words.next();
            }
            // As they are written: a value that happens to be `cd` is an argument like any other.
            words.next_if(|pieces| is_text(pieces, "exec"));
            let changes_directory = words.peek().is_some_and(|pieces| is_text(pieces, "cd"));
            invocation.arguments = words.map(|pieces| expand(pieces, variables)).collect();
            match invocation.arguments.as_slice() {
                [_, target] if changes_directory => directory = join(&directory, target),
                [] => {}
                _ => invocations.push(invocation),
            }
        }
        invocations
    }
}

fn is_text(pieces: &[Piece], text: &str) -> bool {
    matches!(pieces, [Piece::Text(written)] if written == text)
}

fn join(directory: &str, target: &str) -> String {
    if directory.is_empty() || target.starts_with('/') {
        target.to_owned()
    } else {
        format!("{directory}/{target}")
    }
}

fn expand(pieces: &[Piece], variables: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Variable { name, default } => {
                let value = variables.get(name).filter(|v| default.is_none() || !v.is_empty());
                text.push_str(value.or(default.as_ref()).map_or("", String::as_str));
            }
        }
    }
    text
}

/// `NAME=value` in front of a command.
fn assignment(pieces: &[Piece]) -> Option<(String, Vec<Piece>)> {
    let Some(Piece::Text(first)) = pieces.first() else { return None };
    let (name, value) = first.split_once('=')?;
    if !is_name(name) {
        return None;
    }
    let mut rest = vec![Piece::Text(value.to_owned())];
    rest.extend_from_slice(&pieces[1..]);
    Some((name.to_owned(), rest))
}

impl FromStr for CommandLine {
    type Err = InvalidCommand;

    fn from_str(line: &str) -> Result<Self, InvalidCommand> {
        let line = line.trim();
        if line.chars().count() > MAX_LENGTH {
            return Err(InvalidCommand::TooLong);
        }
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(InvalidCommand::Control);
        }
        tokens(line)?;
        let command = Self(line.to_owned());
        if command.invocations(&BTreeMap::new()).is_empty() {
            Err(InvalidCommand::Empty)
        } else {
            Ok(command)
        }
    }
}

impl TryFrom<String> for CommandLine {
    type Error = InvalidCommand;

    fn try_from(line: String) -> Result<Self, InvalidCommand> {
        line.parse()
    }
}

impl From<CommandLine> for String {
    fn from(command: CommandLine) -> Self {
        command.0
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Vec<Vec<String>> {
        let variables = BTreeMap::from([
            ("PORT".to_owned(), "8000".to_owned()),
            ("EMPTY".to_owned(), String::new()),
            ("SPACED".to_owned(), "a b; rm -rf $HOME".to_owned()),
        ]);
        let command: CommandLine = line.parse().expect(line);
        command.invocations(&variables).into_iter().map(|i| i.arguments).collect()
    }

    #[test]
    fn words_quotes_and_variables_become_arguments() {
        assert_eq!(run("gunicorn app:app -b 0.0.0.0:$PORT"), [["gunicorn", "app:app", "-b", "0.0.0.0:8000"]]);
        assert_eq!(run(r#"a 'b $PORT' "c $PORT" d\ e """#), [["a", "b $PORT", "c 8000", "d e", ""]]);
        assert_eq!(
            run("serve -p ${PORT:-3000} ${NONE:-3000} ${EMPTY:-x} $NONE"),
            [["serve", "-p", "8000", "3000", "x", ""]]
        );
        assert_eq!(run(r#"echo "a|b" 'c;d' $ 5$"#), [["echo", "a|b", "c;d", "$", "5$"]]);
    }

    #[test]
    fn a_value_stays_one_argument_whatever_is_in_it() {
        assert_eq!(run("echo $SPACED"), [["echo", "a b; rm -rf $HOME"]]);
    }

    #[test]
    fn a_value_is_never_a_word_of_the_language() {
        let command: CommandLine = "$A b && $B".parse().expect("sound");
        let variables =
            BTreeMap::from([("A".to_owned(), "cd".to_owned()), ("B".to_owned(), "exec".to_owned())]);
        let invocations = command.invocations(&variables);
        assert_eq!(invocations[0].arguments, ["cd", "b"]);
        assert_eq!((invocations[1].arguments[0].as_str(), invocations[1].directory.as_str()), ("exec", ""));
    }

    #[test]
    fn and_runs_one_after_the_other_in_the_directory_that_cd_chose() {
        let command: CommandLine = "cd server && npm ci && cd sub && exec node x.js".parse().expect("sound");
        let invocations = command.invocations(&BTreeMap::new());
        assert_eq!(invocations.len(), 2);
        assert_eq!(
            (invocations[0].directory.as_str(), &invocations[0].arguments[..]),
            ("server", &["npm".to_owned(), "ci".to_owned()][..])
        );
        assert_eq!(invocations[1].directory, "server/sub");
        assert_eq!(invocations[1].arguments, ["node", "x.js"]);
    }

    #[test]
    fn assignments_in_front_go_to_the_environment() {
        let command: CommandLine = "NODE_ENV=production A='1 2' node A=3".parse().expect("sound");
        let invocation = &command.invocations(&BTreeMap::new())[0];
        assert_eq!(invocation.environment["NODE_ENV"], "production");
        assert_eq!(invocation.environment["A"], "1 2");
        assert_eq!(invocation.arguments, ["node", "A=3"]);
    }

    #[test]
    fn what_needs_a_shell_is_refused_by_name() {
        for (line, found) in [
            ("a | b", "|"),
            ("a; b", ";"),
            ("a > b", ">"),
            ("a & b", "&"),
            ("a || b", "|"),
            ("echo `id`", "`"),
            ("echo \"`id`\"", "`"),
            ("echo $(id)", "$(…)"),
            ("echo \"$(id)\"", "$(…)"),
            ("ls *.js", "*"),
            ("echo ${A:-$(id)}", "${…}"),
            ("echo ${A/x/y}", "${…}"),
            ("ls ~", "~"),
        ] {
            let error = line.parse::<CommandLine>().expect_err(line);
            assert_eq!(error, InvalidCommand::NeedsShell { line: line.into(), found: found.into() });
        }
    }

    #[test]
    fn what_is_not_closed_or_empty_is_refused() {
        for line in ["", "   ", "cd x", "A=1", "&&", "a 'b", "a \"b", "a \\", "a ${B", "a\nb", "a\0"] {
            assert!(line.parse::<CommandLine>().is_err(), "{line:?}");
        }
        assert!("x".repeat(MAX_LENGTH + 1).parse::<CommandLine>().is_err());
    }
}
