//! Text of others, made safe to be shown.

/// Without control characters and escape sequences; those that only set colours stay if they are wanted. What
/// moves the cursor, sets a title or answers to the terminal could make a log show what never happened.
pub(crate) fn without_controls(text: &str, with_colours: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut is_painted = false;
    while let Some(c) = rest.next() {
        match c {
            '\t' => shown.push(c),
            '\x1b' => {
                let sequence = escape_sequence(&mut rest);
                let colours = sequence.strip_prefix('[').and_then(|s| s.strip_suffix('m'));
                let is_colour = |codes: &str| codes.bytes().all(|b| b.is_ascii_digit() || b == b';');
                if with_colours && colours.is_some_and(is_colour) {
                    shown.push('\x1b');
                    shown.push_str(&sequence);
                    is_painted = true;
                }
            }
            c if c.is_control() => {}
            // They reorder what stands beside them.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => shown.push(c),
        }
    }
    if is_painted {
        shown.push_str("\x1b[0m");
    }
    shown
}

/// The same for several lines.
pub(crate) fn lines_without_controls(text: &str, with_colours: bool) -> String {
    let lines = text.lines().map(|line| without_controls(line, with_colours));
    lines.collect::<Vec<_>>().join("\n")
}

/// Takes what belongs to an escape sequence, after its first character.
fn escape_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut sequence = String::new();
    match rest.next() {
        Some('[') => {
            sequence.push('[');
            for c in rest.by_ref() {
                sequence.push(c);
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        // A string for the terminal (a title, a link): up to BEL or ESC \.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = rest.next() {
                if c == '\x07' || (c == '\x1b' && rest.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        Some(_) | None => {}
    }
    sequence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_on_a_terminal_and_are_ended() {
        assert_eq!(without_controls("a \x1b[1;32mok", true), "a \x1b[1;32mok\x1b[0m");
        assert_eq!(without_controls("a \x1b[1;32mok\x1b[0m", false), "a ok");
    }

    #[test]
    fn what_moves_the_cursor_or_talks_to_the_terminal_is_taken_out() {
        for (text, shown) in [
            ("a\x1b[2Jb", "ab"),
            ("a\x1b[1Ab", "ab"),
            ("a\rb", "ab"),
            ("a\x08b", "ab"),
            ("\x1b]0;title\x07x", "x"),
            ("\x1b]8;;http://evil\x1b\\x", "x"),
            ("a\u{9b}2Jb", "a2Jb"),
            ("a\u{202e}b", "ab"),
            ("\x1b", ""),
            ("\x1b[", ""),
            ("a\tb ä", "a\tb ä"),
        ] {
            assert_eq!(without_controls(text, true), shown, "{text:?}");
        }
    }
}
