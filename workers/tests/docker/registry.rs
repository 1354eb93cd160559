//! Registries, with a real one of its own protocol, named by `SWITCHBACK_TEST_REGISTRY`.
