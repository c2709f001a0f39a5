//! crossdock: cross-account Amazon ECR logins and pushes for GitLab CI jobs.
//!
//! The map of the house; data flows from top to bottom:
//!
//! | module | what it is for |
//! |---|---|
//! | [`cli`] | the command line's types |
//! | [`settings`] | flags and environment, validated |
//! | [`commands`] | one thin file a subcommand; joins the rooms |
//! | [`identity`] | who we are: source, roles, refusals |
//! | [`ecr`] | where we push: hosts, names, tokens |
//! | [`docker`] | the daemon, its stream, the docker CLI's files |
//! | [`registry`] | the distribution API, for what the daemon cannot do |
//! | [`gitlab`] | what the job tells about itself |
//! | [`push`] | plan, run and outcome of a push |
//! | [`progress`] | how a push is seen while it runs |
//! | [`aws`], [`network`] | what all calls to AWS, and all HTTP, share |
//! | [`account`], [`console`], [`environment`], [`error`], [`secret`] | the ground that everything stands on |
//!
//! The import rule: the ground imports nothing but itself; `network` and `aws` stand on it; the rooms
//! (`identity`, `ecr`, `docker`, `registry`, `gitlab`) import those and never each other; `push` imports rooms;
//! `settings` imports rooms' types to fill them; `commands` imports everything; `main` imports `commands`.
//! `tests/cases/layout.rs` checks it.

pub mod account;
pub mod aws;
pub mod cli;
pub mod commands;
pub mod console;
pub mod docker;
pub mod ecr;
pub mod environment;
pub mod error;
pub mod gitlab;
pub mod identity;
pub mod network;
pub mod progress;
pub mod push;
pub mod registry;
pub mod secret;
pub mod settings;
