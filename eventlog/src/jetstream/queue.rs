//! (to come)
pub struct JetStreamQueue;
