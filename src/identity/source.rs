//! The source identity: exactly one place that keys are taken from, chosen by rule and named to the user.
//!
//! It fails closed: a profile that was asked for and is not there is an error, never a reason to look further,
//! and the instance's metadata service is never asked.

use super::keys::Keys;
use super::profiles::{ProfileError, ProfileRole, Profiles, SharedFiles};
use crate::environment::{Environment, paste_fault};
use crate::error::{ExitCode, Failure};
use crate::secret::Secret;

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const DEFAULT_PROFILE: &str = "default";
/// Variables of sources that are not followed here: they are named, so that nobody wonders.
const OTHER_SOURCES: [&str; 3] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Which source to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceChoice {
    /// A profile that was named, else environment keys, else the default profile.
    #[default]
    Auto,
    /// The keys in the environment.
    Environment,
    /// The profile that was named, else the default profile.
    Profile,
}

/// A profile that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedProfile {
    /// Its name.
    pub name: String,
    /// The option or variable that named it.
    pub named_by: String,
}

/// The source that was chosen.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its keys.
    pub keys: Keys,
    /// The roles that come with it (from a profile), to be assumed in order.
    pub roles: Vec<ProfileRole>,
    /// The profile that they are from.
    pub profile: Option<String>,
    /// Where the keys are from, in words for people.
    pub description: String,
    /// What was there too and is not used.
    pub unused: Option<String>,
}

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing was found.
    #[error("no AWS credentials found; looked at: {}", looked_at.join("; "))]
    None {
        /// Every place, with what was there.
        looked_at: Vec<String>,
    },
    /// A variable that belongs to another one is not set.
    #[error("{missing} is not set, but {present} is")]
    Incomplete {
        /// The variable that is set.
        present: &'static str,
        /// The variable that is not.
        missing: &'static str,
    },
    /// A variable's value cannot be what was meant.
    #[error("{variable} is not usable: {reason}")]
    Malformed {
        /// The variable.
        variable: &'static str,
        /// What is wrong with its value.
        reason: &'static str,
    },
    /// A profile that was asked for, and its fault.
    #[error("{error} (asked for by {named_by})")]
    NamedProfile {
        /// The fault.
        error: Box<ProfileError>,
        /// The option or variable.
        named_by: String,
    },
    /// The shared files or the default profile are at fault.
    #[error(transparent)]
    Profile(Box<ProfileError>),
}

impl From<ProfileError> for SourceError {
    fn from(error: ProfileError) -> Self {
        Self::Profile(Box::new(error))
    }
}

impl Failure for SourceError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::NoSourceCredentials
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::None { .. } => Some(format!(
                "set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY} as masked CI/CD variables (a protected variable \
                 exists on protected branches and tags only), or name a profile with --profile"
            )),
            Self::Incomplete {
                missing: SESSION_TOKEN,
                ..
            } => Some(format!(
                "keys that start with ASIA belong to a session and work only with its {SESSION_TOKEN}"
            )),
            Self::Incomplete { .. } => Some(
                "set both; a protected CI/CD variable exists on protected branches and tags only"
                    .to_owned(),
            ),
            Self::Malformed { .. } => Some("correct the CI/CD variable".to_owned()),
            Self::NamedProfile { error, .. } | Self::Profile(error) => error.hint(),
        }
    }
}

/// Chooses the source by the rule of `choice`.
///
/// # Errors
/// [`SourceError`]: the source that the rule leads to is not usable.
pub async fn resolve(
    choice: SourceChoice,
    named: Option<&NamedProfile>,
    files: &SharedFiles,
    environment: &Environment,
) -> Result<Source, SourceError> {
    let use_profile = match choice {
        SourceChoice::Auto => named.is_some(),
        SourceChoice::Environment => false,
        SourceChoice::Profile => true,
    };
    if use_profile {
        return profile_source(named, files, environment).await;
    }
    if let Some(keys) = environment_keys(environment)? {
        return Ok(Source {
            description: format!("{ACCESS_KEY_ID} ({})", keys.label()),
            keys,
            roles: Vec::new(),
            profile: None,
            unused: None,
        });
    }
    let mut looked_at = vec![format!("{ACCESS_KEY_ID} (not set)")];
    if choice == SourceChoice::Auto {
        let profiles = Profiles::load(files.clone()).await?;
        if profiles.contains(DEFAULT_PROFILE) {
            return Ok(from_profile(&profiles, DEFAULT_PROFILE, environment)?);
        }
        looked_at.insert(
            0,
            "--profile, CROSSDOCK_PROFILE and AWS_PROFILE (not set)".to_owned(),
        );
        looked_at.extend(
            OTHER_SOURCES
                .iter()
                .filter(|name| environment.get(name).is_some())
                .map(|name| format!("{name} (set, and not supported)")),
        );
        looked_at.push(format!(
            "profile '{DEFAULT_PROFILE}' in {} (not there)",
            files.describe()
        ));
    }
    Err(SourceError::None { looked_at })
}

