//! Where logins are kept: stored where the docker CLI will look for them, and forgotten again.
//!
//! A login goes to the credential helper that config.json names for the registry, else into `auths`. What was
//! stored is noted in `crossdock-logins.json` beside config.json, by a hash: `logout` takes out just that, and
//! leaves what somebody stored since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config_file::{ConfigFile, FILE_NAME};
use super::daemon::RegistryLogin;
use super::helper::{Helper, HelperError, HelperLogin};
use super::json_file::{FileError, FolderLock, JsonFile, RawObject};
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
#[derive(Debug, Default)]
struct Record {
    /// Set where config.json had no `auths` before.
    created_auths: bool,
    /// By host; more than one where the place changed between two logins.
    logins: BTreeMap<String, Vec<RecordedLogin>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedLogin {
    /// The helper that holds it; none for `auths`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    helper: Option<String>,
    /// Of `auth`, base64 of `USER:PASSWORD`.
    sha256: String,
}

impl Record {
    /// Notes `login`, beside an older one that may still be what is stored.
    fn note(&mut self, host: &str, login: RecordedLogin) {
        let places = self.logins.entry(host.to_owned()).or_default();
        places.retain(|noted| *noted != login);
        places.push(login);
    }

    /// Strikes what `login`, now that it is stored, has overwritten; whether there was any.
    fn settle(&mut self, host: &str, login: &RecordedLogin) -> bool {
        let Some(places) = self.logins.get_mut(host) else {
            return false;
        };
        let before = places.len();
        places.retain(|noted| noted.helper != login.helper || noted == login);
        places.len() < before
    }

    fn strike(&mut self, host: &str, login: &RecordedLogin) {
        if let Some(places) = self.logins.get_mut(host) {
            places.retain(|noted| noted != login);
            if places.is_empty() {
                self.logins.remove(host);
            }
        }
    }

    fn read(dir: &Path) -> Result<Self, FileError> {
        let file = JsonFile::read(dir, RECORD_NAME)?;
        Ok(Self {
            created_auths: file.member("created_auths")?.unwrap_or_default(),
            logins: file.member("logins")?.unwrap_or_default(),
        })
    }

    /// Writes the record; an empty one is no file.
    fn write(&self, dir: &Path) -> Result<(), FileError> {
        let mut file = JsonFile::read(dir, RECORD_NAME)?;
        if self.logins.is_empty() {
            return file.remove();
        }
        file.members
            .set_value("created_auths", &self.created_auths)?;
        file.members.set_value("logins", &self.logins)?;
        file.write()
    }
}

/// Stores `logins`, all of them or none: where one fails, those that were stored are taken out again.
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
    let mut entries = Vec::with_capacity(logins.len());
    for login in logins {
        let auth = auth_of(&login.username, &login.password);
        let noted = RecordedLogin {
            helper: config.helper_for(&login.host)?,
            sha256: sha256_of(auth.expose()),
        };
        entries.push((login, auth, noted));
    }
    // First of all they are noted: a login that is noted and not stored does no harm, the reverse would stay behind.
    let warning = note(dir, &entries).await?;
    let (refused, failure) = store_with_helpers(&entries).await;
    let stored = match failure {
        None => store_in_file(dir, &entries).await.map_err(StoreError::from),
        Some(error) => Err(error.into()),
    };
    if let Err(error) = stored {
        // What cannot be undone now stays noted, for 'logout'; the first error tells more than this one.
        let _ = undo(dir, &entries, &refused).await;
        return Err(error);
    }
    let places = entries
        .into_iter()
        .map(|(_, _, noted)| {
            noted
                .helper
                .map_or_else(|| Place::File(path.clone()), Place::Helper)
        })
        .collect();
    Ok((places, warning))
}

/// A login, its `auth`, and what is noted of it.
type Placed<'a> = (&'a RegistryLogin, Secret, RecordedLogin);

