//! Questions, on a terminal only. Whoever waits for an answer can be interrupted.

use std::io::{self, BufRead, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::ui::Ui;

/// How long an answer may be, in bytes; more than a token has.
const ANSWER_MAX: usize = 16 * 1024;

impl Ui {
    /// Asks for yes or no; an empty answer is `default`. Nobody to ask is yes: see [`Ui::can_ask`].
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn confirm(&self, question: &str, default: bool) -> io::Result<bool> {
        if !self.can_ask() {
            return Ok(true);
        }
        let choice = if default { "[Y/n]" } else { "[y/N]" };
        loop {
            let answer = ask(format!("{question} {choice} ")).await?;
            match answer.to_ascii_lowercase().as_str() {
                "" => return Ok(default),
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => super::tell("Please answer y or n."),
            }
        }
    }

    /// Asks for a text; an empty answer is `default`, and so is nobody to ask.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn prompt(&self, label: &str, default: &str) -> io::Result<String> {
        if !self.can_ask() {
            return Ok(default.to_owned());
        }
        let answer = ask(format!("{label} [{default}]: ")).await?;
        Ok(if answer.is_empty() { default.to_owned() } else { answer })
    }

    /// Asks for a text that is not to be seen.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn prompt_secret(&self, label: &str) -> io::Result<String> {
        let _hidden = Hidden::new();
        let answer = ask(format!("{label}: ")).await;
        super::tell("");
        answer
    }
}

/// Reads what standard input has to say, `most` bytes at most.
///
/// # Errors
/// When it cannot be read, is too long, or is not text.
pub(crate) fn read_standard_input(most: usize) -> io::Result<String> {
    let mut text = String::new();
    io::stdin().lock().take(most as u64 + 1).read_to_string(&mut text)?;
    if text.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {most} bytes")));
    }
    Ok(text)
}

async fn ask(question: String) -> io::Result<String> {
    let answer = tokio::task::spawn_blocking(move || ask_and_wait(&question)).await;
    answer.map_err(io::Error::other).flatten()
}

fn ask_and_wait(question: &str) -> io::Result<String> {
    // The lock is not held while it waits: somebody else may have to say that it was interrupted.
    io::stderr().lock().write_all(question.as_bytes())?;
    let mut answer = String::new();
    let read = io::stdin().lock().take(ANSWER_MAX as u64).read_line(&mut answer)?;
    if read == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "there was no answer"));
    }
    Ok(answer.trim().to_owned())
}

/// Switches the terminal's echo off until it is dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn new() -> Self {
        let Ok(before) = tcgetattr(io::stdin()) else { return Self(None) };
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        let is_hidden = tcsetattr(io::stdin(), OptionalActions::Now, &hidden).is_ok();
        Self(is_hidden.then_some(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that is gone has no echo.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
