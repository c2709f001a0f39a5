//! Settings: flags and environment, validated, before anything is asked of anybody.
//!
//! A value that cannot work is told here, by the name of the option or variable that it came from.

use std::path::PathBuf;
use std::time::Duration;

use crate::account::{AccountId, InvalidAccountId};
use crate::aws::Endpoints;
use crate::cli;
use crate::docker::config_file::config_dir;
use crate::ecr::host::{InvalidRegistry, RegistrySelector};
use crate::ecr::repository::{ImageReference, InvalidName, Repository, Tag};
use crate::environment::{Environment, paste_fault};
use crate::error::{ExitCode, Failure};
use crate::gitlab::job::Job;
use crate::identity::arn::{InvalidRoleArn, RoleArn};
use crate::identity::limits;
use crate::identity::profiles::SharedFiles;
use crate::identity::source::{NamedProfile, SourceChoice};

/// Which identity to become.
#[derive(Clone, Debug)]
pub struct IdentitySettings {
    /// The rule for the source.
    pub source: SourceChoice,
    /// The profile that was named.
    pub profile: Option<NamedProfile>,
    /// The shared AWS files.
    pub files: SharedFiles,
    /// The target role.
    pub role_arn: Option<RoleArn>,
    /// Sent with the target role only.
    pub external_id: Option<String>,
    /// The session name that was asked for.
    pub session_name: Option<String>,
    /// The session name for roles that nobody named one for.
    pub default_session_name: String,
    /// The duration that was asked for.
    pub session_duration: Option<Duration>,
    /// The region that was named, not counting profiles.
    pub region: Option<String>,
    /// The accounts that may be used; empty means any.
    pub allowed_accounts: Vec<AccountId>,
    /// Where AWS is.
    pub endpoints: Endpoints,
}

/// Which daemon and config file.
#[derive(Clone, Debug)]
pub struct DockerSettings {
    /// The folder with `config.json`.
    pub config_dir: PathBuf,
    /// How long to wait for a daemon.
    pub daemon_timeout: Duration,
}

/// Who checks a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The daemon, or the registry where no daemon is configured.
    Auto,
    /// The daemon.
    Daemon,
    /// The registry.
    Registry,
    /// Nobody.
    Never,
}

/// Settings of `login`.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// Identity.
    pub identity: IdentitySettings,
    /// Registries; empty means the identity's own.
    pub registries: Vec<RegistrySelector>,
    /// Docker.
    pub docker: DockerSettings,
    /// Who checks.
    pub verify: Verify,
    /// Whether stdout is JSON.
    pub json: bool,
}

/// Settings of `push`.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// The image.
    pub image: ImageReference,
    /// The repository, if not the image's.
    pub to: Option<Repository>,
    /// The tags, if not the image's.
    pub tags: Vec<Tag>,
    /// Identity.
    pub identity: IdentitySettings,
    /// Registries; empty means the image's or the identity's own.
    pub registries: Vec<RegistrySelector>,
    /// Docker.
    pub docker: DockerSettings,
    /// The longest silence in the push stream.
    pub idle_timeout: Duration,
    /// Whether to say only what would be done.
    pub dry_run: bool,
    /// Whether stdout is JSON.
    pub json: bool,
}

/// Settings of `logout`.
#[derive(Clone, Debug)]
pub struct LogoutSettings {
    /// The folder with `config.json`.
    pub config_dir: PathBuf,
    /// Registries; empty means all.
    pub registries: Vec<RegistrySelector>,
}

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An option's value is malformed.
    #[error("{option} is not usable: {reason}")]
    Malformed {
        /// The option.
        option: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A role ARN.
    #[error("--role-arn: {0}")]
    RoleArn(#[from] InvalidRoleArn),
    /// An account id.
    #[error("--allowed-account: {0}")]
    AllowedAccount(#[from] InvalidAccountId),
    /// A registry.
    #[error("registry: {0}")]
    Registry(#[from] InvalidRegistry),
    /// An image, repository or tag.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// An external id for no role.
    #[error(
        "--external-id is given without --role-arn: it is sent with that role only (a profile has its own)"
    )]
    ExternalIdWithoutRole,
    /// Nowhere to look for Docker's folder.
    #[error("there is no home directory to find Docker's config.json in: HOME is not set")]
    NoHome,
    /// A service endpoint.
    #[error("{variable} is not usable: '{value}' is not http://HOST or https://HOST")]
    Endpoint {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
}

impl Failure for SettingsError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Settings
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::ExternalIdWithoutRole => Some(
                "set CROSSDOCK_ROLE_ARN too; a protected CI/CD variable exists on protected branches and tags only"
                    .to_owned(),
            ),
            Self::NoHome => Some("set HOME, or give --docker-config DIR".to_owned()),
            _ => None,
        }
    }
}

