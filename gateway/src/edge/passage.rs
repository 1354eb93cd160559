//! The way of one exchange through the edge: the connection it uses, and the counts it holds while it does.

use std::sync::Arc;
use std::task::Context;

use tracing::debug;

use crate::edge::Edge;
use crate::edge::body::BodyError;
use crate::edge::counters::add;
use crate::edge::link::Link;
use crate::edge::target::Admitted;
use crate::edge::upstream::Busy;

/// Held by the answer until its last byte has been read from the upstream.
///
/// The order of the fields is the order in which they are dropped: a release counts as drained only when its
/// connection is closed or back in the pool.
pub(crate) struct Passage {
    pub(crate) link: Box<Link>,
    pub(crate) busy: Busy,
    pub(crate) admitted: Admitted,
    pub(crate) edge: Arc<Edge>,
}

impl Passage {
    /// The answer has been read to its end: the connection goes back to the pool, if it may.
    pub(crate) fn finish(mut self, cx: &mut Context<'_>) {
        if !self.link.is_reusable() {
            self.link.drive(cx);
        }
        if self.link.is_reusable() {
            self.busy.upstream().keep(self.link, self.edge.settings().pool_idle_max);
        }
    }

    /// The answer broke off.
    pub(crate) fn fail(self, error: &BodyError) {
        add(&self.edge.counting().answers_cut);
        debug!(error = %error, "an answer of {} was cut", self.admitted.release().title());
    }
}
