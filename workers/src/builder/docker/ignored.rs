//! `.dockerignore`: what is left out of a context, by Docker's rules.
//!
//! They are not those of `.gitignore`: a pattern without a slash is for the top level alone, and `!` brings
//! back what is in a directory that was left out.

/// How many patterns are looked at; each file is compared with all of them.
const PATTERNS_MAX: usize = 1_000;

/// The patterns of a file, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ignored(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    brings_back: bool,
    parts: Vec<String>,
}

impl Ignored {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.filter_map(Pattern::parse).take(PATTERNS_MAX).collect())
    }

    /// Whether a path, relative to the context, is left out. The last pattern that fits decides.
    pub(super) fn leaves_out(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        self.0.iter().rev().find(|pattern| pattern.fits(&parts)).is_some_and(|pattern| !pattern.brings_back)
    }

    /// Whether something below a directory that is left out may be brought back.
    pub(super) fn may_bring_back(&self) -> bool {
        self.0.iter().any(|pattern| pattern.brings_back)
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Self> {
        let (brings_back, line) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let mut parts: Vec<String> = vec![];
        for part in line.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part.to_owned());
            }
        }
        (!parts.is_empty()).then_some(Self { brings_back, parts })
    }

    /// It fits a path when it fits the path or a directory that the path is in.
    fn fits(&self, path: &[&str]) -> bool {
        let pattern: Vec<&str> = self.parts.iter().map(String::as_str).collect();
        (1..=path.len()).any(|length| parts_fit(&pattern, &path[..length]))
    }
}

fn parts_fit(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=path.len()).any(|skipped| parts_fit(rest, &path[skipped..])),
        (Some((part, pattern)), Some((name, path))) => {
            let (part, name): (Vec<char>, Vec<char>) = (part.chars().collect(), name.chars().collect());
            part_fits(&part, &name) && parts_fit(pattern, path)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// `*`, `?`, `[a-z]`, `[^a-z]` and `\` before any of them, within one name.
fn part_fits(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=name.len()).any(|skipped| part_fits(rest, &name[skipped..])),
        (['?', rest @ ..], [_, name @ ..]) => part_fits(rest, name),
        (['[', rest @ ..], [first, name @ ..]) => match class(rest, *first) {
            Some((true, rest)) => part_fits(rest, name),
            Some((false, _)) | None => false,
        },
        (['\\', literal, rest @ ..], [first, name @ ..]) => literal == first && part_fits(rest, name),
        ([literal, rest @ ..], [first, name @ ..]) => literal == first && part_fits(rest, name),
        (_, _) => false,
    }
}

/// Whether a class has a character in it, and what comes after the class; none when it is not closed.
fn class(pattern: &[char], wanted: char) -> Option<(bool, &[char])> {
    let (negated, mut rest) = match pattern {
        ['^' | '!', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        match rest {
            [] => return None,
            [']', after @ ..] => return Some((found != negated, after)),
            [low, '-', high, after @ ..] if *high != ']' => {
                found |= (*low..=*high).contains(&wanted);
                rest = after;
            }
            ['\\', literal, after @ ..] | [literal, after @ ..] => {
                found |= *literal == wanted;
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(patterns: &str, path: &str) -> bool {
        Ignored::parse(patterns).leaves_out(path)
    }

    #[test]
    fn a_pattern_is_for_the_top_level_unless_it_says_otherwise() {
        for (patterns, path, out) in [
            ("node_modules", "node_modules", true),
            ("node_modules", "node_modules/a/b.js", true),
            ("node_modules", "apps/node_modules/a", false),
            ("**/node_modules", "apps/node_modules/a", true),
            ("**/node_modules", "node_modules", true),
            ("/dist/", "dist/a", true),
            ("*.md", "README.md", true),
            ("*.md", "docs/README.md", false),
            ("**/*.md", "docs/README.md", true),
            ("docs/*", "docs/a/b", true),
            ("a?c", "abc", true),
            ("a[b-d]c", "axc", false),
            ("a[^x]c", "abc", true),
            ("./x", "x", true),
            ("a/../b", "b", true),
            ("# x", "# x", false),
            ("[", "[", false),
            ("**", "anything/at/all", true),
        ] {
            assert_eq!(left_out(patterns, path), out, "{patterns} {path}");
        }
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let patterns = "*\n!src\nsrc/secret\n";
        assert!(left_out(patterns, "README"));
        assert!(!left_out(patterns, "src/a/b.rs"));
        assert!(left_out(patterns, "src/secret"));
        assert!(Ignored::parse(patterns).may_bring_back());
    }
}
