//! The integration tests: one binary, so that it is linked once. Cases by topic, on the built program.
//!
//! They need the sandbox (`make sandbox-up`); `make test` does all of it.

#![allow(
    unreachable_pub,
    missing_docs,
    reason = "support is a small library for the cases beside it, in one binary"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, also where it is a helper that cannot"
)]

mod cases;
mod support;
