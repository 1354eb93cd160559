//! What people and programs see: the one place that prints.
//!
//! Results go to standard output; everything said about them to standard error. With `--json` standard output
//! is JSON and nothing else, with `--quiet` the essential and nothing else. Colours and progress only on a
//! terminal.

pub(crate) mod ask;
pub(crate) mod progress;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use self::style::Style;
use self::table::Table;
use crate::args::Global;

/// A line of plain results is for a person, a program, or a script that wants one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Tables and sentences.
    Human,
    /// `--quiet`.
    Quiet,
    /// `--json`.
    Json,
}

/// How to print, found out once.
#[derive(Debug)]
pub(crate) struct Ui {
    form: Form,
    does_ask: bool,
    out: Output,
    err: Output,
}

/// One of the two outputs.
#[derive(Clone, Copy, Debug)]
struct Output {
    is_terminal: bool,
    has_colour: bool,
    width: Option<usize>,
}

impl Output {
    fn new(is_terminal: bool, width: Option<u16>, global: &Global) -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let has_colour = is_terminal && !is_dumb && !global.no_color && !is_set("NO_COLOR");
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self { is_terminal, has_colour, width: columns.or(width.map(usize::from)).filter(|width| *width > 0) }
    }
}

impl Ui {
    /// Looks at the options, the terminal and the environment.
    pub(crate) fn new(global: &Global) -> Self {
        let form = match (global.json, global.quiet) {
            (true, _) => Form::Json,
            (false, true) => Form::Quiet,
            (false, false) => Form::Human,
        };
        let width = |size: rustix::io::Result<rustix::termios::Winsize>| size.ok().map(|size| size.ws_col);
        let out_width = width(rustix::termios::tcgetwinsize(io::stdout()));
        let err_width = width(rustix::termios::tcgetwinsize(io::stderr()));
        Self {
            form,
            does_ask: !global.yes
                && form != Form::Json
                && io::stdin().is_terminal()
                && io::stderr().is_terminal(),
            out: Output::new(io::stdout().is_terminal(), out_width, global),
            err: Output::new(io::stderr().is_terminal(), err_width, global),
        }
    }

    /// For whom results are.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Whether somebody is there who can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.does_ask
    }

    /// Whether progress can be drawn.
    pub(crate) fn can_draw(&self) -> bool {
        self.err.is_terminal && self.form == Form::Human
    }

    /// Prints a line of the result.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        print(text)
    }

    /// Prints a table: its rows for people.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub(crate) fn table(&self, table: &Table) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(table.render(self.out.width, self.out.has_colour).as_bytes())?;
        out.flush()
    }

    /// Prints a JSON document on several lines.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub(crate) fn document(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string_pretty(value)?)
    }

    /// Prints a JSON document on one line, as one of many.
    ///
    /// # Errors
    /// When nobody reads it any more.
    pub(crate) fn record(&self, value: &impl Serialize) -> io::Result<()> {
        self.line(&serde_json::to_string(value)?)
    }

    /// Says something about what is going on, to people only.
    pub(crate) fn note(&self, text: &str) {
        if self.form == Form::Human {
            tell(text);
        }
    }

    /// Says something that must not be overlooked, whatever the form.
    pub(crate) fn warn(&self, text: &str) {
        tell(&format!("{}: {text}", self.err_style(Style::Warning, "warning")));
    }

    /// Prints the report of a failure.
    pub(crate) fn failure(&self, report: &str) {
        tell(report);
    }

    /// Text of a result, in a style where there are colours.
    pub(crate) fn out_style(&self, style: Style, text: &str) -> String {
        style.paint(text, self.out.has_colour)
    }

    /// Text on standard error, in a style where there are colours.
    pub(crate) fn err_style(&self, style: Style, text: &str) -> String {
        style.paint(text, self.err.has_colour)
    }

    /// What a program of somebody else's printed, safe to be shown: on a terminal with its colours, without
    /// anything that moves the cursor or sets the window's title.
    pub(crate) fn foreign(&self, text: &str) -> String {
        text::lines_without_controls(text, self.out.has_colour)
    }

    /// The same, for standard error.
    pub(crate) fn err_foreign(&self, text: &str) -> String {
        text::lines_without_controls(text, self.err.has_colour)
    }
}

/// What is wrong with the words of a command line, or the help that was asked for.
pub(crate) fn grammar(error: &clap::Error) -> ExitCode {
    // Whoever does not read the help any more has seen enough.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Says an error with all its causes on standard error.
pub(crate) fn error_chain(error: &dyn Error) {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let causes: String = causes.map(|cause| format!("\n  {cause}")).collect();
    tell(&format!("error: {error}{causes}"));
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Standard error that is closed is not worth failing for.
fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
