//! Parse, run, exit.

fn main() -> std::process::ExitCode {
    crossdock::console::tell_panics();
    crossdock::commands::run(crossdock::cli::parse())
}