/// The region of `profile`, or of the default profile.
///
/// # Errors
/// [`ProfileError`]: the shared files cannot be read.
pub async fn profile_region(
    profile: Option<&str>,
    files: &SharedFiles,
) -> Result<Option<String>, ProfileError> {
    let profiles = Profiles::load(files.clone()).await?;
    let region = profiles.region(profile.unwrap_or(DEFAULT_PROFILE));
    Ok(region.map(str::to_owned))
}

async fn profile_source(
    named: Option<&NamedProfile>,
    files: &SharedFiles,
    environment: &Environment,
) -> Result<Source, SourceError> {
    let name = named.map_or(DEFAULT_PROFILE, |named| &named.name);
    let profiles = Profiles::load(files.clone()).await?;
    from_profile(&profiles, name, environment).map_err(|error| match named {
        Some(named) => SourceError::NamedProfile {
            error: Box::new(error),
            named_by: named.named_by.clone(),
        },
        None => error.into(),
    })
}

fn from_profile(
    profiles: &Profiles,
    name: &str,
    environment: &Environment,
) -> Result<Source, ProfileError> {
    let resolved = profiles.resolve(name)?;
    let label = resolved.keys.label();
    Ok(Source {
        description: if resolved.keys_from == name {
            format!("profile '{name}' ({label})")
        } else {
            format!(
                "profile '{name}' with the keys of '{}' ({label})",
                resolved.keys_from
            )
        },
        keys: resolved.keys,
        roles: resolved.roles,
        profile: Some(name.to_owned()),
        unused: environment
            .get(ACCESS_KEY_ID)
            .map(|_| format!("{ACCESS_KEY_ID} is set too and is not used: a profile comes first")),
    })
}

fn environment_keys(environment: &Environment) -> Result<Option<Keys>, SourceError> {
    let get = |variable| match environment.get(variable) {
        Some(value) => match paste_fault(value) {
            Some(reason) => Err(SourceError::Malformed { variable, reason }),
            None => Ok(Some(value)),
        },
        None => Ok(None),
    };
    let incomplete = |present, missing| Err(SourceError::Incomplete { present, missing });
    let session_token = get(SESSION_TOKEN)?.map(Secret::new);
    match (get(ACCESS_KEY_ID)?, get(SECRET_ACCESS_KEY)?) {
        (Some(id), Some(secret)) => {
            let keys = Keys {
                access_key_id: id.to_owned(),
                secret_access_key: Secret::new(secret),
                session_token,
                expires_at: None,
            };
            if keys.are_temporary() && keys.session_token.is_none() {
                return incomplete(ACCESS_KEY_ID, SESSION_TOKEN);
            }
            Ok(Some(keys))
        }
        (Some(_), None) => incomplete(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
        (None, Some(_)) => incomplete(SECRET_ACCESS_KEY, ACCESS_KEY_ID),
        (None, None) if session_token.is_some() => incomplete(SESSION_TOKEN, ACCESS_KEY_ID),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of<const N: usize>(
        variables: [(&str, &str); N],
    ) -> std::result::Result<Option<String>, String> {
        environment_keys(&Environment::from(variables))
            .map(|keys| keys.map(|keys| keys.access_key_id))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn environment_keys_come_in_pairs_and_sessions_with_a_token() {
        assert_eq!(keys_of([]), Ok(None));
        assert_eq!(
            keys_of([("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")]),
            Ok(None)
        );
        assert_eq!(
            keys_of([
                ("AWS_ACCESS_KEY_ID", "AKIA1"),
                ("AWS_SECRET_ACCESS_KEY", "s")
            ]),
            Ok(Some("AKIA1".to_owned()))
        );
        for (variables, message) in [
            (
                [("AWS_ACCESS_KEY_ID", "AKIA1"), ("X", "")],
                "AWS_SECRET_ACCESS_KEY is not set, but AWS_ACCESS_KEY_ID is",
            ),
            (
                [("AWS_SECRET_ACCESS_KEY", "s"), ("X", "")],
                "AWS_ACCESS_KEY_ID is not set, but AWS_SECRET_ACCESS_KEY is",
            ),
            (
                [
                    ("AWS_ACCESS_KEY_ID", "ASIA1"),
                    ("AWS_SECRET_ACCESS_KEY", "s"),
                ],
                "AWS_SESSION_TOKEN is not set, but AWS_ACCESS_KEY_ID is",
            ),
            (
                [
                    ("AWS_ACCESS_KEY_ID", "$KEY"),
                    ("AWS_SECRET_ACCESS_KEY", "s"),
                ],
                "AWS_ACCESS_KEY_ID is not usable: it is a variable's name that was not expanded",
            ),
            (
                [
                    ("AWS_ACCESS_KEY_ID", "AKIA1"),
                    ("AWS_SECRET_ACCESS_KEY", "secret\n"),
                ],
                "AWS_SECRET_ACCESS_KEY is not usable: it has white space in it",
            ),
        ] {
            assert_eq!(keys_of(variables), Err(message.to_owned()));
        }
    }
}
