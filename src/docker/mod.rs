//! Docker's side: the daemon (which one, whether it is there, what it can be asked), its push stream, and the
//! files and helpers in which the docker CLI keeps logins.
//!
//! Leaves to others: what is pushed where (`push`), and what a registry can be asked directly (`registry`).

pub mod config_file;
pub mod connect;
pub mod daemon;
pub mod endpoint;
pub mod events;
pub mod helper;
pub mod json_file;
pub mod login_store;
pub mod ssh;
