//! The oldest lines of an application's log fall away when it has too many bytes.

use crate::error::BoxError;
use crate::jetstream::batch;
use crate::jetstream::logs::Shared;
use crate::jetstream::logs::end::End;
use crate::jetstream::logs::piece::Piece;
use crate::logs::LogName;

/// How many messages are looked at at once.
const LOOKED_AT: usize = 64;

impl Shared {
    /// Lets the oldest lines fall away, when there are too many: a segment's worth at once, so that it is
    /// seldom.
    pub(super) async fn trim(&self, log: LogName, end: &mut End) -> Result<(), BoxError> {
        let (segment, segments) = (self.limits.segment_bytes, self.limits.segments.max(1) as u64);
        let is_large = |gone: u64| end.bytes - gone > segment * segments;
        if !matches!(log, LogName::Application(_)) || end.gone.is_some_and(|gone| !is_large(gone)) {
            return Ok(());
        }
        let Some(first) = self.next_piece(log, 1).await? else { return Ok(()) };
        end.gone = Some(first.bytes_before());
        if !is_large(first.bytes_before()) {
            return Ok(());
        }
        let wanted = end.bytes - segment * (segments - 1).max(1);
        let Some(keep) = self.first_with_bytes(log, &first, wanted).await? else { return Ok(()) };
        let subject = self.subject(log);
        let purge = async || Ok(self.stream.purge().sequence(keep.sequence).filter(&subject).await?);
        self.connection.ask(purge).await?;
        end.gone = Some(keep.bytes_before());
        Ok(())
    }

    /// The first message before which a log had at least so many bytes.
    async fn first_with_bytes(
        &self,
        log: LogName,
        first: &Piece,
        bytes: u64,
    ) -> Result<Option<Piece>, BoxError> {
        let (subject, mut from) = (self.subject(log), first.sequence);
        loop {
            let found = batch::get(&self.connection, &self.stream_name, &subject, from, LOOKED_AT).await?;
            for stored in found.messages {
                let piece = Piece::decode(stored)?;
                from = piece.sequence + 1;
                if piece.head.life == first.head.life && piece.bytes_before() >= bytes {
                    return Ok(Some(piece));
                }
            }
            if !found.has_more {
                return Ok(None); // The replica lags; the next append sees to it.
            }
        }
    }
}
