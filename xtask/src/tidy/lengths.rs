//! Files that fit a head and lines that fit a screen (STYLE R19). Functions are clippy's (`too_many_lines`).

use crate::tidy::Finding;
use crate::tidy::source::Source;

const FILE_LINES_WARNED: usize = 400;
const FILE_LINES_MAX: usize = 450;
pub(super) const LINE_CHARS_MAX: usize = 110;

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    let too_long = format!("{lines} lines; past {FILE_LINES_WARNED}, `x.rs` becomes `x.rs` and `x/`");
    if lines > FILE_LINES_MAX {
        findings.push(Finding::refused(&source.path, 0, too_long));
    } else if lines > FILE_LINES_WARNED {
        findings.push(Finding::warned(&source.path, 0, too_long));
    }
    for (index, line) in source.text.lines().enumerate() {
        let chars = line.chars().count();
        // An address cannot be broken.
        if chars > LINE_CHARS_MAX && !line.contains("://") {
            findings.push(Finding::refused(&source.path, index + 1, format!("{chars} characters")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::Weight;

    fn weights(text: String) -> Vec<Weight> {
        check(&Source::new("a.rs".into(), text)).iter().map(|finding| finding.weight).collect()
    }

    #[test]
    fn a_file_is_warned_of_past_400_lines_and_refused_past_450() {
        assert_eq!(weights("\n".repeat(400)), []);
        assert_eq!(weights("\n".repeat(401)), [Weight::Warned]);
        assert_eq!(weights("\n".repeat(450)), [Weight::Warned]);
        assert_eq!(weights("\n".repeat(451)), [Weight::Refused]);
    }

    #[test]
    fn a_line_over_110_characters_is_refused_unless_it_holds_an_address() {
        assert_eq!(weights("ä".repeat(110)), []);
        assert_eq!(weights("ä".repeat(111)), [Weight::Refused]);
        assert_eq!(weights(format!("// https://{}", "a".repeat(111))), []);
    }
}
