//! JSON files that others own: read with care, changed under a lock, replaced as a whole.
//!
//! Only what is ours is touched. Every other key keeps its place and its bytes: values are carried as raw text
//! and never re-encoded. What cannot be parsed is left alone and reported with its line and column.
//!
//! What the keys mean is left to `docker::config_file` and `docker::login_store`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::Serialize;
use serde_json::value::RawValue;

use crate::error::{ExitCode, Failure};

const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// More links than this are a circle; Linux gives up at 40, too.
const MOST_LINKS: usize = 40;

/// What is wrong with a file of Docker's.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read or written.
    #[error("could not {attempt} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not what Docker could have written.
    #[error("{} is not valid at line {line}, column {column}: {reason}; it was left as it is", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What was expected.
        reason: &'static str,
    },
    /// Somebody holds the lock.
    #[error("another process holds the lock on {} for more than {} s", path.display(), LOCK_TIMEOUT.as_secs())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
}

impl Failure for FileError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Settings
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                "a file that is mounted by itself cannot be replaced: mount its folder, or choose another one with \
                 --docker-config DIR"
            }
            Self::Io { attempt: "read", .. } => {
                "let this user read it, or choose another folder with --docker-config DIR"
            }
            Self::Io { .. } => {
                "choose a folder that this user can write with --docker-config DIR or DOCKER_CONFIG"
            }
            Self::Corrupt { .. } => "mend the file, or use another folder with --docker-config DIR",
            Self::Locked { .. } => "end that process, or use another folder with --docker-config DIR",
        }
        .to_owned())
    }
}

/// A JSON object whose keys keep their order and whose values keep their bytes.
#[derive(Debug, Default)]
pub struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| &**value)
    }

    /// Sets `key`, at its place or at the end.
    pub fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Sets `key` to `value`, on one line.
    ///
    /// # Errors
    /// [`FileError::Io`], where `value` cannot be JSON.
    pub fn set_value<T: Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), FileError> {
        let value = serde_json::value::to_raw_value(value).map_err(|error| not_json(key, error))?;
        self.set(key, value);
        Ok(())
    }

    /// Sets `key` to `object`, laid out for its `depth`.
    ///
    /// # Errors
    /// [`FileError::Io`], where `object` cannot be JSON.
    pub fn set_object(&mut self, key: &str, object: &Self, depth: usize) -> Result<(), FileError> {
        let value =
            RawValue::from_string(object.to_json(depth)).map_err(|error| not_json(key, error))?;
        self.set(key, value);
        Ok(())
    }

    /// Takes `key` out; whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(name, _)| name != key);
        self.0.len() < before
    }

    /// Whether it has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as JSON, indented with tabs as Docker does it; `depth` is that of the object itself.
    #[must_use]
    pub fn to_json(&self, depth: usize) -> String {
        if self.0.is_empty() {
            return "{}".to_owned();
        }
        let indent = "\t".repeat(depth + 1);
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{indent}{}: {}", quoted(name), value.get()))
            .collect();
        format!("{{\n{}\n{}}}", members.join(",\n"), "\t".repeat(depth))
    }
}

