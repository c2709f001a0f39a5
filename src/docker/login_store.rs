//! Where logins are kept: stored where the docker CLI will look for them, and forgotten again.
//!
//! A login goes to the credential helper that config.json names for the registry, else into `auths`. What was
//! stored is noted in `crossdock-logins.json` beside config.json, by a hash: `logout` takes out just that, and
//! leaves what somebody stored since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::config_file::{ConfigFile, FILE_NAME};
use super::daemon::RegistryLogin;
use super::helper::{Helper, HelperError, HelperLogin};
use super::json_file::{FileError, FolderLock, JsonFile};
use crate::error::{ExitCode, Failure};
use crate::secret::Secret;

const RECORD_NAME: &str = "crossdock-logins.json";

/// Where a login was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In `auths` of this file.
    File(PathBuf),
    /// With this credential helper.
    Helper(String),
}

/// What became of a login at logout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// It was removed.
    Removed,
    /// It was gone already.
    Gone,
    /// Somebody has stored another one since; that one was left.
    Replaced,
}

/// Why a login could not be stored or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file is at fault.
    #[error(transparent)]
    File(#[from] FileError),
    /// A helper is at fault.
    #[error(transparent)]
    Helper(#[from] HelperError),
}

impl Failure for StoreError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::File(error) => error.exit_code(),
            Self::Helper(error) => error.exit_code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Helper(error) => error.hint(),
        }
    }
}

/// What `crossdock-logins.json` says: which logins are ours.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Set where config.json had no `auths` before.
    #[serde(default)]
    created_auths: bool,
    #[serde(default)]
    logins: BTreeMap<String, RecordedLogin>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RecordedLogin {
    /// The helper that holds it; none for `auths`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    helper: Option<String>,
    /// Of `auth`, base64 of `USER:PASSWORD`.
    sha256: String,
}

/// Stores `logins`, all or (where a helper fails) none of those that go into the file.
///
/// Gives each login's place, in order, and a warning if the folder could not be locked.
///
/// # Errors
/// [`StoreError`].
pub async fn store(
    dir: &Path,
    logins: &[RegistryLogin],
) -> Result<(Vec<Place>, Option<String>), StoreError> {
    let config = ConfigFile::read(dir)?;
    let path = config.file.path().to_owned();
    let helpers = logins
        .iter()
        .map(|login| config.helper_for(&login.host))
        .collect::<Result<Vec<_>, _>>()?;
    try_join_all(logins.iter().zip(&helpers).filter_map(|(login, helper)| {
        let helper = Helper::new(helper.as_deref()?);
        Some(async move {
            let secret = HelperLogin {
                username: login.username.clone(),
                secret: login.password.clone(),
            };
            helper.store(&login.host, &secret).await
        })
    }))
    .await?;

    let lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
    let mut config = ConfigFile::read(dir)?;
    let mut record = read_record(dir)?;
    let mut into_file = false;
    for (login, helper) in logins.iter().zip(&helpers) {
        let auth = auth_of(&login.username, &login.password);
        record.logins.insert(
            login.host.clone(),
            RecordedLogin {
                helper: helper.clone(),
                sha256: sha256_of(auth.expose()),
            },
        );
        if helper.is_none() {
            into_file = true;
            let entry = serde_json::json!({ "auth": auth.expose() }).to_string();
            if let Ok(entry) = RawValue::from_string(indented(&entry)) {
                config.auths.set(&login.host, entry);
            }
        }
    }
    if into_file && config.file.members.get("auths").is_none() {
        record.created_auths = true;
    }
    // The record first: a login that is noted and not stored does no harm, the reverse would stay behind.
    write_record(dir, &record)?;
    if into_file {
        config.write()?;
    }
    let places = helpers
        .into_iter()
        .map(|helper| helper.map_or_else(|| Place::File(path.clone()), Place::Helper))
        .collect();
    Ok((places, lock.warning))
}