/// What a limit says, as a fault of `option`.
fn within(option: &'static str, limit: Result<(), &'static str>) -> Result<(), SettingsError> {
    limit.map_err(|reason| SettingsError::Malformed {
        option,
        reason: reason.to_owned(),
    })
}

/// What came wrong into a value that has neither quotes nor white space.
fn checked(option: &'static str, value: &str) -> Result<(), SettingsError> {
    match paste_fault(value) {
        Some(reason) => Err(SettingsError::Malformed {
            option,
            reason: reason.to_owned(),
        }),
        None => Ok(()),
    }
}

impl IdentitySettings {
    fn new(args: cli::IdentityArgs, environment: &Environment) -> Result<Self, SettingsError> {
        let role_arn = args
            .role_arn
            .map(|arn| {
                checked("--role-arn (CROSSDOCK_ROLE_ARN)", &arn)?;
                arn.parse::<RoleArn>().map_err(SettingsError::from)
            })
            .transpose()?;
        if args.external_id.is_some() && role_arn.is_none() {
            return Err(SettingsError::ExternalIdWithoutRole);
        }
        if let Some(id) = &args.external_id {
            const OPTION: &str = "--external-id (CROSSDOCK_EXTERNAL_ID)";
            checked(OPTION, id)?;
            within(OPTION, limits::external_id(id))?;
        }
        if let Some(name) = &args.session_name {
            const OPTION: &str = "--session-name (CROSSDOCK_SESSION_NAME)";
            within(OPTION, limits::session_name(name))?;
        }
        let session_duration = args
            .session_duration
            .map(|text| {
                const OPTION: &str = "--session-duration (CROSSDOCK_SESSION_DURATION)";
                let duration = time(OPTION, &text)?;
                within(OPTION, limits::session_duration(duration))?;
                Ok::<_, SettingsError>(duration)
            })
            .transpose()?;
        let region = match args.region {
            Some(region) => Some(("--region (CROSSDOCK_REGION)", region)),
            None => environment
                .first(&["AWS_REGION", "AWS_DEFAULT_REGION"])
                .map(|(name, region)| (name, region.to_owned())),
        };
        if let Some((option, region)) = &region {
            check_region(option, region)?;
        }
        Ok(Self {
            source: match args.source {
                cli::SourceArg::Auto => SourceChoice::Auto,
                cli::SourceArg::Env => SourceChoice::Environment,
                cli::SourceArg::Profile => SourceChoice::Profile,
            },
            profile: named_profile(args.profile, environment),
            files: SharedFiles::from_environment(environment),
            role_arn,
            external_id: args.external_id,
            session_name: args.session_name,
            default_session_name: Job::from_environment(environment)
                .map_or_else(|| "crossdock".to_owned(), |job| job.session_name()),
            session_duration,
            region: region.map(|(_, region)| region),
            allowed_accounts: args
                .allowed_accounts
                .iter()
                .map(|id| id.trim().parse())
                .collect::<Result<_, _>>()?,
            endpoints: Endpoints::from_environment(environment).map_err(|(variable, value)| {
                SettingsError::Endpoint {
                    variable,
                    value: value.to_owned(),
                }
            })?,
        })
    }
}

impl DockerSettings {
    fn new(args: &cli::DockerArgs, environment: &Environment) -> Result<Self, SettingsError> {
        Ok(Self {
            config_dir: docker_config_dir(args.docker_config.as_deref(), environment)?,
            daemon_timeout: time(
                "--daemon-timeout (CROSSDOCK_DAEMON_TIMEOUT)",
                &args.daemon_timeout,
            )?,
        })
    }
}

impl LoginSettings {
    /// Validates the arguments of `login`.
    ///
    /// # Errors
    /// [`SettingsError`], naming the option.
    pub fn new(args: cli::LoginArgs, environment: &Environment) -> Result<Self, SettingsError> {
        Ok(Self {
            registries: registries(&args.access.registry.registries)?,
            docker: DockerSettings::new(&args.access.docker, environment)?,
            verify: match args.verify {
                None => Verify::Auto,
                Some(cli::VerifyArg::Daemon) => Verify::Daemon,
                Some(cli::VerifyArg::Registry) => Verify::Registry,
                Some(cli::VerifyArg::Never) => Verify::Never,
            },
            json: matches!(args.access.output, cli::OutputArg::Json),
            identity: IdentitySettings::new(args.access.identity, environment)?,
        })
    }
}

