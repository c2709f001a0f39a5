//! What the cases stand on: the program under test, the sandbox, the docker CLI, and scripted peers for what
//! real parts cannot show.

pub mod daemon;
pub mod docker;
pub mod fake_aws;
pub mod files;
pub mod peer;
pub mod program;
pub mod registry;
pub mod sandbox;
