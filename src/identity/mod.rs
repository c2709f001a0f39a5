//! Who we are: where the source credentials come from, which roles are assumed with them, and what a refusal
//! means.
//!
//! Leaves to others: what the identity is used for (`ecr`), and which account is allowed (`commands`).

pub mod arn;
pub mod denial;
pub mod keys;
pub mod limits;
pub mod profiles;
pub mod role;
pub mod source;
