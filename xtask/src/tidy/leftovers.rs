//! What was only meant for a moment, and a test that does not run (STYLE §4.5: no silent skip).

use crate::tidy::Finding;
use crate::tidy::source::Source;

const LEFTOVERS: [(&str, &str); 4] = [
    ("dbg!", "a debugging print"),
    ("todo!", "something not done"),
    ("unimplemented!", "something not done"),
    ("#[ignore", "a test that does not run"),
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (words, what) in LEFTOVERS {
        for at in source.places(words) {
            findings.push(Finding::refused(&source.path, source.line(at), format!("`{words}` is {what}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_is_found_in_code_and_not_in_words_about_it() {
        let text =
            "//! dbg! and todo! are refused.\nfn a() { todo!(\"dbg!\") }\n#[ignore = \"slow\"]\nfn b() {}\n";
        let lines: Vec<_> =
            check(&Source::new("a.rs".into(), text.into())).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 3]);
    }
}
