//! Credential helpers of others: `docker-credential-NAME`, run as the docker CLI runs them.
//!
//! Source: "Credential helper protocol", docker-credential-helpers project: one argument, input on stdin, output
//! and errors on stdout, exit code 1 for an error.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::error::{ExitCode, Failure};
use crate::secret::Secret;

/// A helper may have to unlock a keychain, not to wait for a person.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What helpers that bring their own logins answer to `store`.
const NOT_IMPLEMENTED: &str = "not implemented";
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A helper, by the name that config.json gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    name: String,
}

/// What a helper holds for a registry.
#[derive(Clone, Debug)]
pub struct HelperLogin {
    /// The user name.
    pub username: String,
    /// The password or token.
    pub secret: Secret,
}

/// Why a helper did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It is not installed.
    #[error(
        "config.json names the credential helper '{name}', but docker-credential-{name} is not on PATH"
    )]
    Missing {
        /// The helper.
        name: String,
    },
    /// It could not be run.
    #[error("could not run docker-credential-{name} {verb}: {source}")]
    Unrunnable {
        /// The helper.
        name: String,
        /// What it was to do.
        verb: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// It said no.
    #[error("docker-credential-{name} {verb} failed for {host}: {message}")]
    Failed {
        /// The helper.
        name: String,
        /// What it was to do.
        verb: &'static str,
        /// The registry.
        host: String,
        /// Its words.
        message: String,
    },
}

impl HelperError {
    /// Whether nothing can have been stored: the helper did not run, or stores nothing at all. One that failed in any
    /// other way may have stored first.
    #[must_use]
    pub fn stored_nothing(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Unrunnable { .. } => true,
            Self::Failed { message, .. } => message.contains(NOT_IMPLEMENTED),
        }
    }
}

impl Failure for HelperError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Settings
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { name } => format!(
                "install docker-credential-{name}, take it out of credHelpers or credsStore, or keep the login apart \
                 with --docker-config DIR"
            ),
            Self::Failed { message, name, .. } if message.contains(NOT_IMPLEMENTED) => format!(
                "docker-credential-{name} brings its own logins and stores none: docker uses them whatever is stored, \
                 so take the registry out of credHelpers, or keep the login apart with --docker-config DIR"
            ),
            Self::Unrunnable { .. } | Self::Failed { .. } => {
                "keep the login apart with --docker-config DIR, or mend the helper".to_owned()
            }
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetAnswer {
    username: String,
    secret: String,
}

impl Helper {
    /// The helper that config.json calls `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stores a login.
    ///
    /// # Errors
    /// [`HelperError`].
    pub async fn store(&self, host: &str, login: &HelperLogin) -> Result<(), HelperError> {
        let input = Zeroizing::new(
            serde_json::json!({
                "ServerURL": host,
                "Username": login.username,
                "Secret": login.secret.expose(),
            })
            .to_string(),
        );
        self.run("store", host, &input).await.map(drop)
    }

    /// Asks for a login; `None` where the helper has none.
    ///
    /// # Errors
    /// [`HelperError`].
    pub async fn get(&self, host: &str) -> Result<Option<HelperLogin>, HelperError> {
        let output = match self.run("get", host, host).await {
            Ok(output) => output,
            Err(HelperError::Failed { message, .. }) if message.contains(NOT_FOUND) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let answer: GetAnswer =
            serde_json::from_slice(&output).map_err(|_| HelperError::Failed {
                name: self.name.clone(),
                verb: "get",
                host: host.to_owned(),
                message: "its answer is not the protocol's JSON".to_owned(),
            })?;
        Ok(Some(HelperLogin {
            username: answer.username,
            secret: Secret::new(answer.secret),
        }))
    }

    /// Removes a login.
    ///
    /// # Errors
    /// [`HelperError`].
    pub async fn erase(&self, host: &str) -> Result<(), HelperError> {
        self.run("erase", host, host).await.map(drop)
    }

    /// The failure of a helper that says it has erased a login and still gives it.
    #[must_use]
    pub fn kept(&self, host: &str) -> HelperError {
        HelperError::Failed {
            name: self.name.clone(),
            verb: "erase",
            host: host.to_owned(),
            message: "it reported success and still has the login".to_owned(),
        }
    }

    async fn run(
        &self,
        verb: &'static str,
        host: &str,
        input: &str,
    ) -> Result<Zeroizing<Vec<u8>>, HelperError> {
        let unrunnable = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => HelperError::Missing {
                name: self.name.clone(),
            },
            _ => HelperError::Unrunnable {
                name: self.name.clone(),
                verb,
                source,
            },
        };
        let failed = |message: String| HelperError::Failed {
            name: self.name.clone(),
            verb,
            host: host.to_owned(),
            message,
        };
        if self.name.contains('/') {
            return Err(unrunnable(std::io::ErrorKind::NotFound.into()));
        }
        let mut child = Command::new(format!("docker-credential-{}", self.name))
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(unrunnable)?;
        let talk = async {
            if let Some(mut stdin) = child.stdin.take() {
                // A helper that exits without reading breaks the pipe: what it says then tells more than the pipe.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(TIMEOUT, talk)
            .await
            .map_err(|_| failed(format!("no answer within {} s", TIMEOUT.as_secs())))?
            .map_err(unrunnable)?;
        let stdout = Zeroizing::new(output.stdout);
        if output.status.success() {
            return Ok(stdout);
        }
        Err(failed(match String::from_utf8_lossy(&stdout).trim() {
            "" => format!("{}", output.status),
            text => text.to_owned(),
        }))
    }
}
