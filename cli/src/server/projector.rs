//! The role that writes the read models.

use std::sync::Arc;

use projections::projection::ALL;
use projections::projector::Projector;
use projections::wait::Watermark;

use super::parts::Parts;
use crate::compose::Engines;

/// Follows the log. Answers with what tells how far the read models are.
pub(super) fn start(parts: &mut Parts, engines: &Engines) -> Watermark {
    let projector = Projector::new(Arc::clone(&engines.log), engines.reads.clone(), ALL);
    let watermark = projector.watermark();
    parts.follow.spawn(|stop| async move {
        projector.run(stop.cancelled_owned()).await;
    });
    watermark
}
