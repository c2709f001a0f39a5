//! The shared AWS files: which keys and which roles a profile stands for.
//!
//! The files are parsed by the SDK's own parser; what a profile means is decided here, so that nothing is
//! ignored in silence: a setting that cannot be honoured is an error that names it.
//!
//! Source: "Using shared config and credentials files" and "Assume role credential provider", AWS SDKs and
//! Tools Reference Guide.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::profile::{Profile, ProfileSet};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal::{Env, Fs};

use super::arn::RoleArn;
use super::keys::Keys;
use crate::environment::Environment;
use crate::error::{ExitCode, Failure};
use crate::secret::Secret;

/// Where the shared files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFiles {
    /// `AWS_CONFIG_FILE`, or `~/.aws/config`.
    pub config: PathBuf,
    /// `AWS_SHARED_CREDENTIALS_FILE`, or `~/.aws/credentials`.
    pub credentials: PathBuf,
}

impl SharedFiles {
    /// The files that `environment` names. Without a home directory they are looked for under `/`, and never in the
    /// working directory.
    #[must_use]
    pub fn from_environment(environment: &Environment) -> Self {
        let path = |variable, default: &str| match environment.get(variable) {
            Some(path) => expand_home(path, environment),
            None => environment
                .home()
                .unwrap_or_else(|| PathBuf::from("/"))
                .join(default),
        };
        Self {
            config: path("AWS_CONFIG_FILE", ".aws/config"),
            credentials: path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
        }
    }

    /// Both paths, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{} and {}",
            self.config.display(),
            self.credentials.display()
        )
    }
}

fn expand_home(path: &str, environment: &Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// A role that a profile says to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRole {
    /// `role_arn`.
    pub arn: RoleArn,
    /// `external_id`.
    pub external_id: Option<String>,
    /// `role_session_name`.
    pub session_name: Option<String>,
    /// `duration_seconds`.
    pub duration: Option<Duration>,
}

/// What a profile comes down to.
#[derive(Clone, Debug)]
pub struct ResolvedProfile {
    /// The keys to start from.
    pub keys: Keys,
    /// The profile that holds the keys.
    pub keys_from: String,
    /// The roles to assume with them, first one first.
    pub roles: Vec<ProfileRole>,
}

/// The profiles of both shared files.
#[derive(Clone, Debug)]
pub struct Profiles {
    set: ProfileSet,
    files: SharedFiles,
    /// Sections of the config file that are called as in the credentials file, and are read by nobody.
    unread_sections: Vec<String>,
}

/// What is wrong with the shared files or a profile in them.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A file could not be read.
    #[error("could not read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file could not be parsed.
    #[error("could not parse the AWS profiles: {0}")]
    Unparsable(String),
    /// The profile is in neither file.
    #[error("there is no profile '{name}' in {}", files.describe())]
    Missing {
        /// The profile.
        name: String,
        /// Where it was looked for.
        files: SharedFiles,
        /// The profiles that are there.
        known: Vec<String>,
    },
    /// A `source_profile` that is in neither file.
    #[error("profile '{name}' names source_profile '{source_profile}', which is in neither {}", files.describe())]
    MissingSource {
        /// The profile that names it.
        name: String,
        /// The profile that is missing.
        source_profile: String,
        /// Where it was looked for.
        files: SharedFiles,
    },
    /// Profiles that name each other.
    #[error("the source_profile settings go in a circle: {}", chain.join(" -> "))]
    Loop {
        /// The profiles, in the order in which they were followed.
        chain: Vec<String>,
    },
    /// A profile without keys and without a way to get them.
    #[error("profile '{name}' has no credentials: {missing}")]
    Incomplete {
        /// The profile.
        name: String,
        /// The settings that would be needed.
        missing: &'static str,
    },
    /// A section of the config file without `profile` in its name.
    #[error("{} has a section [{name}], which is not read: in this file it must be [profile {name}]", path.display())]
    MissingPrefix {
        /// The profile.
        name: String,
        /// The config file.
        path: PathBuf,
    },
    /// A setting whose value cannot be used.
    #[error("profile '{name}': {setting} is not usable: {reason}")]
    Invalid {
        /// The profile.
        name: String,
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting that crossdock does not honour.
    #[error("profile '{name}' uses {setting}, which crossdock does not support")]
    Unsupported {
        /// The profile.
        name: String,
        /// The setting.
        setting: &'static str,
    },
}

