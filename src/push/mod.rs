//! A push: what goes where, the doing of it, and what came out.
//!
//! Leaves to others: how the daemon and the registry are asked (`docker`, `registry`), and how an outcome is
//! shown (`commands`).

pub mod outcome;
pub mod plan;
pub mod run;
