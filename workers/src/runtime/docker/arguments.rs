//! What a container runs, as an argument list: a command line never becomes the text of a shell.

use std::collections::BTreeMap;

use domain::command_line::{CommandLine, Invocation};

/// What a container is told to run instead of what its image says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// The program and its arguments; empty for what the image says.
    pub(super) arguments: Vec<String>,
    /// Where, when that is not where the image says.
    pub(super) directory: Option<String>,
    /// What is added to its environment.
    pub(super) environment: BTreeMap<String, String>,
}

/// Turns a command line into a program. `directory` is where the image works.
pub(super) fn program(
    command: &CommandLine,
    variables: &BTreeMap<String, String>,
    directory: &str,
) -> Program {
    let mut invocations = command.invocations(variables);
    if invocations.len() != 1 {
        return Program { arguments: in_a_row(&invocations, directory), ..Program::default() };
    }
    let only = invocations.remove(0);
    let own = (!only.directory.is_empty()).then(|| join(directory, &only.directory));
    Program { arguments: only.arguments, directory: own, environment: only.environment }
}

/// Several programs, each only when the one before succeeded, need something in the container that starts
/// them: its shell. The text of the script holds nothing but these words and numbers of arguments; everything
/// that came from outside is an argument, and `"${7}"` is never read as anything else. `exec` keeps a name
/// such as `eval` from being a word of the shell's own.
fn in_a_row(invocations: &[Invocation], directory: &str) -> Vec<String> {
    let mut given = vec![];
    let mut reference = |value: String| {
        given.push(value);
        format!("\"${{{}}}\"", given.len())
    };
    let mut parts = vec![];
    for (number, invocation) in invocations.iter().enumerate() {
        let mut part = vec![];
        if !invocation.directory.is_empty() {
            part.push(format!("cd {}", reference(join(directory, &invocation.directory))));
        }
        for (name, value) in &invocation.environment {
            part.push(format!("export {}", reference(format!("{name}={value}"))));
        }
        let words: Vec<String> = invocation.arguments.iter().map(|word| reference(word.clone())).collect();
        part.push(format!("exec {}", words.join(" ")));
        let part = part.join(" && ");
        let is_last = number + 1 == invocations.len();
        parts.push(if is_last { part } else { format!("({part})") });
    }
    let script = parts.join(" && ");
    ["/bin/sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()].into_iter().chain(given).collect()
}

/// An absolute path: what begins with a dash cannot be taken for a flag.
fn join(directory: &str, target: &str) -> String {
    let base = if directory.starts_with('/') { directory.trim_end_matches('/') } else { "" };
    if target.starts_with('/') { target.to_owned() } else { format!("{base}/{target}") }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn made(line: &str, variables: &[(&str, &str)]) -> Program {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        program(&line.parse().expect(line), &variables.collect(), "/app")
    }

    #[test]
    fn one_program_is_started_as_it_is() {
        let program = made("A=1 cd sub && B=2 serve --port $PORT 'a b'", &[("PORT", "80")]);
        assert_eq!(program.arguments, ["serve", "--port", "80", "a b"]);
        assert_eq!(program.directory.as_deref(), Some("/app/sub"));
        assert_eq!(program.environment, [("B".to_owned(), "2".to_owned())].into());
    }

    #[test]
    fn several_become_positional_arguments() {
        let program = made("migrate --all && cd sub && A=$X serve", &[("X", "'; rm -rf /")]);
        let script = r#"(exec "${1}" "${2}") && cd "${3}" && export "${4}" && exec "${5}""#;
        let expected =
            ["/bin/sh", "-c", script, "sh", "migrate", "--all", "/app/sub", "A='; rm -rf /", "serve"];
        assert_eq!(program.arguments, expected);
    }

    /// Every value that could be read as something else is given to a shell and comes out as it was.
    #[test]
    fn hostile_values_stay_arguments() {
        let directory = tempfile::tempdir().unwrap();
        let canary = directory.path().join("canary");
        let touch = format!("touch {}", canary.display());
        let hostile = [
            format!("$({touch})"),
            format!("`{touch}`"),
            format!("; {touch}"),
            format!("\"; {touch}; \""),
            format!("'; {touch}; '"),
            format!("x\n{touch}\n"),
            format!("&& {touch}"),
            format!("| {touch}"),
            format!("${{x:-$({touch})}}"),
            "-n".to_owned(),
            "*".to_owned(),
            "~".to_owned(),
            "a  b".to_owned(),
            "\u{202e}x\u{200b}".to_owned(),
            "x".repeat(64 * 1024),
            String::new(),
        ];
        for value in hostile {
            let Program { arguments, .. } =
                made("V=$X printf '%s' \"$X\" && printf '<%s>' \"$X\" ${X}z && printf $X", &[("X", &value)]);
            let output = Command::new(&arguments[0]).args(&arguments[1..]).output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            assert!(printed.starts_with(&format!("{value}<{value}><{value}z>")), "{value:?}: {printed:?}");
            assert!(!canary.exists(), "{value:?} was carried out");
        }
    }

    #[test]
    fn words_of_the_shell_are_programs_like_others() {
        let directory = tempfile::tempdir().unwrap();
        let canary = directory.path().join("canary");
        let touch = format!("touch {}", canary.display());
        for word in ["eval", ".", "trap"] {
            let Program { arguments, .. } = made(&format!("{word} \"$X\" && true"), &[("X", &touch)]);
            let status = Command::new(&arguments[0]).args(&arguments[1..]).output().unwrap().status;
            assert!(!status.success(), "{word} is no program");
            assert!(!canary.exists(), "{word} was carried out");
        }
    }
}
