//! A small client of the distribution API, for registries with HTTP Basic authentication, as ECR's are.
//!
//! Source: OCI Distribution Specification 1.1, "Pulling manifests" and "Determining support"; "Registry
//! authentication" of the Amazon ECR User Guide for Basic.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::aws::causes;
use crate::error::{ExitCode, Failure};
use crate::network::{HttpClient, NO_ROOTS, lacks_roots};
use crate::secret::{Secret, redact};

/// The limit on one whole answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// More than any manifest may have ("Pushing manifests": at least 4 MiB must be accepted).
const LARGEST_MANIFEST: usize = 8 << 20;

const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// What a tag holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteManifest {
    /// The manifest's digest.
    pub digest: String,
    /// The manifest's size in bytes.
    pub size: u64,
    /// The image config's digest, which an index does not have.
    pub config_digest: Option<String>,
}

/// Why the registry gave no answer to what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It does not accept the login.
    #[error("{host} refused the login: HTTP status {status}{}", told(message))]
    LoginRefused {
        /// The registry.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The registry's words.
        message: String,
    },
    /// It could not be reached.
    #[error("could not reach {host} to check the login: {reason}")]
    Unreachable {
        /// The registry.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// It answered with something else.
    #[error("{host} answered {attempt} with HTTP status {status}{}", told(message))]
    Unexpected {
        /// The registry.
        host: String,
        /// What was asked.
        attempt: &'static str,
        /// The HTTP status.
        status: u16,
        /// The registry's words.
        message: String,
    },
}

fn told(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

impl Failure for RegistryError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::LoginRefused
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::LoginRefused { status: 400, .. } => {
                "an ECR registry answers 400 to a token of another region: compare --region with the registry's host"
            }
            Self::LoginRefused { .. } => {
                "the token may have expired, or the role may not use this registry"
            }
            Self::Unreachable { reason, .. } if lacks_roots(reason) => NO_ROOTS,
            Self::Unreachable { .. } => {
                "check that this machine reaches the registry (name resolution, HTTPS_PROXY, a firewall, root \
                 certificates); '--verify never' stores the login unchecked"
            }
            Self::Unexpected { .. } => "is this host an ECR registry?",
        }
        .to_owned())
    }
}

/// A client of one registry.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    http: HttpClient,
    base_url: String,
    host: String,
    authorization: Secret,
}

impl RegistryClient {
    /// A client of `host` under `base_url` (scheme and host), with the login to use.
    #[must_use]
    pub fn new(
        http: HttpClient,
        base_url: String,
        host: String,
        username: &str,
        password: &Secret,
    ) -> Self {
        let plain = Secret::new(format!("{username}:{}", password.expose()));
        Self {
            http,
            base_url,
            host,
            authorization: Secret::new(format!("Basic {}", STANDARD.encode(plain.expose()))),
        }
    }

    /// Asks whether the login is good.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub async fn verify(&self) -> Result<(), RegistryError> {
        let (status, _, body) = self.get("/v2/").await?;
        match status {
            200..=299 => Ok(()),
            400 | 401 | 403 => Err(RegistryError::LoginRefused {
                host: self.host.clone(),
                status,
                message: words_of(&body),
            }),
            _ => Err(self.unexpected("GET /v2/", status, &body)),
        }
    }

    /// What `repository:tag` holds; `None` where the tag or the repository does not exist.
    ///
    /// # Errors
    /// [`RegistryError`]; also [`RegistryError::Unexpected`] for an answer without a digest.
    pub async fn manifest(
        &self,
        repository: &str,
        tag: &str,
    ) -> Result<Option<RemoteManifest>, RegistryError> {
        const ATTEMPT: &str = "the request for a manifest";
        let (status, digest, body) = self
            .get(&format!("/v2/{repository}/manifests/{tag}"))
            .await?;
        match (status, digest) {
            (200, Some(digest)) => Ok(Some(RemoteManifest {
                digest,
                size: body.len() as u64,
                config_digest: config_digest(&body),
            })),
            (404, _) => Ok(None),
            (401 | 403, _) => Err(RegistryError::LoginRefused {
                host: self.host.clone(),
                status,
                message: words_of(&body),
            }),
            (status, _) => Err(self.unexpected(ATTEMPT, status, &body)),
        }
    }

    fn unexpected(&self, attempt: &'static str, status: u16, body: &[u8]) -> RegistryError {
        RegistryError::Unexpected {
            host: self.host.clone(),
            attempt,
            status,
            message: words_of(body),
        }
    }

    /// Status, `Docker-Content-Digest` and body of a GET.
    async fn get(&self, path: &str) -> Result<(u16, Option<String>, Vec<u8>), RegistryError> {
        let unreachable = |reason: String| RegistryError::Unreachable {
            host: self.host.clone(),
            reason,
        };
        let request = http::Request::get(format!("{}{path}", self.base_url))
            .header("Authorization", self.authorization.expose())
            .header("Accept", MANIFEST_TYPES)
            .header(
                "User-Agent",
                concat!("crossdock/", env!("CARGO_PKG_VERSION")),
            )
            .body(SdkBody::empty())
            .map_err(|error| unreachable(error.to_string()))?;
        let request =
            HttpRequest::try_from(request).map_err(|error| unreachable(causes(&error)))?;
        let exchange = async {
            let answer = self
                .http
                .send(request)
                .await
                .map_err(|error| unreachable(causes(&error)))?;
            let status = answer.status().as_u16();
            let digest = answer
                .headers()
                .get("docker-content-digest")
                .map(str::to_owned);
            let body = self.body(answer).await?;
            Ok((status, digest, body))
        };
        tokio::time::timeout(ANSWER_TIMEOUT, exchange)
            .await
            .map_err(|_| unreachable(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))?
    }

    async fn body(&self, answer: HttpResponse) -> Result<Vec<u8>, RegistryError> {
        let unreachable = |reason: String| RegistryError::Unreachable {
            host: self.host.clone(),
            reason,
        };
        let mut body = aws_smithy_types::byte_stream::ByteStream::new(answer.into_body());
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| unreachable(causes(&error)))?;
            if bytes.len() + chunk.len() > LARGEST_MANIFEST {
                return Err(unreachable("the answer is too large".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn config_digest(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Manifest {
        config: Option<Descriptor>,
    }
    #[derive(Deserialize)]
    struct Descriptor {
        digest: String,
    }
    let manifest: Manifest = serde_json::from_slice(body).ok()?;
    manifest.config.map(|config| config.digest)
}

/// The messages of the registry's error document, or the text itself if it is short.
fn words_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Document {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    const LONGEST: usize = 300;
    let words = match serde_json::from_slice::<Document>(body) {
        Ok(document) => document
            .errors
            .iter()
            .map(|entry| {
                format!("{} {}", entry.code, entry.message)
                    .trim()
                    .to_owned()
            })
            .collect::<Vec<_>>()
            .join("; "),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    // Secrets are taken out before the text is cut: half a secret would not be recognised.
    redact(&words).chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_image_manifest_has_a_config() {
        assert_eq!(
            config_digest(br#"{"config": {"digest": "sha256:ab"}}"#).as_deref(),
            Some("sha256:ab")
        );
        assert_eq!(config_digest(br#"{"manifests": []}"#), None);
        assert_eq!(config_digest(b"<html>"), None);
    }

    #[test]
    fn a_registry_is_quoted_briefly() {
        let document =
            br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        assert_eq!(words_of(document), "UNAUTHORIZED authentication required");
        assert_eq!(words_of("x".repeat(5000).as_bytes()).len(), 300);
    }
}
