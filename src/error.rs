//! The crate's error: what a failure is worth as an exit code, and what to do about it.
//!
//! Each room has its own error type, which carries data and words its message once, in its `Display`.
//! Here is only what they share: the public exit codes and the way up to `main`. Rooms import this module
//! and never the other way round, so a new room brings its mapping along by implementing [`Failure`].

use std::fmt;

use crate::secret::redact;

/// The exit codes of DESIGN.md, a public contract: usable in GitLab's `allow_failure:exit_codes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Something that no other code describes.
    Unexpected = 1,
    /// Wrong usage, or settings that cannot work.
    Settings = 2,
    /// No source credentials, or AWS does not accept them.
    NoSourceCredentials = 3,
    /// AWS refused: access denied, or an account that is not allowed.
    Refused = 4,
    /// AWS could not be reached, or throttled to the end.
    AwsUnreachable = 5,
    /// No Docker daemon.
    NoDaemon = 6,
    /// The registry refused the login, or could not be asked.
    LoginRefused = 7,
    /// The push failed.
    PushFailed = 8,
    /// The tag exists, is immutable, and holds another digest.
    TagTaken = 9,
    /// Some targets were pushed, some not.
    Partial = 10,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// What every room's error can tell beyond its message.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// The exit code that this failure ends the process with.
    fn exit_code(&self) -> ExitCode;

    /// What to do next, and on which side; `None` where the message says it already.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Any room's failure on its way to `main`, in words.
///
/// The words are made, and cleared of secrets, where the failure becomes an `Error`: later, when it is shown, the
/// secrets that a peer may have echoed into it are dropped already and could not be recognised.
#[derive(Clone, Debug)]
pub struct Error {
    exit_code: ExitCode,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// The exit code for the process.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        self.exit_code
    }

    /// What the user should do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl<F: Failure> From<F> for Error {
    fn from(failure: F) -> Self {
        Self {
            exit_code: failure.exit_code(),
            message: redact(&failure.to_string()).into_owned(),
            hint: failure.hint().map(|hint| redact(&hint).into_owned()),
        }
    }
}

/// What a command returns.
pub type Result<T> = std::result::Result<T, Error>;
