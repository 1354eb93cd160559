//! The few styles, by what they mean.

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As any other.
    Plain,
    /// A heading.
    Heading,
    /// Went well.
    Good,
    /// Wants a look.
    Warning,
    /// Went wrong.
    Bad,
    /// Of less importance.
    Faint,
}

impl Style {
    /// The text in this style, or as it is without colours.
    pub(crate) fn paint(self, text: &str, has_colour: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Heading => "1",
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
            Self::Faint => "2",
        };
        if has_colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The style of a deployment's status, a release's status or a service's health.
    pub(crate) fn of_status(status: &str) -> Self {
        match status {
            "SUCCESS" | "HEALTHY" | "live" => Self::Good,
            "FAILED" | "DOWN" | "failed" => Self::Bad,
            "DEGRADED" | "CANCELLED" => Self::Warning,
            "SUPERSEDED" | "NONE" | "UNKNOWN" | "retired" => Self::Faint,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_the_text_is_as_it_was() {
        assert_eq!(Style::Bad.paint("x", false), "x");
        assert_eq!(Style::Bad.paint("x", true), "\x1b[31mx\x1b[0m");
        assert_eq!(Style::Plain.paint("x", true), "x");
    }
}
