//! What the daemon is asked: verify a login, inspect and tag an image, push it.
//!
//! All of it goes over bollard's transport. Two calls are made by rewriting a request of bollard's: `POST /auth`,
//! which it does not have, and the push, whose stream it decodes with loss (`docker::events` does that here).
//!
//! Source: Docker Engine API, `SystemAuth`, `ImageInspect`, `ImageTag`, `ImagePush`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bollard::Docker;
use bollard::errors::Error as BollardError;
use bollard::query_parameters::TagImageOptions;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::endpoint::Endpoint;
use super::events::failure_in;
use crate::aws::causes;
use crate::error::{ExitCode, Failure};
use crate::secret::Secret;

const REGISTRY_AUTH: HeaderName = HeaderName::from_static("x-registry-auth");

/// A login to one registry, as the daemon takes it.
#[derive(Clone, Debug)]
pub struct RegistryLogin {
    /// The registry's host.
    pub host: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl RegistryLogin {
    fn to_json(&self) -> String {
        serde_json::json!({
            "username": self.username,
            "password": self.password.expose(),
            "serveraddress": self.host,
        })
        .to_string()
    }
}

/// An image that the daemon has.
#[derive(Clone, Debug)]
pub struct LocalImage {
    /// Its id: the config's digest in the classic image store, the manifest's or index's in containerd's.
    pub id: String,
    /// Manifest digests by which the daemon knows it, each that of this very content: from a push or a pull in the
    /// classic store, from tagging alone in containerd's.
    pub digests: Vec<String>,
}

/// What the daemon refused or could not do.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The registry did not accept the login.
    #[error("{host} refused the login, says the Docker daemon: {message}")]
    LoginRefused {
        /// The registry.
        host: String,
        /// The daemon's words.
        message: String,
    },
    /// The image is not there.
    #[error("the Docker daemon at {endpoint} has no image '{image}'")]
    NoImage {
        /// The image.
        image: String,
        /// The daemon.
        endpoint: Box<Endpoint>,
    },
    /// Any other refusal.
    #[error("the Docker daemon could not {attempt}: {message}")]
    Refused {
        /// What was attempted.
        attempt: String,
        /// The daemon's words.
        message: String,
    },
    /// No answer within the limit.
    #[error("the Docker daemon at {endpoint} did not answer within {} s when asked to {attempt}", limit.as_secs())]
    Silent {
        /// What was attempted.
        attempt: String,
        /// The daemon.
        endpoint: Box<Endpoint>,
        /// The limit.
        limit: Duration,
    },
    /// The connection failed in the middle.
    #[error("lost the Docker daemon at {endpoint} while trying to {attempt}: {message}")]
    Lost {
        /// What was attempted.
        attempt: String,
        /// The daemon.
        endpoint: Box<Endpoint>,
        /// What happened.
        message: String,
    },
}

impl Failure for DaemonError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::LoginRefused { .. } => ExitCode::LoginRefused,
            Self::NoImage { .. } | Self::Refused { .. } => ExitCode::PushFailed,
            Self::Silent { .. } | Self::Lost { .. } => ExitCode::NoDaemon,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::LoginRefused { message, .. } => Some(login_hint(message)),
            Self::NoImage { .. } => Some(
                "build or load it in this job, on this same daemon ('docker image ls' shows what is there); \
                 with docker:dind each job has an empty daemon of its own"
                    .to_owned(),
            ),
            Self::Refused { .. } | Self::Silent { .. } | Self::Lost { .. } => None,
        }
    }
}

fn login_hint(message: &str) -> String {
    if message.contains("400 Bad Request") {
        "an ECR registry answers 400 to a token of another region: compare --region with the registry's host"
    } else if message.contains("HTTP response to HTTPS client") {
        "the registry speaks plain HTTP and the daemon wants TLS: podman takes insecure registries for pushes, not \
         for this check; '--verify registry' or '--verify never' does without the daemon"
    } else if message.contains("x509") || message.contains("tls:") {
        "the daemon does not trust the registry's certificate: give the CA to the daemon (/etc/docker/certs.d)"
    } else if ["dial tcp", "no such host", "timeout", "deadline exceeded"]
        .iter()
        .any(|sign| message.contains(sign))
    {
        "the daemon cannot reach the registry: check its network, its proxy settings and the region"
    } else {
        "the registry does not accept this token: it may have expired, or the role may not use this registry"
    }
    .to_owned()
}

/// A daemon that has answered.
#[derive(Clone, Debug)]
pub struct Daemon {
    docker: Docker,
    endpoint: Endpoint,
    is_podman: bool,
}

