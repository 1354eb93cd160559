//! Files served by the platform.
