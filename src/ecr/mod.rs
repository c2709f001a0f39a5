//! Where we push: registry hosts, repository and tag names, and the token that a registry accepts.
//!
//! Leaves to others: whose credentials ask for the token (`identity`), and the push itself (`docker`, `push`).

pub mod host;
pub mod repository;
pub mod token;
