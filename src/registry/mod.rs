//! The registry itself, over the OCI distribution API: for what the daemon cannot do.
//!
//! That is: say whether a login is good where there is no daemon, and say what a tag holds before a push.
//! Pushing is left to the daemon (`docker`).

pub mod client;
