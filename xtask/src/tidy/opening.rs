//! A file opens with what it is (STYLE R1).

use crate::tidy::Finding;
use crate::tidy::source::Source;

pub(super) fn check(source: &Source) -> Option<Finding> {
    let opens = source.text.lines().next().is_some_and(|line| line.starts_with("//! "));
    (!opens).then(|| Finding::refused(&source.path, 1, "the first line says what the file is, as `//! …`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_refused() {
        assert!(check(&Source::new("a.rs".into(), "use std::fs;\n".into())).is_some());
        assert!(check(&Source::new("a.rs".into(), String::new())).is_some());
        assert!(check(&Source::new("a.rs".into(), "//! What it is.\n".into())).is_none());
    }
}
