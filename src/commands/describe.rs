//! `crossdock completions` and `crossdock man`: the command line described for shells and for `man`.

use std::io::{self, Write};

use clap_complete::Shell;

use crate::cli;
use crate::error::{ExitCode, Failure, Result};

/// stdout does not take what is printed.
#[derive(Debug, thiserror::Error)]
#[error("could not write to stdout: {0}")]
struct NoStdout(io::Error);

impl Failure for NoStdout {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Unexpected
    }
}

/// Prints the completion script for `shell`.
///
/// # Errors
/// stdout cannot be written.
pub fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "crossdock", &mut script);
    print(&script)
}

/// Prints the manual page, with a section for each subcommand's options.
///
/// # Errors
/// stdout cannot be written.
pub fn man() -> Result<()> {
    let mut page = Vec::new();
    let command = cli::command();
    let render = |command: clap::Command, name: &str, page: &mut Vec<u8>| {
        clap_mangen::Man::new(command.display_name(name.to_owned()))
            .title(name)
            .render(page)
            .map_err(NoStdout)
    };
    render(command.clone(), "crossdock", &mut page)?;
    for subcommand in command.get_subcommands() {
        let name = format!("crossdock-{}", subcommand.get_name());
        render(subcommand.clone(), &name, &mut page)?;
    }
    print(&page)
}

fn print(bytes: &[u8]) -> Result<()> {
    match io::stdout().write_all(bytes) {
        // A reader such as `head` has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome.map_err(NoStdout)?),
    }
}
