//! One thin file a subcommand. Here, and only here, rooms are joined.

mod daemon;
pub mod describe;
pub mod login;
pub mod logout;
pub mod push;
mod registries;
mod session;

use crate::cli::{Action, Cli};
use crate::console::{Console, Verbosity};
use crate::environment::Environment;
use crate::error::Result;
use crate::settings::{LoginSettings, LogoutSettings, PushSettings};

/// Runs what the command line says; gives the exit code. Errors have been told by then.
#[must_use]
pub fn run(cli: Cli) -> std::process::ExitCode {
    let console = Console::new(match cli.verbose {
        _ if cli.quiet => Verbosity::Quiet,
        0 => Verbosity::Normal,
        1 => Verbosity::Detailed,
        _ => Verbosity::Everything,
    });
    match act(cli.command, &console) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            console.error(&error);
            error.exit_code().into()
        }
    }
}

fn act(action: Action, console: &Console) -> Result<()> {
    let environment = Environment::of_process();
    match action {
        Action::Login(args) => {
            let settings = LoginSettings::new(args, &environment)?;
            wait_for(login::run(&settings, &environment, console))
        }
        Action::Push(args) => {
            let settings = PushSettings::new(args, &environment)?;
            wait_for(push::run(&settings, &environment, console))
        }
        Action::Logout(args) => {
            let settings = LogoutSettings::new(&args, &environment)?;
            wait_for(logout::run(&settings, console))
        }
        Action::Completions { shell } => describe::completions(shell),
        Action::Man => describe::man(),
    }
}

/// Runs `work` on this thread: it is mostly waiting, and more threads would cost more than they give.
fn wait_for(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(NoRuntime)?;
    let outcome = runtime.block_on(work);
    // A name that is still being looked up in vain must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// The operating system gave no event queue.
#[derive(Debug, thiserror::Error)]
#[error("could not start: {0}")]
struct NoRuntime(std::io::Error);

impl crate::error::Failure for NoRuntime {
    fn exit_code(&self) -> crate::error::ExitCode {
        crate::error::ExitCode::Unexpected
    }
}
