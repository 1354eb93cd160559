//! A Rust file, and the same file with its comments and literals blanked out.
//!
//! A check that looks for a word must not find it in a sentence or in another check's list of words. Blanking
//! keeps every byte's place, so a hit in the code is a line of the text.

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the checkout.
    pub(super) path: String,
    /// As it is.
    pub(super) text: String,
    /// Same length; comments and the insides of literals are spaces.
    pub(super) code: String,
    /// Where the module of tests begins: to the end of the file, or the length of it.
    tests: usize,
}

impl Source {
    pub(super) fn new(path: String, text: String) -> Self {
        let code = blank(&text);
        let tests = if is_test_file(&path) { 0 } else { tests_begin(&code) };
        Source { path, text, code, tests }
    }

    /// Every place in the code where the words stand, and not as the end of a longer name.
    pub(super) fn places<'s>(&'s self, words: &'s str) -> impl Iterator<Item = usize> + 's {
        self.code.match_indices(words).map(|(at, _)| at).filter(|&at| {
            let before = self.code[..at].chars().next_back();
            !words.starts_with(is_name) || !before.is_some_and(is_name)
        })
    }

    /// The line of a place, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Whether a place only runs in tests.
    pub(super) fn in_tests(&self, at: usize) -> bool {
        at >= self.tests
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `tests/`, `examples/` and `benches/`, and the modules that only a test build has.
fn is_test_file(path: &str) -> bool {
    path.split('/')
        .any(|part| matches!(part, "tests" | "examples" | "benches" | "tests.rs" | "testing.rs" | "testing"))
}

/// The module of tests stands last in a file (STYLE R2).
fn tests_begin(code: &str) -> usize {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let modules = code.match_indices(ATTRIBUTE).filter(|(at, _)| {
        let rest = code[at + ATTRIBUTE.len()..].trim_start();
        rest.starts_with("mod ") && rest.find(['{', ';']).is_some_and(|at| rest[at..].starts_with('{'))
    });
    modules.map(|(at, _)| at).next().unwrap_or(code.len())
}

/// The text with comments and the insides of literals as spaces. Lines and lengths stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => comment_end(bytes, at),
            b'r' => raw_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'\'' => char_end(text, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(code).expect("whole characters were replaced by spaces")
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |length| at + length)
}

/// Block comments nest.
fn comment_end(bytes: &[u8], begin: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = begin;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"` and `r#"…"#`; `at` itself when this `r` begins neither.
fn raw_end(bytes: &[u8], at: usize) -> usize {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let continues = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    // `br"` and `cr"` are literals too; `for"` is not one.
    let prefix = matches!(before, Some(b'b' | b'c')) && !(at >= 2 && continues(bytes[at - 2]));
    if before.is_some_and(continues) && !prefix {
        return at;
    }
    let hashes = bytes[at + 1..].iter().take_while(|&&byte| byte == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return at;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let inside = &bytes[open + 1..];
    let length = inside.windows(close.len()).position(|window| window == close);
    length.map_or(bytes.len(), |length| open + 1 + length + close.len())
}

/// `'a'` and `'\n'`; `at` itself for a lifetime.
fn char_end(text: &str, at: usize) -> usize {
    let mut rest = text[at + 1..].char_indices();
    match rest.next() {
        Some((_, '\\')) => {
            rest.next(); // What is escaped, be it a quote.
            rest.find(|&(_, c)| c == '\'').map_or(at, |(end, _)| at + 1 + end + 1)
        }
        Some((_, first)) if first != '\'' => match rest.next() {
            Some((end, '\'')) => at + 1 + end + 1,
            _ => at,
        },
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_stays() {
        let text =
            "a(\"x \\\" y\"); // note\nb('\\'', '\"', r#\"raw \" x\"#) /* c /* d */ e */ f::<'a>(\"ä\")";
        let code = blank(text);
        assert_eq!(code.len(), text.len());
        let words: Vec<_> = code.split_whitespace().collect();
        assert_eq!(words, ["a(", ");", "b(", ",", ",", ")", "f::<'a>(", ")"]);
    }

    #[test]
    fn a_name_that_ends_in_the_word_is_not_the_word() {
        let source = Source::new("x.rs".into(), "my_dbg!(1); dbg!(2);".into());
        assert_eq!(source.places("dbg!").collect::<Vec<_>>(), [12]);
    }

    #[test]
    fn the_module_of_tests_reaches_to_the_end() {
        let text = "fn a() {}\n#[cfg(test)]\nmod other;\nfn b() {}\n#[cfg(test)]\nmod tests {\n}\n";
        let source = Source::new("src/x.rs".into(), text.into());
        assert!(!source.in_tests(text.find("fn b").unwrap()));
        assert!(source.in_tests(text.find("mod tests").unwrap()));
        assert!(Source::new("x/tests/it/main.rs".into(), text.into()).in_tests(0));
    }
}
