//! How a program ended, in words.

use std::fmt;

use crate::supervise::protocol::Exit;

impl Exit {
    /// Whether it did what it was to do.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Status(0)
    }
}

/// Reads well after `ended with`: `exit status 1`, `signal 9 (SIGKILL)`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal { number, out_of_memory } => {
                write!(f, "signal {number}")?;
                name(*number).map_or(Ok(()), |name| write!(f, " ({name})"))?;
                if *out_of_memory { f.write_str(": its memory limit was reached") } else { Ok(()) }
            }
            Self::NotStarted(refusal) => refusal.fmt(f),
            Self::Lost => f.write_str("an unknown status, as its supervisor was killed"),
        }
    }
}

/// The signals that people meet.
const fn name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_said_in_words() {
        let signal = |number, out_of_memory| Exit::Signal { number, out_of_memory }.to_string();
        assert_eq!(Exit::Status(3).to_string(), "exit status 3");
        assert_eq!(signal(11, false), "signal 11 (SIGSEGV)");
        assert_eq!(signal(9, true), "signal 9 (SIGKILL): its memory limit was reached");
        assert_eq!(signal(40, false), "signal 40");
    }

    #[test]
    fn only_status_0_is_a_success() {
        assert!(Exit::Status(0).is_success());
        for exit in [Exit::Status(1), Exit::Signal { number: 15, out_of_memory: false }, Exit::Lost] {
            assert!(!exit.is_success(), "{exit}");
        }
    }
}
