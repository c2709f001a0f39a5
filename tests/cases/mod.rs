//! The cases, by topic.

mod config_file;
mod daemon;
mod denial;
mod identity;
mod layout;
mod login;
mod network;
mod push;
mod readme;
mod recorded;
mod secrets;
mod ssh;
mod streams;
mod terminal;
mod usage;
