//! No shell: a program is started with an argument list, so that no string of a user's is ever read as a
//! command.
//!
//! Tests may: their strings are ours.

use crate::tidy::Finding;
use crate::tidy::source::Source;

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "fish"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    const START: &str = "Command::new(";
    let mut findings = Vec::new();
    for at in source.places(START) {
        let program = literal(&source.text[at + START.len()..]);
        let is_shell =
            program.and_then(|path| path.rsplit('/').next()).is_some_and(|name| SHELLS.contains(&name));
        if is_shell && !source.in_tests(at) {
            let what = "starts a shell: name the program and its arguments";
            findings.push(Finding::refused(&source.path, source.line(at), what));
        }
    }
    findings
}

/// The text of a plain string literal that stands first.
fn literal(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_refused_by_any_path_and_allowed_in_tests() {
        let text = [
            "fn a() { Command::new(\"sh\"); }",
            "fn b() { Command::new(",
            "    \"/bin/bash\"); }",
            "fn c() { Command::new(\"git\"); }",
            "#[cfg(test)]",
            "mod tests { fn d() { Command::new(\"sh\"); } }",
        ];
        let source = Source::new("src/a.rs".into(), text.join("\n"));
        let lines: Vec<_> = check(&source).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2]);
    }
}
