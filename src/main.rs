//! Parse, run, exit.

fn main() -> std::process::ExitCode {
    crossdock::commands::run(crossdock::cli::parse())
}