async fn note(dir: &Path, placed: &[Placed<'_>]) -> Result<Option<String>, FileError> {
    let lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
    let config = ConfigFile::read(dir)?;
    let mut record = Record::read(dir)?;
    for (login, _, noted) in placed {
        if noted.helper.is_none() && config.file.members.get("auths").is_none() {
            record.created_auths = true;
        }
        record.note(&login.host, noted.clone());
    }
    record.write(dir)?;
    Ok(lock.warning)
}

/// Takes out what was stored of `placed`; the helpers of the hosts in `refused` have stored nothing and are not asked.
async fn undo(dir: &Path, placed: &[Placed<'_>], refused: &[String]) -> Result<(), FileError> {
    let is_new = |host: &str, noted: &RecordedLogin| {
        let is_of_this_run = |(login, _, new): &Placed<'_>| login.host == host && new == noted;
        placed.iter().any(is_of_this_run)
    };
    {
        let _lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
        let mut record = Record::read(dir)?;
        for (login, _, noted) in placed {
            if refused.contains(&login.host) {
                record.strike(&login.host, noted);
            }
        }
        record.write(dir)?;
    }
    forget_where(dir, is_new).await.map(drop)
}

/// All helpers are let finish, so that none is killed in the middle of its work. Gives the hosts whose helper failed,
/// and the first failure.
async fn store_with_helpers(placed: &[Placed<'_>]) -> (Vec<String>, Option<HelperError>) {
    let stores = placed.iter().filter_map(|(login, _, noted)| {
        let helper = Helper::new(noted.helper.as_deref()?);
        Some(async move {
            let secret = HelperLogin {
                username: login.username.clone(),
                secret: login.password.clone(),
            };
            let outcome = helper.store(&login.host, &secret).await;
            (login.host.clone(), outcome)
        })
    });
    let mut refused = Vec::new();
    let mut failure = None;
    for (host, outcome) in join_all(stores).await {
        if let Err(error) = outcome {
            refused.push(host);
            failure = failure.or(Some(error));
        }
    }
    (refused, failure)
}

/// Writes what belongs into the file, and settles the notes of all.
async fn store_in_file(dir: &Path, placed: &[Placed<'_>]) -> Result<(), FileError> {
    let _lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
    let into_file: Vec<_> = placed
        .iter()
        .filter(|(_, _, noted)| noted.helper.is_none())
        .collect();
    if !into_file.is_empty() {
        let mut config = ConfigFile::read(dir)?;
        for (login, auth, _) in into_file {
            let mut entry = RawObject::default();
            entry.set_value("auth", auth.expose())?;
            config.auths.set_object(&login.host, &entry, 2)?;
        }
        config.write()?;
    }
    let mut record = Record::read(dir)?;
    let mut overwritten = false;
    for (login, _, noted) in placed {
        overwritten |= record.settle(&login.host, noted);
    }
    if overwritten {
        record.write(dir)?;
    }
    Ok(())
}

/// Forgets the logins that were stored here: all of them, or those for whose host `chosen` says so. Gives for each what
/// became of it; a helper that fails keeps nobody else's login from being forgotten.
///
/// # Errors
/// A file is at fault.
pub async fn forget(
    dir: &Path,
    chosen: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Result<Forgotten, StoreError>)>, StoreError> {
    Ok(forget_where(dir, |host, _| chosen(host)).await?)
}

async fn forget_where(
    dir: &Path,
    chosen: impl Fn(&str, &RecordedLogin) -> bool,
) -> Result<Vec<(String, Result<Forgotten, StoreError>)>, FileError> {
    if !dir.join(RECORD_NAME).exists() {
        return Ok(Vec::new());
    }
    let mut ours = Vec::new();
    for (host, places) in Record::read(dir)?.logins {
        ours.extend(
            places
                .into_iter()
                .filter(|login| chosen(&host, login))
                .map(|login| (host.clone(), login)),
        );
    }
    // A helper may be slow: it is not waited for under the lock.
    let from_helpers = join_all(ours.iter().map(|(host, login)| async move {
        match &login.helper {
            Some(name) => Some(forget_from_helper(&Helper::new(name), host, login).await),
            None => None,
        }
    }))
    .await;

    let _lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
    let mut config = ConfigFile::read(dir)?;
    let mut record = Record::read(dir)?;
    let mut changed = false;
    let mut outcomes = Vec::new();
    for ((host, login), from_helper) in ours.into_iter().zip(from_helpers) {
        let outcome = match from_helper {
            Some(outcome) => outcome.map_err(StoreError::from),
            None => Ok(match auth_in_file(&config, &host) {
                None => Forgotten::Gone,
                Some(auth) if sha256_of(auth.expose()) != login.sha256 => Forgotten::Replaced,
                Some(_) => {
                    changed |= config.auths.remove(&host);
                    Forgotten::Removed
                }
            }),
        };
        if outcome.is_ok() {
            record.strike(&host, &login);
        }
        outcomes.push((host, outcome));
    }
    if changed {
        if record.created_auths && config.auths.is_empty() {
            config.write_without_auths()?;
        } else {
            config.write()?;
        }
    }
    record.write(dir)?;
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
}