impl PushSettings {
    /// Validates the arguments of `push`.
    ///
    /// # Errors
    /// [`SettingsError`], naming the option.
    pub fn new(args: cli::PushArgs, environment: &Environment) -> Result<Self, SettingsError> {
        Ok(Self {
            image: args.image.parse()?,
            to: args.to.map(|repository| repository.parse()).transpose()?,
            tags: items(&args.tags)
                .map(str::parse)
                .collect::<Result<_, _>>()?,
            registries: registries(&args.access.registry.registries)?,
            docker: DockerSettings::new(&args.access.docker, environment)?,
            idle_timeout: idle_timeout(&args.idle_timeout)?,
            dry_run: args.dry_run,
            json: matches!(args.access.output, cli::OutputArg::Json),
            identity: IdentitySettings::new(args.access.identity, environment)?,
        })
    }
}

impl LogoutSettings {
    /// Validates the arguments of `logout`.
    ///
    /// # Errors
    /// [`SettingsError`], naming the option.
    pub fn new(args: &cli::LogoutArgs, environment: &Environment) -> Result<Self, SettingsError> {
        Ok(Self {
            config_dir: docker_config_dir(args.docker_config.as_deref(), environment)?,
            registries: registries(&args.registries)?,
        })
    }
}

fn docker_config_dir(
    chosen: Option<&str>,
    environment: &Environment,
) -> Result<PathBuf, SettingsError> {
    config_dir(chosen, environment).ok_or(SettingsError::NoHome)
}

fn named_profile(flag: Option<String>, environment: &Environment) -> Option<NamedProfile> {
    if let Some(name) = flag {
        let by_variable = environment.get("CROSSDOCK_PROFILE") == Some(&name);
        let named_by = if by_variable {
            "CROSSDOCK_PROFILE"
        } else {
            "--profile"
        };
        return Some(NamedProfile {
            name,
            named_by: named_by.to_owned(),
        });
    }
    environment.get("AWS_PROFILE").map(|name| NamedProfile {
        name: name.to_owned(),
        named_by: "AWS_PROFILE".to_owned(),
    })
}

/// The items of a list without the blank ones: `"$CI_COMMIT_SHORT_SHA,$CI_COMMIT_TAG"` ends in a comma on a branch.
fn items(texts: &[String]) -> impl Iterator<Item = &str> {
    texts
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
}

fn registries(texts: &[String]) -> Result<Vec<RegistrySelector>, SettingsError> {
    let mut selectors: Vec<RegistrySelector> = Vec::new();
    for text in items(texts) {
        let selector = text.parse()?;
        if !selectors.contains(&selector) {
            selectors.push(selector);
        }
    }
    Ok(selectors)
}

/// The region becomes part of a host name that credentials are sent to.
fn check_region(option: &'static str, region: &str) -> Result<(), SettingsError> {
    checked(option, region)?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.len() <= 63 && region.contains('-') && region.chars().all(allowed) {
        return Ok(());
    }
    Err(SettingsError::Malformed {
        option,
        reason: format!("'{region}' is not a region such as eu-central-1"),
    })
}

fn idle_timeout(text: &str) -> Result<Duration, SettingsError> {
    const OPTION: &str = "--idle-timeout (CROSSDOCK_IDLE_TIMEOUT)";
    let timeout = time(OPTION, text)?;
    if timeout.is_zero() {
        return Err(SettingsError::Malformed {
            option: OPTION,
            reason: "no daemon answers in no time; give a second or more".to_owned(),
        });
    }
    Ok(timeout)
}

/// Seconds, or a number with `s`, `m` or `h`.
fn time(option: &'static str, text: &str) -> Result<Duration, SettingsError> {
    let (digits, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) if text.ends_with('m') => (digits, 60),
        Some(digits) if text.ends_with('h') => (digits, 3600),
        Some(digits) => (digits, 1),
        None => (text, 1),
    };
    digits
        .parse::<u32>()
        .map(|number| Duration::from_secs(u64::from(number) * factor))
        .map_err(|_| SettingsError::Malformed {
            option,
            reason: format!("'{text}' is not a time such as 90, 90s, 15m or 1h"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("90s", 90),
            ("15m", 900),
            ("2h", 7200),
        ] {
            assert_eq!(time("x", text).unwrap().as_secs(), seconds, "{text}");
        }
        for text in ["", "m", "-1", "1d", "1.5h", "99999999999"] {
            assert!(time("x", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_region_cannot_smuggle_a_host() {
        for region in ["eu-central-1", "us-gov-west-1", "eusc-de-east-1"] {
            assert!(check_region("x", region).is_ok(), "{region}");
        }
        for region in [
            "",
            "frankfurt",
            "eu-central-1.evil.org",
            "EU-central-1",
            "$AWS_REGION",
        ] {
            assert!(check_region("x", region).is_err(), "{region}");
        }
    }
}
