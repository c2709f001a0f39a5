//! What people read: notes, warnings and errors on stderr, results on stdout.
//!
//! The only place that prints (progress bars apart). Everything passes the same filter: live secrets are
//! redacted, and control characters that a peer put into its message cannot move the cursor or forge a line.
//! Colours follow `NO_COLOR`, `TERM` and whether stderr is a terminal (the anstream crate decides).

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::error::{Error, ExitCode};
use crate::secret::redact;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only (`-q`).
    Quiet,
    /// What was done, in a line each.
    Normal,
    /// Also how it was decided (`-v`).
    Detailed,
    /// Also each step (`-vv`).
    Everything,
}

/// The way to stdout and stderr.
#[derive(Clone, Debug)]
pub struct Console {
    verbosity: Verbosity,
}

impl Console {
    /// A console that tells as much as `verbosity` says.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Self { verbosity }
    }

    /// How much this console tells.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// A line on what was done.
    pub fn note(&self, message: impl Display) {
        self.tell(Verbosity::Normal, None, &message);
    }

    /// A line on how something was decided (`-v`).
    pub fn detail(&self, message: impl Display) {
        self.tell(Verbosity::Detailed, None, &message);
    }

    /// A line on a single step (`-vv`).
    pub fn trace(&self, message: impl Display) {
        self.tell(Verbosity::Everything, None, &message);
    }

    /// Something that works but that the user should know.
    pub fn warn(&self, message: impl Display) {
        let yellow = AnsiColor::Yellow.on_default().bold();
        self.tell(Verbosity::Normal, Some(("warning", yellow)), &message);
    }

    /// A failure with its hint; told at every verbosity.
    pub fn error(&self, error: &Error) {
        let red = AnsiColor::Red.on_default().bold();
        self.tell(Verbosity::Quiet, Some(("error", red)), error);
        if let Some(hint) = error.hint() {
            let cyan = AnsiColor::Cyan.on_default().bold();
            self.tell(Verbosity::Quiet, Some(("hint", cyan)), &hint);
        }
    }

    /// A result line on stdout. The work is done by then, so a stdout that takes nothing is a warning; a reader that
    /// went away is not even that.
    pub fn result(&self, line: impl Display) {
        match writeln!(io::stdout(), "{line}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.warn(format!("could not write to stdout: {error}"));
            }
            _ => {}
        }
    }

    fn tell(&self, from: Verbosity, label: Option<(&str, Style)>, message: &dyn Display) {
        if self.verbosity < from {
            return;
        }
        let text = message.to_string();
        let text = printable(&redact(&text));
        let prefix = label.map_or_else(String::new, |(word, style)| {
            format!("{style}{word}:{style:#} ")
        });
        // Nobody can be told that stderr is closed.
        let _ = writeln!(anstream::stderr(), "crossdock: {prefix}{text}");
    }
}

/// From now on a panic, which is a fault of ours, ends the process with one line and the exit code for the unexpected.
/// The panic's own text is left out: it may hold anything.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {place}"));
        let _ = writeln!(
            io::stderr(),
            "crossdock: error: an unexpected fault{place}; please report it"
        );
        std::process::exit(i32::from(ExitCode::Unexpected as u8));
    }));
}

/// `text` without control characters; further lines are indented so that each record is seen as one.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '\n' => clean.push_str("\n    "),
            '\r' => {}
            '\t' => clean.push(' '),
            control if control.is_control() => clean.push('\u{fffd}'),
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_forge_lines_or_move_the_cursor() {
        assert_eq!(
            printable("denied\r\ncrossdock: all is well\u{1b}[2K"),
            "denied\n    crossdock: all is well\u{fffd}[2K"
        );
    }
}