impl Failure for ProfileError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::NoSourceCredentials
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { known, .. } if known.is_empty() => Some(
                "neither file has a profile; AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE choose other files"
                    .to_owned(),
            ),
            Self::Missing { known, .. } => {
                Some(format!("the profiles there are: {}", known.join(", ")))
            }
            Self::Unsupported { setting: "mfa_serial", .. } => Some(
                "a job has nobody to type a code: use a role without an MFA condition, or a session obtained elsewhere"
                    .to_owned(),
            ),
            Self::Unsupported { .. } => Some(
                "use a profile with static keys, or pass the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

impl Profiles {
    /// Reads both files; one that does not exist counts as empty.
    ///
    /// # Errors
    /// [`ProfileError::Unreadable`] and [`ProfileError::Unparsable`], with path and line.
    pub async fn load(files: SharedFiles) -> Result<Self, ProfileError> {
        let mut builder = EnvConfigFiles::builder();
        for (kind, path) in [
            (EnvConfigFileKind::Config, &files.config),
            (EnvConfigFileKind::Credentials, &files.credentials),
        ] {
            if readable(path)? {
                builder = builder.with_file(kind, path);
            } else {
                builder = builder.with_contents(kind, "");
            }
        }
        let set = aws_config::profile::load(&Fs::real(), &Env::real(), &builder.build(), None)
            .await
            .map_err(|error| ProfileError::Unparsable(innermost(&error)))?;
        let config = std::fs::read_to_string(&files.config).unwrap_or_default();
        Ok(Self {
            set,
            unread_sections: unread_sections(&config),
            files,
        })
    }

    /// Whether `name` is there.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.set.get_profile(name).is_some()
    }

    /// The `region` of profile `name`.
    #[must_use]
    pub fn region(&self, name: &str) -> Option<&str> {
        setting(self.set.get_profile(name)?, "region")
    }

    /// Follows profile `name` down to static keys.
    ///
    /// # Errors
    /// [`ProfileError`], naming the profile and the setting.
    pub fn resolve(&self, name: &str) -> Result<ResolvedProfile, ProfileError> {
        self.check_section(name)?;
        let mut chain = vec![name.to_owned()];
        let mut roles = Vec::new();
        let mut profile = self.profile(name)?;
        loop {
            let current = profile.name();
            // Past the first profile, static keys win over a role of its own, as in every AWS SDK.
            let is_source = chain.len() > 1;
            let role = setting(profile, "role_arn")
                .filter(|_| !(is_source && has_static_keys(profile)))
                .map(|arn| profile_role(profile, arn))
                .transpose()?;
            let Some(role) = role else {
                break;
            };
            roles.push(role);
            let Some(source_profile) = setting(profile, "source_profile") else {
                return Err(without_source(profile));
            };
            if source_profile == current {
                break;
            }
            if chain.iter().any(|seen| seen == source_profile) {
                chain.push(source_profile.to_owned());
                return Err(ProfileError::Loop { chain });
            }
            chain.push(source_profile.to_owned());
            self.check_section(source_profile)?;
            profile = self.set.get_profile(source_profile).ok_or_else(|| {
                ProfileError::MissingSource {
                    name: current.to_owned(),
                    source_profile: source_profile.to_owned(),
                    files: self.files.clone(),
                }
            })?;
        }
        roles.reverse();
        Ok(ResolvedProfile {
            keys: static_keys(profile)?,
            keys_from: profile.name().to_owned(),
            roles,
        })
    }

    fn check_section(&self, name: &str) -> Result<(), ProfileError> {
        if self.unread_sections.iter().any(|section| section == name) {
            return Err(ProfileError::MissingPrefix {
                name: name.to_owned(),
                path: self.files.config.clone(),
            });
        }
        Ok(())
    }

    fn profile(&self, name: &str) -> Result<&Profile, ProfileError> {
        self.set.get_profile(name).ok_or_else(|| {
            let mut known: Vec<_> = self.set.profiles().map(str::to_owned).collect();
            known.sort();
            ProfileError::Missing {
                name: name.to_owned(),
                files: self.files.clone(),
                known,
            }
        })
    }
}

