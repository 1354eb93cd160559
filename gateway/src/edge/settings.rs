//! The limits of the edge: everything that is waited for, queued or kept has one here.
//!
//! A setting is fixed when the edge is made and never changes afterwards.

use std::time::Duration;

/// What the edge allows its clients and the applications behind it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Client connections at one time; more wait in the listener's queue.
    pub connections_max: usize,
    /// A request head must be complete this long after its first byte, the first one after the connection.
    pub head_limit: Duration,
    /// A request head may be this large; more is answered with 431.
    pub head_bytes_max: usize,
    /// A request body may be this large; more is answered with 413.
    pub body_bytes_max: Option<u64>,
    /// A client connection without a request is closed after this time.
    pub idle_limit: Duration,
    /// A client that neither sends the body it announced nor takes the answer is cut off after this time.
    pub stall_limit: Duration,
    /// Streams of one HTTP/2 connection at one time.
    pub streams_max: u32,
    /// Connecting to an upstream may take this long.
    pub connect_limit: Duration,
    /// Head of the answer, counted from the last byte of the request that went on; then 504.
    pub answer_limit: Duration,
    /// A streamed answer or a tunnel on which nothing moves is cut after this time.
    pub quiet_limit: Duration,
    /// Idle connections to upstreams are closed after this time. It must be shorter than the applications'
    /// own keep-alive limit (gunicorn 2 s, Node 5 s), or a request meets a connection that is being closed.
    pub pool_idle_limit: Duration,
    /// Idle connections kept for one upstream.
    pub pool_idle_max: usize,
    /// A request waits this long for an application that does not accept connections; then 503.
    pub hold_limit: Duration,
    /// Requests that wait for one release; more are answered with 503 at once.
    pub hold_waiters_max: usize,
    /// On stop: answers say `Connection: close` for this long before idle connections are closed.
    pub lame_duck: Duration,
    /// On stop: requests in flight may take this long after the lame-duck time.
    pub drain_limit: Duration,
}

impl Settings {
    /// How often a connection looks at its limits: often enough for the shortest of them.
    pub(crate) fn tick(&self) -> Duration {
        let shortest =
            [self.head_limit, self.idle_limit, self.stall_limit, self.answer_limit, self.quiet_limit]
                .into_iter()
                .fold(Duration::from_secs(4), Duration::min);
        (shortest / 4).max(Duration::from_millis(5))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            connections_max: 16_384,
            head_limit: Duration::from_secs(10),
            head_bytes_max: 32 << 10,
            body_bytes_max: Some(2 << 30),
            idle_limit: Duration::from_secs(75),
            stall_limit: Duration::from_secs(60),
            streams_max: 128,
            connect_limit: Duration::from_secs(2),
            answer_limit: Duration::from_mins(2),
            quiet_limit: Duration::from_mins(15),
            pool_idle_limit: Duration::from_millis(1_800),
            pool_idle_max: 256,
            hold_limit: Duration::from_secs(5),
            hold_waiters_max: 256,
            lame_duck: Duration::from_secs(2),
            drain_limit: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_is_a_quarter_of_the_shortest_limit_and_at_most_a_second() {
        assert_eq!(Settings::default().tick(), Duration::from_secs(1));
        let settings = Settings { head_limit: Duration::from_millis(200), ..Settings::default() };
        assert_eq!(settings.tick(), Duration::from_millis(50));
        let settings = Settings { head_limit: Duration::ZERO, ..Settings::default() };
        assert_eq!(settings.tick(), Duration::from_millis(5));
    }
}
