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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

    /// Strikes those of `older` that stood at the place of `login`, which has overwritten them.
    fn settle(&mut self, host: &str, login: &RecordedLogin, older: &[RecordedLogin]) {
        if let Some(places) = self.logins.get_mut(host) {
            places.retain(|noted| noted.helper != login.helper || !older.contains(noted));
        }
        self.note(host, login.clone());
    }

    /// What is noted for `host` at one place; `helper` is none for the file.
    fn at(&self, host: &str, helper: Option<&str>) -> Vec<RecordedLogin> {
        let of_host = self.logins.get(host).into_iter().flatten();
        of_host
            .filter(|noted| noted.helper.as_deref() == helper)
            .cloned()
            .collect()
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
    let (older, warning) = note(dir, &entries).await?;
    let (refused, failure) = store_with_helpers(&entries).await;
    let stored = match failure {
        None => store_in_file(dir, &entries, &older)
            .await
            .map_err(StoreError::from),
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

/// Notes all of `placed`. Gives what was noted before at the same places, and the lock's warning.
async fn note(
    dir: &Path,
    placed: &[Placed<'_>],
) -> Result<(Vec<RecordedLogin>, Option<String>), FileError> {
    let lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
    let mut record = Record::read(dir)?;
    let mut older = Vec::new();
    for (login, _, noted) in placed {
        older.extend(record.at(&login.host, noted.helper.as_deref()));
        record.note(&login.host, noted.clone());
    }
    older.retain(|old| placed.iter().all(|(_, _, noted)| noted != old));
    record.write(dir)?;
    Ok((older, lock.warning))
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

/// All helpers are let finish, so that none is killed in the middle of its work. Gives the hosts whose helper has surely
/// stored nothing, and the first failure.
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
            if error.stored_nothing() {
                refused.push(host);
            }
            failure = failure.or(Some(error));
        }
    }
    (refused, failure)
}

/// Writes what belongs into the file, and settles the notes of all: what was `older` has been overwritten by now.
async fn store_in_file(
    dir: &Path,
    placed: &[Placed<'_>],
    older: &[RecordedLogin],
) -> Result<(), FileError> {
    let _lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
    let mut config = ConfigFile::read(dir)?;
    let found = Record::read(dir)?;
    let mut record = found.clone();
    let mut is_changed = false;
    for (login, auth, noted) in placed {
        let before = record.at(&login.host, noted.helper.as_deref());
        if noted.helper.is_none() {
            let mut entry = RawObject::default();
            entry.set_value("auth", auth.expose())?;
            config.auths.set_object(&login.host, &entry, 2)?;
            is_changed = true;
            record.created_auths |= config.file.members.get("auths").is_none();
            // Under this lock, what stands in the file is this login and no other.
            record.settle(&login.host, noted, &before);
        } else {
            record.settle(&login.host, noted, older);
        }
    }
    // A logout that came between the note and now may have struck it; mostly it is as it was.
    if record != found {
        record.write(dir)?;
    }
    if is_changed {
        config.write()?;
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
    let mut ours: BTreeMap<(String, Option<String>), Vec<RecordedLogin>> = BTreeMap::new();
    for (host, logins) in Record::read(dir)?.logins {
        for login in logins.into_iter().filter(|login| chosen(&host, login)) {
            let place = (host.clone(), login.helper.clone());
            ours.entry(place).or_default().push(login);
        }
    }
    // A helper may be slow: it is not waited for under the lock.
    let from_helpers = join_all(ours.iter().map(|((host, helper), noted)| async move {
        match helper {
            Some(name) => Some(forget_from_helper(&Helper::new(name), host, noted).await),
            None => None,
        }
    }))
    .await;

    let _lock = FolderLock::acquire(dir, [FILE_NAME, RECORD_NAME]).await?;
    let mut config = ConfigFile::read(dir)?;
    let mut record = Record::read(dir)?;
    let mut is_changed = false;
    let mut outcomes = Vec::new();
    for (((host, _), noted), from_helper) in ours.into_iter().zip(from_helpers) {
        let outcome = match from_helper {
            Some(outcome) => outcome.map_err(StoreError::from),
            None => Ok(match auth_in_file(&config, &host) {
                None => Forgotten::Gone,
                Some(auth) if is_noted(&auth, &noted) => {
                    is_changed |= config.auths.remove(&host);
                    Forgotten::Removed
                }
                Some(_) => Forgotten::Replaced,
            }),
        };
        if outcome.is_ok() {
            for login in &noted {
                record.strike(&host, login);
            }
        }
        outcomes.push((host, outcome));
    }
    if is_changed {
        if record.created_auths && config.auths.is_empty() {
            config.write_without_auths()?;
        } else {
            config.write()?;
        }
    }
    record.write(dir)?;
    Ok(outcomes)
}

fn is_noted(auth: &Secret, noted: &[RecordedLogin]) -> bool {
    let sha256 = sha256_of(auth.expose());
    noted.iter().any(|login| login.sha256 == sha256)
}

/// Tells whether `dir` can be stored into, as far as its files are readable.
///
/// # Errors
/// [`FileError`].
pub fn check(dir: &Path) -> Result<(), FileError> {
    ConfigFile::read(dir)?;
    Record::read(dir).map(drop)
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
    noted: &[RecordedLogin],
) -> Result<Forgotten, HelperError> {
    let is_ours = |held: &HelperLogin| is_noted(&auth_of(&held.username, &held.secret), noted);
    match helper.get(host).await? {
        None => Ok(Forgotten::Gone),
        Some(held) if !is_ours(&held) => Ok(Forgotten::Replaced),
        Some(_) => {
            helper.erase(host).await?;
            match helper.get(host).await? {
                Some(held) if is_ours(&held) => Err(helper.kept(host)),
                _ => Ok(Forgotten::Removed),
            }
        }
    }
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