/// The innermost message: for a parser's error it is the one with path and line, without the value.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

fn readable(path: &Path) -> Result<bool, ProfileError> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(ProfileError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The names of sections that would be profiles in the credentials file and are none here.
fn unread_sections(config: &str) -> Vec<String> {
    config
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split(']').next())
        .map(str::trim)
        .filter(|name| *name != "default" && !name.contains([' ', '\t']))
        .map(str::to_owned)
        .collect()
}

fn setting<'a>(profile: &'a Profile, name: &str) -> Option<&'a str> {
    profile.get(name).filter(|value| !value.is_empty())
}

fn has_static_keys(profile: &Profile) -> bool {
    setting(profile, "aws_access_key_id").is_some()
        && setting(profile, "aws_secret_access_key").is_some()
}

/// Ways to credentials that a profile can name and that are not followed here.
const OTHER_WAYS: [&str; 5] = [
    "credential_source",
    "credential_process",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
];

fn other_way(profile: &Profile) -> Option<ProfileError> {
    OTHER_WAYS
        .into_iter()
        .find(|name| setting(profile, name).is_some())
        .map(|name| ProfileError::Unsupported {
            name: profile.name().to_owned(),
            setting: name,
        })
}

fn without_source(profile: &Profile) -> ProfileError {
    other_way(profile).unwrap_or_else(|| ProfileError::Incomplete {
        name: profile.name().to_owned(),
        missing: "role_arn needs a source_profile to be assumed with",
    })
}

fn static_keys(profile: &Profile) -> Result<Keys, ProfileError> {
    let incomplete = |missing| {
        Err(ProfileError::Incomplete {
            name: profile.name().to_owned(),
            missing,
        })
    };
    match (
        setting(profile, "aws_access_key_id"),
        setting(profile, "aws_secret_access_key"),
    ) {
        (Some(id), Some(secret)) => Ok(Keys {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::new(secret),
            session_token: setting(profile, "aws_session_token").map(Secret::new),
            expires_at: None,
        }),
        (Some(_), None) => incomplete("aws_secret_access_key is missing beside aws_access_key_id"),
        (None, Some(_)) => incomplete("aws_access_key_id is missing beside aws_secret_access_key"),
        (None, None) => match other_way(profile) {
            Some(unsupported) => Err(unsupported),
            None => incomplete("it has neither aws_access_key_id nor role_arn"),
        },
    }
}

fn profile_role(profile: &Profile, arn: &str) -> Result<ProfileRole, ProfileError> {
    let invalid = |setting, reason: String| ProfileError::Invalid {
        name: profile.name().to_owned(),
        setting,
        reason,
    };
    if setting(profile, "mfa_serial").is_some() {
        return Err(ProfileError::Unsupported {
            name: profile.name().to_owned(),
            setting: "mfa_serial",
        });
    }
    let duration = setting(profile, "duration_seconds")
        .map(|seconds| {
            seconds
                .parse()
                .map(Duration::from_secs)
                .map_err(|_| invalid("duration_seconds", format!("'{seconds}' is not a number")))
        })
        .transpose()?;
    Ok(ProfileRole {
        arn: arn
            .parse()
            .map_err(|error: super::arn::InvalidRoleArn| invalid("role_arn", error.to_string()))?,
        external_id: setting(profile, "external_id").map(str::to_owned),
        session_name: setting(profile, "role_session_name").map(str::to_owned),
        duration,
    })
}
