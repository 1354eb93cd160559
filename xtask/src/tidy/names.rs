//! Names of files and folders that say nothing (STYLE §1): whatever is in them has a better one.

use crate::tidy::Finding;
use crate::tidy::source::Source;

/// Refused as a word of a name: `string_utils.rs` too.
const WORDS: [&str; 6] = ["util", "utils", "helper", "helpers", "manager", "managers"];
/// Refused as a whole name.
const NAMES: [&str; 4] = ["types", "mod", "misc", "common"];

pub(super) fn check(source: &Source) -> Option<Finding> {
    let refused = source.path.split('/').find(|part| is_refused(part.strip_suffix(".rs").unwrap_or(part)))?;
    Some(Finding::refused(&source.path, 0, format!("`{refused}` says nothing: name it after what is in it")))
}

fn is_refused(name: &str) -> bool {
    NAMES.contains(&name) || name.split(['_', '-']).any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_says_nothing_is_refused_wherever_it_stands() {
        let refused = |path: &str| check(&Source::new(path.into(), String::new())).is_some();
        assert!(refused("gateway/src/utils.rs"));
        assert!(refused("gateway/src/string_helpers.rs"));
        assert!(refused("gateway/src/edge/mod.rs"));
        assert!(refused("gateway/tests/common/server.rs"));
        assert!(!refused("gateway/src/model.rs"));
        assert!(!refused("domain/src/event_types.rs"));
    }
}