impl Daemon {
    /// A daemon over a client that was seen to work; `docker::connect` makes it.
    pub(super) fn new(docker: Docker, endpoint: Endpoint, is_podman: bool) -> Self {
        Self {
            docker,
            endpoint,
            is_podman,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it is podman, which says nothing while it pushes (5.x not even the answer's headers), and whose
    /// manifest sizes are not the registry's. Seen on 4.3 and 5.4: `tests/fixtures/push-streams/README.md`.
    #[must_use]
    pub fn is_podman(&self) -> bool {
        self.is_podman
    }

    /// Lets the daemon log in to the registry, over the network path that its pushes take.
    ///
    /// # Errors
    /// [`DaemonError::LoginRefused`], with the daemon's words.
    pub async fn verify(&self, login: &RegistryLogin) -> Result<(), DaemonError> {
        let request = RawRequest {
            path: "/auth".to_owned(),
            header: None,
            body: Bytes::from(login.to_json()),
        };
        let answer: Result<Vec<Bytes>, _> = self.raw(request).try_collect().await;
        match answer {
            Ok(_) => Ok(()),
            Err(BollardError::DockerResponseServerError { message, .. }) => {
                Err(DaemonError::LoginRefused {
                    host: login.host.clone(),
                    message,
                })
            }
            Err(error) => Err(self.lost(format!("verify the login to {}", login.host), &error)),
        }
    }

    /// Looks an image up.
    ///
    /// # Errors
    /// [`DaemonError::NoImage`].
    pub async fn inspect(&self, image: &str) -> Result<LocalImage, DaemonError> {
        let found = self
            .docker
            .inspect_image(image)
            .await
            .map_err(|error| match error {
                BollardError::DockerResponseServerError {
                    status_code: 404, ..
                } => DaemonError::NoImage {
                    image: image.to_owned(),
                    endpoint: Box::new(self.endpoint.clone()),
                },
                error => self.failed(format!("inspect '{image}'"), error),
            })?;
        let digests = found
            .repo_digests
            .unwrap_or_default()
            .iter()
            .filter_map(|reference| Some(reference.split_once('@')?.1.to_owned()))
            .collect();
        Ok(LocalImage {
            id: found.id.unwrap_or_default(),
            digests,
        })
    }

    /// Gives `image` the further name `repository:tag`.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<(), DaemonError> {
        let options = TagImageOptions {
            repo: Some(repository.to_owned()),
            tag: Some(tag.to_owned()),
        };
        self.docker
            .tag_image(image, Some(options))
            .await
            .map_err(|error| self.failed(format!("tag '{image}' as '{repository}:{tag}'"), error))
    }

    /// Pushes `repository:tag`; gives the daemon's stream as it comes, for `docker::events` to decode.
    /// `patience` bounds the wait for the answer's headers; the caller bounds the gaps in the stream.
    pub fn push(
        &self,
        repository: &str,
        tag: &str,
        login: &RegistryLogin,
        patience: Duration,
    ) -> impl Stream<Item = Result<Bytes, DaemonError>> + Unpin + use<> {
        // Moby and podman want the URL-safe alphabet here.
        let auth = Secret::new(URL_SAFE.encode(login.to_json()));
        let request = RawRequest {
            path: format!("/images/{repository}/push?tag={tag}"),
            header: Some((REGISTRY_AUTH, auth)),
            body: Bytes::new(),
        };
        let mut daemon = self.clone();
        daemon.docker.set_timeout(patience);
        let attempt = format!("push '{repository}:{tag}'");
        daemon
            .raw(request)
            .map(move |item| item.map_err(|error| daemon.failed(attempt.clone(), error)))
    }

    fn raw(
        &self,
        request: RawRequest,
    ) -> impl Stream<Item = Result<Bytes, BollardError>> + Unpin + use<> {
        let docker = self
            .docker
            .clone()
            .with_request_modifier(move |generated| request.replace(generated));
        Box::pin(docker.export_image("replaced"))
    }

    fn failed(&self, attempt: String, error: BollardError) -> DaemonError {
        match error {
            BollardError::DockerResponseServerError { message, .. } => DaemonError::Refused {
                attempt,
                // Podman 5 puts a message of the push stream into the body of its HTTP error.
                message: failure_in(&message).unwrap_or(message),
            },
            error => self.lost(attempt, &error),
        }
    }

    fn lost(&self, attempt: String, error: &BollardError) -> DaemonError {
        let endpoint = Box::new(self.endpoint.clone());
        match error {
            BollardError::RequestTimeoutError => DaemonError::Silent {
                attempt,
                endpoint,
                limit: self.docker.timeout(),
            },
            error => DaemonError::Lost {
                attempt,
                endpoint,
                message: causes(error),
            },
        }
    }
}

/// A POST that takes the place of the request that bollard made.
struct RawRequest {
    path: String,
    header: Option<(HeaderName, Secret)>,
    body: Bytes,
}

impl RawRequest {
    fn replace(&self, mut request: bollard::BollardRequest) -> bollard::BollardRequest {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.path_and_query = self.path.parse().ok();
        // The parts are a valid URI's, and the path is made of names that were validated.
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = &self.header
            && let Ok(mut value) = HeaderValue::from_str(value.expose())
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        *request.body_mut() = bollard::body_full(self.body.clone());
        request
    }
}
