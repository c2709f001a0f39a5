//! Docker's `config.json`: what the docker CLI would read in it.
//!
//! How it is read and replaced is in `docker::json_file`; where a login belongs is decided in
//! `docker::login_store`.

use std::path::{Path, PathBuf};

use super::json_file::{FileError, JsonFile, RawObject};
use crate::environment::Environment;

/// The file's name in Docker's folder.
pub const FILE_NAME: &str = "config.json";

/// The folder with `config.json`: `chosen`, else `DOCKER_CONFIG`, else `~/.docker`. None where there is no home: a
/// relative folder would put a token into the checkout.
#[must_use]
pub fn config_dir(chosen: Option<&str>, environment: &Environment) -> Option<PathBuf> {
    match chosen.or_else(|| environment.get("DOCKER_CONFIG")) {
        Some(dir) => Some(PathBuf::from(dir)),
        None => Some(environment.home()?.join(".docker")),
    }
}

/// The docker CLI's view of `config.json`.
#[derive(Debug)]
pub struct ConfigFile {
    /// The file.
    pub file: JsonFile,
    /// Its logins.
    pub auths: RawObject,
}

impl ConfigFile {
    /// Reads `dir/config.json`.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(dir: &Path) -> Result<Self, FileError> {
        let file = JsonFile::read(dir, FILE_NAME)?;
        let auths = file.member("auths")?.unwrap_or_default();
        Ok(Self { file, auths })
    }

    /// `currentContext`.
    ///
    /// # Errors
    /// [`FileError::Corrupt`].
    pub fn current_context(&self) -> Result<Option<String>, FileError> {
        self.file.member("currentContext")
    }

    /// The name of the credential helper that the docker CLI asks for `host`: `credHelpers`, then `credsStore`.
    ///
    /// # Errors
    /// [`FileError::Corrupt`].
    pub fn helper_for(&self, host: &str) -> Result<Option<String>, FileError> {
        let helpers: RawObject = self.file.member("credHelpers")?.unwrap_or_default();
        let named = helpers
            .get(host)
            .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let named = match named {
            Some(name) => Some(name),
            None => self.file.member::<String>("credsStore")?,
        };
        Ok(named.filter(|name| !name.is_empty()))
    }

    /// Puts `auths` back and replaces the file.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn write(mut self) -> Result<(), FileError> {
        self.file.members.set_object("auths", &self.auths, 1)?;
        self.file.write()
    }

    /// Takes `auths` out and replaces the file.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn write_without_auths(mut self) -> Result<(), FileError> {
        self.file.members.remove("auths");
        self.file.write()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str) -> Result<ConfigFile, FileError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), text).unwrap();
        ConfigFile::read(dir.path())
    }

    #[test]
    fn other_keys_keep_their_order_and_bytes() {
        let text = "{\n\t\"zeta\": [1.0, 1e3,  \"\\u00e9\"],\n\t\"auths\": {\n\t\t\"a\": {\"auth\": \"eA==\"}\n\t},\n\t\"alpha\": 12345678901234567890123\n}\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        fs::write(&path, text).unwrap();
        ConfigFile::read(dir.path()).unwrap().write().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn faults_are_told_by_place_and_never_by_content() {
        for (text, place) in [
            ("{\"auths\": ", "line 1, column 10"),
            ("{\n  \"auths\": {\"a\" \"hidden\"}\n}", "line 2"),
            ("[\"hidden\"]", "line 1, column 0"),
            ("{\n  \"auths\": \"hidden\"\n}", "line 2, column"),
            ("not json: hidden", "line 1"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(place), "{text}: {message}");
            assert!(!message.contains("hidden"), "{text}: {message}");
        }
    }

    #[test]
    fn helpers_are_chosen_as_the_docker_cli_does() {
        let config =
            read(r#"{"credHelpers": {"a.example": "one", "b.example": ""}, "credsStore": "two"}"#)
                .unwrap();
        let helper = |host| config.helper_for(host).unwrap();
        assert_eq!(helper("a.example").as_deref(), Some("one"));
        assert_eq!(helper("b.example"), None);
        assert_eq!(helper("c.example").as_deref(), Some("two"));
        assert_eq!(read("{}").unwrap().helper_for("a").unwrap(), None);
        assert_eq!(read(" \n").unwrap().helper_for("a").unwrap(), None);
    }
}
