//! The characters of a command line, read into words.

use super::InvalidCommand;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Variable { name: String, default: Option<String> },
}

/// A word, or what stands between two commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Vec<Piece>),
    And,
}

impl Token {
    /// The word, when it is one.
    pub(super) fn word(&self) -> Option<&[Piece]> {
        match self {
            Self::Word(pieces) => Some(pieces),
            Self::And => None,
        }
    }
}

/// The words of a line.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, InvalidCommand> {
    let mut lexer = Lexer { line, rest: line.chars().peekable(), tokens: vec![], word: None };
    while let Some(c) = lexer.rest.next() {
        lexer.character(c)?;
    }
    lexer.end_word();
    Ok(lexer.tokens)
}

/// Whether a text is fit for the name of a variable.
pub(super) fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads the characters of a line into words.
struct Lexer<'a> {
    line: &'a str,
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    tokens: Vec<Token>,
    word: Option<Vec<Piece>>,
}

impl Lexer<'_> {
    fn character(&mut self, c: char) -> Result<(), InvalidCommand> {
        match c {
            ' ' | '\t' => self.end_word(),
            '\'' => self.single_quoted()?,
            '"' => self.double_quoted()?,
            '\\' => match self.rest.next() {
                Some(next) => self.text(next),
                None => return Err(self.unclosed('\\')),
            },
            '$' => self.variable()?,
            '&' if self.rest.next_if_eq(&'&').is_some() => {
                self.end_word();
                self.tokens.push(Token::And);
            }
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '`' | '*' | '?' => return Err(self.needs_shell(c)),
            '#' | '~' if self.word.is_none() => return Err(self.needs_shell(c)),
            c => self.text(c),
        }
        Ok(())
    }

    fn single_quoted(&mut self) -> Result<(), InvalidCommand> {
        self.word.get_or_insert_default();
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some(c) => self.text(c),
                None => return Err(self.unclosed('\'')),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), InvalidCommand> {
        self.word.get_or_insert_default();
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('$') => self.variable()?,
                Some('`') => return Err(self.needs_shell('`')),
                Some('\\') => {
                    let escaped = self.rest.next_if(|c| "$`\"\\".contains(*c));
                    self.text(escaped.unwrap_or('\\'));
                }
                Some(c) => self.text(c),
                None => return Err(self.unclosed('"')),
            }
        }
    }

    fn variable(&mut self) -> Result<(), InvalidCommand> {
        let mut name = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            let mut inner = String::new();
            loop {
                match self.rest.next() {
                    Some('}') => break,
                    Some(c) => inner.push(c),
                    None => return Err(self.unclosed('{')),
                }
            }
            let (name, default) = match inner.split_once(":-") {
                Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
                None => (inner, None),
            };
            if !is_name(&name) || default.as_ref().is_some_and(|d| d.contains(['$', '`'])) {
                return Err(self.needs_shell_text("${…}"));
            }
            self.piece(Piece::Variable { name, default });
            return Ok(());
        }
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if name.is_empty() && self.rest.peek() == Some(&'(') {
            return Err(self.needs_shell_text("$(…)"));
        }
        if is_name(&name) {
            self.piece(Piece::Variable { name, default: None });
        } else {
            self.text('$');
            name.chars().for_each(|c| self.text(c));
        }
        Ok(())
    }

    fn text(&mut self, c: char) {
        let word = self.word.get_or_insert_default();
        if let Some(Piece::Text(text)) = word.last_mut() {
            text.push(c);
        } else {
            word.push(Piece::Text(c.to_string()));
        }
    }

    fn piece(&mut self, piece: Piece) {
        self.word.get_or_insert_default().push(piece);
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            self.tokens.push(Token::Word(word));
        }
    }

    fn needs_shell(&self, found: char) -> InvalidCommand {
        self.needs_shell_text(&found.to_string())
    }

    fn needs_shell_text(&self, found: &str) -> InvalidCommand {
        InvalidCommand::NeedsShell { line: self.line.to_owned(), found: found.to_owned() }
    }

    fn unclosed(&self, quote: char) -> InvalidCommand {
        InvalidCommand::Unclosed { line: self.line.to_owned(), quote }
    }
}