fn not_json(key: &str, error: serde_json::Error) -> FileError {
    FileError::Io {
        attempt: "encode the value of",
        path: PathBuf::from(key),
        source: error.into(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut members = RawObject::default();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.set(&name, value);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A JSON file of Docker's folder, as it was when it was read.
#[derive(Debug)]
pub struct JsonFile {
    /// Where it really is, behind any symbolic links.
    path: PathBuf,
    /// Its content.
    pub members: RawObject,
}

impl JsonFile {
    /// Reads `dir/name`. A file that is missing or blank counts as `{}`.
    ///
    /// # Errors
    /// [`FileError::Io`] and [`FileError::Corrupt`].
    pub fn read(dir: &Path, name: &str) -> Result<Self, FileError> {
        let path = follow_links(&dir.join(name))?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => {
                return Err(FileError::Io {
                    attempt: "read",
                    path,
                    source,
                });
            }
        };
        let members = if bytes.iter().all(u8::is_ascii_whitespace) {
            RawObject::default()
        } else {
            serde_json::from_slice(&bytes).map_err(|error| corrupt(&path, &error))?
        };
        Ok(Self { path, members })
    }

    /// Where the file really is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The member `key`, as `T`; `None` where it is missing or null.
    ///
    /// # Errors
    /// [`FileError::Corrupt`]: it is there and something else.
    pub fn member<'a, T: Deserialize<'a>>(&'a self, key: &str) -> Result<Option<T>, FileError> {
        let Some(raw) = self.members.get(key) else {
            return Ok(None);
        };
        serde_json::from_str(raw.get()).map_err(|error| {
            let (line, column) = self.position(raw, &error);
            FileError::Corrupt {
                path: self.path.clone(),
                line,
                column,
                reason: "a value of another kind than Docker's",
            }
        })
    }

    /// Where in the file a fault inside `raw` is. The text is gone, but the file can be read again.
    fn position(&self, raw: &RawValue, error: &serde_json::Error) -> (usize, usize) {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let before = text.find(raw.get()).map_or("", |at| &text[..at]);
        let line = before.matches('\n').count() + error.line().max(1);
        let column = if error.line() <= 1 {
            before.len() - before.rfind('\n').map_or(0, |at| at + 1) + error.column()
        } else {
            error.column()
        };
        (line, column)
    }

    /// Replaces the file by what `members` says now: a sibling is written, made durable and renamed.
    ///
    /// # Errors
    /// [`FileError::Io`]; the old file is then as it was.
    pub fn write(&self) -> Result<(), FileError> {
        let (dir, prefix) = sibling(&self.path);
        let failed = |attempt, path: &Path, source| FileError::Io {
            attempt,
            path: path.to_owned(),
            source,
        };
        // Mode 0600 comes with the temporary file.
        let mut sibling = tempfile::Builder::new()
            .prefix(&prefix)
            .tempfile_in(&dir)
            .map_err(|source| failed("write into", &dir, source))?;
        let text = format!("{}\n", self.members.to_json(0));
        sibling
            .write_all(text.as_bytes())
            .and_then(|()| sibling.as_file().sync_all())
            .map_err(|source| failed("write", sibling.path(), source))?;
        if let Ok(old) = fs::metadata(&self.path) {
            // As root in somebody's home the file must stay theirs; anybody else can only write their own.
            let _ = fchown(sibling.as_file(), Some(old.uid()), Some(old.gid()));
        }
        sibling
            .persist(&self.path)
            .map_err(|error| failed("replace", &self.path, error.error))?;
        Ok(())
    }

    /// Removes the file, if it is there.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn remove(&self) -> Result<(), FileError> {
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FileError::Io {
                attempt: "remove",
                path: self.path.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }
}

/// The lock that every change to Docker's folder is made under. It lies on the folder itself, so it leaves no file.
#[derive(Debug)]
pub struct FolderLock {
    _folder: File,
    /// Set where the file system has no locks: the change goes on without one.
    pub warning: Option<String>,
}

impl FolderLock {
    /// Makes `dir` if need be and locks the folder in which the first of its files `names` really is. What a
    /// killed process left beside those files is removed.
    ///
    /// # Errors
    /// [`FileError::Io`], and [`FileError::Locked`] after 30 s.
    pub async fn acquire(dir: &Path, names: [&str; 2]) -> Result<Self, FileError> {
        let failed = |attempt, path: &Path, source| FileError::Io {
            attempt,
            path: path.to_owned(),
            source,
        };
        create_private_dir(dir).map_err(|source| failed("create", dir, source))?;
        let real = follow_links(&dir.join(names[0]))?;
        let folder_path = real.parent().unwrap_or(dir).to_owned();
        let folder =
            File::open(&folder_path).map_err(|source| failed("open", &folder_path, source))?;
        let start = Instant::now();
        let warning = loop {
            match folder.try_lock() {
                Ok(()) => break None,
                Err(fs::TryLockError::WouldBlock) if start.elapsed() > LOCK_TIMEOUT => {
                    return Err(FileError::Locked { path: folder_path });
                }
                Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
                Err(fs::TryLockError::Error(error)) => {
                    break Some(format!(
                        "{} cannot be locked ({error}): logins made at the same time may overwrite each other",
                        folder_path.display()
                    ));
                }
            }
        };
        if warning.is_none() {
            for name in names {
                remove_stale_siblings(&follow_links(&dir.join(name))?);
            }
        }
        Ok(Self {
            _folder: folder,
            warning,
        })
    }
}

fn create_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// Where `path` leads in the end, also when nothing is there yet.
fn follow_links(path: &Path) -> Result<PathBuf, FileError> {
    let mut real = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&real) {
            Ok(target) => real = real.parent().unwrap_or(Path::new(".")).join(target),
            Err(_) => return Ok(real),
        }
    }
    Err(FileError::Io {
        attempt: "follow the symbolic links of",
        path: path.to_owned(),
        source: io::ErrorKind::InvalidInput.into(),
    })
}

/// Removes what a killed process left beside the file at `path`. Only under the lock is it sure to be stale.
fn remove_stale_siblings(path: &Path) {
    let (dir, prefix) = sibling(path);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // It may hold a token; if it cannot be removed, the next login tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The folder and the name's beginning of the temporary files that become the file at `path`.
fn sibling(path: &Path) -> (PathBuf, String) {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    (dir.to_owned(), format!(".{name}.crossdock-"))
}

/// Tells where, and never what: serde's own text may quote a value.
fn corrupt(path: &Path, error: &serde_json::Error) -> FileError {
    use serde_json::error::Category;
    FileError::Corrupt {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
        reason: match error.classify() {
            Category::Eof => "the file ends too early",
            Category::Data => "it is not a JSON object",
            Category::Syntax | Category::Io => "it is not JSON",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_also_to_what_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("real/config.json", &link).unwrap();
        assert_eq!(
            follow_links(&link).unwrap(),
            dir.path().join("real/config.json")
        );
        let circle = dir.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        assert!(follow_links(&circle).is_err());
    }
}
