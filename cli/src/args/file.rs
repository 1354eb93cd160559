//! Settings from a file: they stand below what the environment and the flags say.
//!
//! The file is TOML; its keys are the names of the flags. It becomes the flags' defaults, so that a value is
//! read and refused by the same rules wherever it stands.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory, FromArgMatches};
use toml::Spanned;

use crate::args::Arguments;

/// Commands that take settings.
const COMMANDS: [&str; 3] = ["up", "serve", "doctor"];
/// What only the command line says.
const NOT_IN_FILES: [&str; 6] = ["config", "demo", "help", "version", "json", "quiet"];

/// Reads the command line, with the settings of the file it names beneath it.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let mut command = Arguments::command();
    let file = match named(&words) {
        None => None,
        Some((name, path)) => {
            let file = File::read(&path, &name).map_err(|said| refused(&command, &said))?;
            command = file.beneath(command, &name).map_err(|said| refused(&Arguments::command(), &said))?;
            Some(file)
        }
    };
    let matches = command.try_get_matches_from(words).map_err(|error| match &file {
        Some(file) => file.explain(error),
        None => error,
    })?;
    Arguments::from_arg_matches(&matches)
}

/// The command that takes settings, and the file that it is given.
fn named(words: &[OsString]) -> Option<(String, PathBuf)> {
    let matches = Arguments::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    let (name, matches) = matches.subcommand()?;
    if !COMMANDS.contains(&name) {
        return None;
    }
    let path = matches.try_get_one::<PathBuf>("config").ok().flatten()?;
    Some((name.to_owned(), path.clone()))
}

fn refused(command: &clap::Command, said: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::InvalidValue, format!("{said}\n")).with_cmd(command)
}

/// A file of settings, read.
struct File {
    path: PathBuf,
    text: String,
    values: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
}

impl File {
    fn read(path: &Path, command: &str) -> Result<Self, String> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| format!("the file of settings {shown} cannot be read: {error}"))?;
        let values = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            format!("{shown}, line {line}: {}; see `switchback {command} --help`", error.message())
        })?;
        Ok(Self { path: path.to_owned(), text, values })
    }

    /// The grammar with this file's values as the defaults of its flags.
    fn beneath(&self, command: clap::Command, name: &str) -> Result<clap::Command, String> {
        let mut defaults: Vec<(String, Vec<String>)> = vec![];
        let mut roots = Arguments::command();
        let known = roots.find_subcommand_mut(name).ok_or("there is no such command")?;
        for (key, value) in &self.values {
            let line = line_of(&self.text, key.span().start);
            let at = format!("{}, line {line}", self.path.display());
            let long = key.get_ref();
            let argument = known.get_arguments().find(|argument| argument.get_long() == Some(long));
            let Some(argument) = argument.filter(|_| !NOT_IN_FILES.contains(&long.as_str())) else {
                // One file serves all roles: what only another command takes is no mistake.
                if long == "role" && name != "serve" {
                    continue;
                }
                return Err(format!(
                    "{at}: there is no setting `{long}`; the settings are the flags of `switchback {name} \
                     --help`, without their dashes in front"
                ));
            };
            let words = words(value.get_ref()).ok_or_else(|| {
                format!("{at}: `{long}` is a text, a number, true or false, or a list of those")
            })?;
            let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
            if is_switch && !matches!(value.get_ref(), toml::Value::Boolean(_)) {
                return Err(format!("{at}: `{long}` is true or false"));
            }
            defaults.push((argument.get_id().to_string(), words));
        }
        Ok(command.mut_subcommand(name, |mut command| {
            for (id, words) in defaults {
                command = command.mut_arg(id, |argument| argument.required(false).default_values(words));
            }
            command
        }))
    }

    /// An error about a flag that the file has a value for says so.
    fn explain(&self, mut error: clap::Error) -> clap::Error {
        let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return error };
        let long = argument.trim_start_matches('-').split(' ').next().unwrap_or_default();
        let Some(key) = self.values.keys().find(|key| key.get_ref() == long) else { return error };
        let line = line_of(&self.text, key.span().start);
        let note = format!("`{long}` is set in {}, line {line}", self.path.display());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![note.into()]));
        error
    }
}

/// A value as the command line would have it; `None` for tables and dates.
fn words(value: &toml::Value) -> Option<Vec<String>> {
    let word = |value: &toml::Value| match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    };
    match value {
        toml::Value::Array(values) => values.iter().map(word).collect(),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_) => word(value).map(|word| vec![word]),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::args::Command;

    fn with(text: &str, flags: &[&str]) -> Result<Arguments, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let words = ["switchback", "serve", "--config", file.path().to_str().unwrap()];
        let words = words.iter().chain(flags).map(OsString::from).collect();
        parse(words).map_err(|error| error.to_string())
    }

    fn settings(arguments: Arguments) -> (Vec<crate::args::Role>, crate::args::Settings) {
        let Command::Serve(serve) = arguments.command else { panic!("{:?}", arguments.command) };
        (serve.role, serve.settings)
    }

    #[test]
    fn a_file_stands_below_the_flags() {
        let text = "role = [\"worker\", \"edge\"]\nlog = \"nats://h:1\"\nlog-replicas = 3\n\
                    accept-lax-log = true\nedge = \"0.0.0.0:80\"\nbuild-timeout = \"5m\"\n";
        let (roles, read) = settings(with(text, &["--edge", "127.0.0.1:81"]).unwrap());
        assert_eq!(roles, [crate::args::Role::Worker, crate::args::Role::Edge]);
        assert_eq!(read.log.log[0].as_str(), "nats://h:1");
        assert_eq!((read.log.log_replicas, read.log.accept_lax_log), (3, true));
        assert_eq!(read.traffic.edge.to_string(), "127.0.0.1:81");
        assert_eq!(read.work.build_timeout.as_secs(), 300);
        let (roles, _) = settings(with(text, &["--role", "gateway"]).unwrap());
        assert_eq!(roles, [crate::args::Role::Gateway]);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_said_with_its_line() {
        for (text, said) in [
            ("role = \"worker\"\nlogg = \"x\"", "line 2: there is no setting `logg`"),
            ("role = \"worker\"\n\nlog = ", "line 3: "),
            ("role = \"worker\"\nlog = { a = 1 }", "line 2: `log` is a text"),
            ("role = \"worker\"\naccept-lax-log = \"yes\"", "line 2: `accept-lax-log` is true or false"),
            ("role = \"worker\"\nconfig = \"x\"", "line 2: there is no setting `config`"),
            ("role = \"worker\"\n\nlog-replicas = 9", "line 3"),
            ("role = \"cook\"", "line 1"),
            ("edge = \"x\"\nrole = \"edge\"", "line 1"),
        ] {
            let error = with(text, &[]).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        let error =
            parse(["switchback", "serve", "--config", "/none"].map(OsString::from).into()).unwrap_err();
        assert!(error.to_string().contains("/none cannot be read"), "{error}");
    }

    #[test]
    fn without_a_file_the_command_line_is_as_it_was() {
        let error = parse(["switchback", "serve"].map(OsString::from).into()).unwrap_err();
        assert!(error.to_string().contains("--role"), "{error}");
    }
}
