//! What the bus measures: which commands were given, how each ended, how long it took.

use std::fmt::{self, Debug, Write};
use std::time::Instant;

use domain::stream::AggregateKind;
use eventlog::measure::{MOMENTS, Metric};

use crate::bus::Outcome;
use crate::error::CommandError;

/// The longest name of a command; longer ones are cut.
const NAME_MAX: usize = 40;
/// How a command can end.
const OUTCOMES: [&str; 7] =
    ["changed", "unchanged", "rejected", "forbidden", "key_reused", "contended", "unavailable"];

/// Commands that were given.
pub const COMMANDS: Metric = Metric::counter(
    "switchback_commands_total",
    &["aggregate", "command", "outcome"],
    "Commands; outcome: changed, unchanged, rejected, forbidden, key_reused, contended, unavailable.",
);
/// How long they took.
pub const COMMAND_DURATION: Metric = Metric::histogram(
    "switchback_command_duration_seconds",
    MOMENTS,
    &["aggregate", "outcome"],
    "Time from a command to its outcome, with races that were lost and appends that were repeated.",
);
/// Races that were lost.
pub const CONFLICTS: Metric = Metric::counter(
    "switchback_command_conflicts_total",
    &["aggregate"],
    "Decisions that were made again because somebody else appended first.",
);

/// What this crate measures.
pub const METRICS: &[Metric] = &[COMMANDS, COMMAND_DURATION, CONFLICTS];

/// Shows what can be shown before anything has happened.
pub fn begin() {
    for kind in AggregateKind::ALL {
        CONFLICTS.begin([kind.as_str()]);
        for outcome in OUTCOMES {
            COMMAND_DURATION.begin([kind.as_str(), outcome]);
        }
    }
}

/// Counts a command that has ended.
pub(crate) fn ended(
    kind: AggregateKind,
    command: String,
    began: Instant,
    result: &Result<Outcome, CommandError>,
) -> &'static str {
    let outcome = match result {
        Ok(outcome) if outcome.changed => "changed",
        Ok(_) => "unchanged",
        Err(CommandError::Rejected { .. }) => "rejected",
        Err(CommandError::Forbidden(_)) => "forbidden",
        Err(CommandError::KeyReused) => "key_reused",
        Err(CommandError::Contended) => "contended",
        Err(CommandError::Append(_) | CommandError::Read(_) | CommandError::Keyring(_)) => "unavailable",
    };
    COMMANDS.count([kind.as_str().into(), metrics::SharedString::from(command), outcome.into()]);
    COMMAND_DURATION.observe(began.elapsed(), [kind.as_str(), outcome]);
    outcome
}

/// The name of a command: that of its variant, and nothing of what it carries.
pub(crate) fn name_of(command: &impl Debug) -> String {
    let mut name = Name(String::new());
    // It refuses what comes after the name, so the values are not even formatted.
    let _ = write!(name, "{command:?}");
    name.0
}

/// Takes the first word and no more.
struct Name(String);

impl Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if !c.is_ascii_alphanumeric() || self.0.len() >= NAME_MAX {
                return Err(fmt::Error);
            }
            if c.is_ascii_uppercase() && !self.0.is_empty() {
                self.0.push('_');
            }
            self.0.push(c.to_ascii_lowercase());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "only their names matter")]
    enum Command {
        Stop,
        RollBack { to: &'static str },
        Give(&'static str),
    }

    #[test]
    fn a_command_is_named_without_what_it_carries() {
        assert_eq!(name_of(&Command::Stop), "stop");
        assert_eq!(name_of(&Command::RollBack { to: "secret" }), "roll_back");
        assert_eq!(name_of(&Command::Give("secret")), "give");
    }
}