/// Forgets the logins that were stored here: all of them, or those of which `chosen` says so.
///
/// # Errors
/// [`StoreError`].
pub async fn forget(
    dir: &Path,
    chosen: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Forgotten)>, StoreError> {
    if !dir.join(RECORD_NAME).exists() {
        return Ok(Vec::new());
    }
    let _lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
    let mut config = ConfigFile::read(dir)?;
    let mut record = read_record(dir)?;
    let ours: Vec<_> = record
        .logins
        .iter()
        .filter(|(host, _)| chosen(host))
        .map(|(host, login)| (host.clone(), login.clone()))
        .collect();
    let mut outcomes = Vec::new();
    let mut changed = false;
    for (host, login) in ours {
        let outcome = match &login.helper {
            Some(name) => forget_from_helper(&Helper::new(name), &host, &login).await?,
            None => match auth_in_file(&config, &host) {
                None => Forgotten::Gone,
                Some(auth) if sha256_of(auth.expose()) != login.sha256 => Forgotten::Replaced,
                Some(_) => {
                    changed |= config.auths.remove(&host);
                    Forgotten::Removed
                }
            },
        };
        record.logins.remove(&host);
        outcomes.push((host, outcome));
    }
    if changed {
        if record.created_auths && config.auths.is_empty() {
            config.write_without_auths()?;
        } else {
            config.write()?;
        }
    }
    if record.logins.is_empty() {
        JsonFile::read(dir, RECORD_NAME)?.remove()?;
    } else {
        write_record(dir, &record)?;
    }
    Ok(outcomes)
}

/// The hosts for which `DOCKER_AUTH_CONFIG` holds a login: since Docker CLI 28.3 it comes before everything else.
///
/// Source: docker/cli, `cli/config/configfile`, `GetAuthConfig`; only `auths` is read there.
#[must_use]
pub fn shadowed_hosts<'a>(docker_auth_config: &str, hosts: &[&'a str]) -> Vec<&'a str> {
    #[derive(Deserialize)]
    struct AuthConfig {
        #[serde(default)]
        auths: BTreeMap<String, serde_json::Value>,
    }
    let Ok(config) = serde_json::from_str::<AuthConfig>(docker_auth_config) else {
        return Vec::new();
    };
    hosts
        .iter()
        .copied()
        .filter(|host| config.auths.keys().any(|key| host_of_key(key) == *host))
        .collect()
}

/// Keys of `auths` may be URLs: `https://HOST/v1/` means `HOST`.
fn host_of_key(key: &str) -> &str {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

async fn forget_from_helper(
    helper: &Helper,
    host: &str,
    recorded: &RecordedLogin,
) -> Result<Forgotten, HelperError> {
    let Some(held) = helper.get(host).await? else {
        return Ok(Forgotten::Gone);
    };
    let auth = auth_of(&held.username, &held.secret);
    if sha256_of(auth.expose()) != recorded.sha256 {
        return Ok(Forgotten::Replaced);
    }
    helper.erase(host).await?;
    Ok(Forgotten::Removed)
}

fn auth_in_file(config: &ConfigFile, host: &str) -> Option<Secret> {
    #[derive(Deserialize)]
    struct Entry {
        auth: Option<String>,
    }
    let entry: Entry = serde_json::from_str(config.auths.get(host)?.get()).ok()?;
    entry.auth.map(Secret::new)
}

fn auth_of(username: &str, password: &Secret) -> Secret {
    let plain = Secret::new(format!("{username}:{}", password.expose()));
    Secret::new(STANDARD.encode(plain.expose()))
}

fn sha256_of(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// An entry of `auths` the way that Docker lays it out.
fn indented(entry: &str) -> String {
    let inner = entry.trim_start_matches('{').trim_end_matches('}');
    format!("{{\n\t\t\t{}\n\t\t}}", inner.replacen(':', ": ", 1))
}

fn read_record(dir: &Path) -> Result<Record, FileError> {
    let file = JsonFile::read(dir, RECORD_NAME)?;
    Ok(Record {
        created_auths: file.member("created_auths")?.unwrap_or_default(),
        logins: file.member("logins")?.unwrap_or_default(),
    })
}

fn write_record(dir: &Path, record: &Record) -> Result<(), FileError> {
    let mut file = JsonFile::read(dir, RECORD_NAME)?;
    let raw = |value: serde_json::Result<String>| {
        value.and_then(RawValue::from_string).unwrap_or_default()
    };
    file.members.set(
        "created_auths",
        raw(serde_json::to_string(&record.created_auths)),
    );
    file.members
        .set("logins", raw(serde_json::to_string(&record.logins)));
    file.write()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_auth_config_shadows_by_host() {
        let config = r#"{"auths": {"https://a.example/v1/": {"auth": "x"}, "b.example": {}}}"#;
        assert_eq!(
            shadowed_hosts(config, &["a.example", "b.example", "c.example"]),
            ["a.example", "b.example"]
        );
        assert!(shadowed_hosts("not json", &["a.example"]).is_empty());
    }

    #[test]
    fn entries_are_laid_out_as_docker_does() {
        assert_eq!(
            indented(r#"{"auth":"QVdTOng="}"#),
            "{\n\t\t\t\"auth\": \"QVdTOng=\"\n\t\t}"
        );
    }
}
