//! Server-sent events, as the HTML standard describes their lines: bytes in, events out.

/// One event may have so many bytes; a server that sends more is not ours.
const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// What sort; `message` when it was not said.
    pub(crate) name: String,
    /// Its data, lines joined.
    pub(crate) data: String,
    /// The last id that was said, in this event or before.
    pub(crate) id: Option<String>,
}

/// An event that does not end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {EVENT_BYTES_MAX} bytes")]
pub(crate) struct TooLarge;

/// Takes bytes as they arrive, cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    /// The byte before was a CR: an LF now belongs to it.
    after_cr: bool,
    has_begun: bool,
    name: String,
    data: String,
    id: Option<String>,
    /// How long to wait before a new connection, when the server said so.
    pub(crate) retry_ms: Option<u64>,
}

impl Parser {
    /// Goes on after an id that was seen on an earlier connection.
    pub(crate) fn after(id: Option<String>) -> Self {
        Self { id, ..Self::default() }
    }

    /// The events that are complete with these bytes.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        for byte in bytes {
            let follows_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = if is_first { line.trim_start_matches('\u{feff}') } else { &line };
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
            // A comment, which keeps the connection alive, or what a later standard has.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Event { name, data, id: self.id.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str, id: Option<&str>) -> Event {
        Event { name: name.into(), data: data.into(), id: id.map(Into::into) }
    }

    const TEXT: &str = "\u{feff}: hello\n\nevent: line\nid: 7\ndata: {\"text\":\"grün\"}\n\n\
        retry: 250\r\ndata:a\r\ndata: b\r\ndata\r\n\r\nid\nevent: status\rdata:  x\r\rdata: unfinished\n";

    fn expected() -> Vec<Event> {
        vec![
            event("line", "{\"text\":\"grün\"}", Some("7")),
            event("message", "a\nb\n", Some("7")),
            event("status", " x", Some("")),
        ]
    }

    #[test]
    fn events_are_read_whatever_ends_the_lines() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(TEXT.as_bytes()), Ok(expected()));
        assert_eq!(parser.retry_ms, Some(250));
    }

    #[test]
    fn events_are_read_wherever_the_bytes_are_cut() {
        for size in 1..TEXT.len() {
            let mut parser = Parser::default();
            let pieces = TEXT.as_bytes().chunks(size);
            let events: Vec<Event> = pieces.flat_map(|piece| parser.push(piece).expect("small")).collect();
            assert_eq!(events, expected(), "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_data_is_none_and_a_bad_id_or_retry_is_ignored() {
        let mut parser = Parser::after(Some("3".into()));
        let events = parser.push(b"event: x\n\nid: a\0b\nretry: soon\ndata: y\n\n").expect("small");
        assert_eq!(events, [event("message", "y", Some("3"))]);
        assert_eq!(parser.retry_ms, None);
    }

    #[test]
    fn an_event_that_does_not_end_is_refused() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; EVENT_BYTES_MAX]), Ok(vec![]));
        assert_eq!(parser.push(b"x"), Err(TooLarge));
    }
}
