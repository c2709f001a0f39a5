//! GitLab's side: what the job tells about itself in its `CI_*` variables.
//!
//! Leaves to others: everything that would work the same outside of a job.

pub mod job;
