//! The command line: types that clap fills, without logic. What the values mean is decided in `settings`.
//!
//! Every option that a CI job may want to set has an environment variable `CROSSDOCK_<NAME>`; a flag beats it,
//! and a blank variable counts as unset.

#![allow(
    clippy::doc_markdown,
    reason = "clap prints these texts as they are: backticks would be seen"
)]

use clap::builder::Resettable;
use clap::{
    Arg, ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  unexpected
  2  usage or settings
  3  no usable source credentials
  4  AWS refused (access denied, wrong account)
  5  AWS unreachable or throttled to the end
  6  no Docker daemon
  7  the registry refused the login
  8  the push failed
  9  the tag exists, is immutable, and holds another digest
  10 some targets were pushed, some not";

/// Cross-account Amazon ECR logins and pushes for GitLab CI jobs.
#[derive(Debug, Parser)]
#[command(name = "crossdock", version, after_help = EXIT_CODES, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Action,

    /// Tell more: -v how things were decided, -vv every step
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Tell errors only, no warnings either
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Assume the role, get an ECR token, verify it with the daemon, store the login for docker
    ///
    /// Prints the host of each registry that is logged in to.
    Login(LoginArgs),
    /// Tag an image and push it; nothing need be logged in before, the token stays in memory
    ///
    /// Prints one line for each pushed reference: HOST/REPOSITORY:TAG@sha256:...
    Push(PushArgs),
    /// Forget the Docker logins that 'login' stored, and no others
    Logout(LogoutArgs),
    /// Print a script that completes crossdock's options in a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Who checks the login before it is stored [default: daemon, or registry where no daemon is configured]
    #[arg(long, value_enum, env = "CROSSDOCK_VERIFY")]
    pub verify: Option<VerifyArg>,

    /// From the identity to the result.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// The image, as the daemon knows it: a name, or an id
    pub image: String,

    /// The repository to push to, without the registry's host [default: that of IMAGE]
    #[arg(long, value_name = "REPOSITORY", env = "CROSSDOCK_TO")]
    pub to: Option<String>,

    /// A tag to push; repeatable, or separated by commas [default: that of IMAGE, or latest]
    #[arg(
        long = "tag",
        value_name = "TAG",
        env = "CROSSDOCK_TAG",
        value_delimiter = ','
    )]
    pub tags: Vec<String>,

    /// Give a push up when the daemon says nothing for so long (seconds, or 90s, 5m, 1h)
    #[arg(
        long,
        value_name = "TIME",
        env = "CROSSDOCK_IDLE_TIMEOUT",
        default_value = "5m"
    )]
    pub idle_timeout: String,

    /// Say what would be pushed where, and push nothing
    #[arg(long)]
    pub dry_run: bool,

    /// From the identity to the result.
    #[command(flatten)]
    pub access: AccessArgs,
}

/// What `login` and `push` have in common.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// The form of the result on stdout
    #[arg(long, value_enum, env = "CROSSDOCK_OUTPUT", default_value_t)]
    pub output: OutputArg,

    /// Whose credentials, which role.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Which registries.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Which daemon and config file.
    #[command(flatten)]
    pub docker: DockerArgs,
}

/// Arguments of `logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// Only these registries: account ids or hosts [default: all that 'login' stored]
    #[arg(value_name = "REGISTRY")]
    pub registries: Vec<String>,

    /// The folder of Docker's config.json [also: DOCKER_CONFIG; default: ~/.docker]
    #[arg(long, value_name = "DIR", env = "CROSSDOCK_DOCKER_CONFIG")]
    pub docker_config: Option<String>,
}

/// Whose credentials are used and which role is assumed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity")]
pub struct IdentityArgs {
    /// The role to assume; without it the source identity is used as it is
    #[arg(long, value_name = "ARN", env = "CROSSDOCK_ROLE_ARN")]
    pub role_arn: Option<String>,

    /// The external id that the role's trust policy asks for
    #[arg(long, value_name = "ID", env = "CROSSDOCK_EXTERNAL_ID")]
    pub external_id: Option<String>,

    /// Where the source credentials come from
    #[arg(long, value_enum, env = "CROSSDOCK_SOURCE", default_value_t)]
    pub source: SourceArg,

    /// The profile in the shared AWS files [also: AWS_PROFILE]
    #[arg(long, value_name = "NAME", env = "CROSSDOCK_PROFILE")]
    pub profile: Option<String>,

    /// The region [also: AWS_REGION, AWS_DEFAULT_REGION, the profile's region, that of a --registry host]
    #[arg(long, env = "CROSSDOCK_REGION")]
    pub region: Option<String>,

    /// The role session's name [default: project, pipeline and job in GitLab, else crossdock]
    #[arg(long, value_name = "NAME", env = "CROSSDOCK_SESSION_NAME")]
    pub session_name: Option<String>,

    /// How long the role session lasts (seconds, or 15m, 1h) [default: AWS's, an hour]
    #[arg(long, value_name = "TIME", env = "CROSSDOCK_SESSION_DURATION")]
    pub session_duration: Option<String>,

    /// An account that may be used, the role's own as well; repeatable. Any other is an error before anything is
    /// stored or pushed
    #[arg(
        long = "allowed-account",
        value_name = "ID",
        env = "CROSSDOCK_ALLOWED_ACCOUNT",
        value_delimiter = ','
    )]
    pub allowed_accounts: Vec<String>,
}

/// Which registries are meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryArgs {
    /// An account id or a host; repeatable, or separated by commas [default: the registry of the identity's account]
    #[arg(
        long = "registry",
        value_name = "ID|HOST",
        env = "CROSSDOCK_REGISTRY",
        value_delimiter = ','
    )]
    pub registries: Vec<String>,
}

/// Which daemon and which config file.
#[derive(Debug, Args)]
#[command(next_help_heading = "Docker")]
pub struct DockerArgs {
    /// The folder of Docker's config.json [also: DOCKER_CONFIG; default: ~/.docker]
    #[arg(long, value_name = "DIR", env = "CROSSDOCK_DOCKER_CONFIG")]
    pub docker_config: Option<String>,

    /// How long to wait for a daemon that is still starting (seconds, or 90s, 2m)
    #[arg(
        long,
        value_name = "TIME",
        env = "CROSSDOCK_DAEMON_TIMEOUT",
        default_value = "60s"
    )]
    pub daemon_timeout: String,
}

/// Values of `--source`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum SourceArg {
    /// A profile that was named, else environment keys, else the default profile
    #[default]
    Auto,
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    Env,
    /// The profile that was named, else the default profile
    Profile,
}

/// Values of `--verify`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum VerifyArg {
    /// The Docker daemon logs in, over the network path that its pushes take
    Daemon,
    /// The registry is asked directly
    Registry,
    /// Nobody
    Never,
}

/// Values of `--output`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum OutputArg {
    /// Lines
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// The command line of this process; ends it with exit code 2 and a usage text if it is wrong.
#[must_use]
pub fn parse() -> Cli {
    let matches = command().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The command line's description, for completions and the manual page.
#[must_use]
pub fn command() -> Command {
    with_blank_variables_unset(Cli::command())
}

/// Clap takes a variable that is set to nothing for a value; GitLab users blank variables to unset them.
fn with_blank_variables_unset(command: Command) -> Command {
    command
        .mut_args(|arg: Arg| {
            let is_blank = arg
                .get_env()
                .and_then(std::env::var_os)
                .is_some_and(|value| value.is_empty());
            if is_blank {
                arg.env(Resettable::Reset)
            } else {
                arg
            }
            .hide_env_values(true)
        })
        .mut_subcommands(with_blank_variables_unset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
