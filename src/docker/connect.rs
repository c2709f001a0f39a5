//! The way to the daemon: connect, wait for one that is still starting, and name what is in the way.
//!
//! In a job with `docker:dind` the daemon often comes up after the job's first command. What may pass by itself
//! is waited for; what will not (a socket without permission, TLS on one side only) is told at once.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bollard::errors::Error as BollardError;
use bollard::models::SystemVersion;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::daemon::Daemon;
use super::endpoint::{Endpoint, Transport};
use crate::aws::causes;
use crate::error::{ExitCode, Failure};

/// The limit on one answer, in seconds; a push has its own.
const ANSWER_TIMEOUT: u64 = 60;
/// The limit on one look at whether the daemon is there.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What is between us and the daemon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Nobody listens.
    #[error("connection refused")]
    Refused,
    /// The unix socket does not exist.
    #[error("the socket does not exist")]
    NoSocket,
    /// The unix socket may not be used.
    #[error("permission denied on the socket")]
    PermissionDenied,
    /// The host name has no address.
    #[error("no such host")]
    NoSuchHost,
    /// No answer in time.
    #[error("no answer")]
    NoAnswer,
    /// We speak HTTP, the daemon TLS.
    #[error("the daemon wants TLS and was asked without it")]
    TlsExpected,
    /// We speak TLS, the daemon HTTP.
    #[error("the daemon was asked with TLS and speaks plain HTTP")]
    TlsUnexpected,
    /// A certificate was not accepted, by us or by the daemon.
    #[error("TLS failed: {0}")]
    Certificate(String),
    /// The machine's own root certificates cannot be read.
    #[error("this machine's root certificates cannot be read: {0}")]
    Roots(String),
    /// The client's certificate files are not (yet) there.
    #[error("{} does not exist", .0.display())]
    NoCertificates(PathBuf),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Obstacle {
    /// Whether a daemon that is still starting looks like this.
    fn may_pass(&self, transport: &Transport) -> bool {
        match self {
            Self::Refused
            | Self::NoSocket
            | Self::NoSuchHost
            | Self::NoAnswer
            | Self::NoCertificates(_) => true,
            Self::PermissionDenied
            | Self::TlsExpected
            | Self::TlsUnexpected
            | Self::Certificate(_)
            | Self::Roots(_) => false,
            // A proxy in front of a starting daemon resets connections; ssh fails for reasons that stay.
            Self::Other(_) => !matches!(transport, Transport::Ssh { .. }),
        }
    }
}

/// No daemon.
#[derive(Debug, thiserror::Error)]
#[error("no Docker daemon at {endpoint} after {} s: {obstacle}", waited.as_secs())]
pub struct ConnectError {
    /// Where it was looked for.
    pub endpoint: Endpoint,
    /// What was in the way, at the last attempt.
    pub obstacle: Obstacle,
    /// How long was waited.
    pub waited: Duration,
}

impl Failure for ConnectError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::NoDaemon
    }

    fn hint(&self) -> Option<String> {
        let text = match &self.obstacle {
            Obstacle::Refused | Obstacle::NoSocket | Obstacle::NoAnswer => {
                match &self.endpoint.transport {
                    Transport::Tls { .. } | Transport::Tcp(_) => {
                        "is 'docker:dind' among the job's services, and does its log show that it came up? Its port is \
                     2376 with TLS and 2375 without; --daemon-timeout allows for a slow start"
                    }
                    _ => "start the daemon, or mount its socket into the job's container",
                }
            }
            Obstacle::PermissionDenied => "run the job as a user of the socket's group, or as root",
            Obstacle::NoSuchHost => {
                "the host 'docker' exists only in a job with a 'docker:dind' service; an 'alias' changes its name, and \
                 on the Kubernetes executor it is 'localhost'"
            }
            Obstacle::TlsExpected => {
                "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH=/certs/client (with DOCKER_TLS_CERTDIR=/certs for the \
                 service), or use tcp://docker:2375 with DOCKER_TLS_CERTDIR blank"
            }
            Obstacle::TlsUnexpected => {
                "blank DOCKER_TLS_VERIFY for a daemon without TLS (port 2375), or use port 2376"
            }
            Obstacle::Certificate(_) => {
                "DOCKER_CERT_PATH must hold the ca.pem, cert.pem and key.pem that belong to this daemon"
            }
            Obstacle::Roots(_) => {
                "mend what SSL_CERT_FILE or SSL_CERT_DIR name, or the system's /etc/ssl/certs"
            }
            Obstacle::NoCertificates(_) => {
                "docker:dind writes them when the service and the job share the /certs/client volume and \
                 DOCKER_TLS_CERTDIR is /certs for both"
            }
            Obstacle::Other(_) if matches!(self.endpoint.transport, Transport::Ssh { .. }) => {
                "'ssh HOST docker version' must work without a question: key, known_hosts, and docker on the other side"
            }
            Obstacle::Other(_) => "check DOCKER_HOST and the daemon's log",
        };
        Some(text.to_owned())
    }
}

/// Connects to `endpoint`, waiting at most `patience` for a daemon that is not up yet. `tell_wait` is called once,
/// when the wait begins.
///
/// # Errors
/// [`ConnectError`], with the last obstacle.
pub async fn connect(
    endpoint: Endpoint,
    patience: Duration,
    tell_wait: impl Fn(&Endpoint, &Obstacle),
) -> Result<Daemon, ConnectError> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let obstacle = match attempt(&endpoint.transport).await {
            Ok((docker, is_podman)) => return Ok(Daemon::new(docker, endpoint, is_podman)),
            Err(obstacle) => obstacle,
        };
        let waited = start.elapsed();
        if !obstacle.may_pass(&endpoint.transport) || waited + pause > patience {
            return Err(ConnectError {
                endpoint,
                obstacle,
                waited,
            });
        }
        if !told {
            tell_wait(&endpoint, &obstacle);
            told = true;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Podman calls its first component so; Docker calls it "Engine" (`SystemVersion`, Docker Engine API).
fn is_podman(version: &SystemVersion) -> bool {
    version
        .components
        .iter()
        .flatten()
        .any(|component| component.name.starts_with("Podman"))
}

/// A client that was answered, and whether it was podman that answered.
async fn attempt(transport: &Transport) -> Result<(Docker, bool), Obstacle> {
    let docker = client(transport)?;
    // ssh needs longer than a socket to be there: its own limits apply.
    let limit = match transport {
        Transport::Ssh { .. } => Duration::from_secs(ANSWER_TIMEOUT),
        _ => LOOK_TIMEOUT,
    };
    match tokio::time::timeout(limit, docker.version()).await {
        Ok(Ok(version)) => Ok((docker, is_podman(&version))),
        Ok(Err(error)) => Err(obstacle(&error)),
        Err(_) => Err(Obstacle::NoAnswer),
    }
}

fn client(transport: &Transport) -> Result<Docker, Obstacle> {
    match transport {
        Transport::Unix(path) => Docker::connect_with_unix(
            &format!("unix://{}", path.display()),
            ANSWER_TIMEOUT,
            API_DEFAULT_VERSION,
        ),
        Transport::Tcp(address) => Docker::connect_with_http(
            &format!("tcp://{address}"),
            ANSWER_TIMEOUT,
            API_DEFAULT_VERSION,
        ),
        Transport::Tls {
            address,
            certificates,
        } => {
            let file = |name| certificates.join(name);
            let (key, cert, ca) = (file("key.pem"), file("cert.pem"), file("ca.pem"));
            // A server may ask for no client certificate; one half of it is one that is still being written.
            let missing = match (ca.exists(), cert.exists(), key.exists()) {
                (false, _, _) => Some(&ca),
                (true, false, true) => Some(&cert),
                (true, true, false) => Some(&key),
                _ => None,
            };
            if let Some(missing) = missing {
                return Err(Obstacle::NoCertificates(missing.clone()));
            }
            Docker::connect_with_ssl(
                &format!("tcp://{address}"),
                &key,
                &cert,
                &ca,
                ANSWER_TIMEOUT,
                API_DEFAULT_VERSION,
            )
        }
        Transport::Ssh { target, .. } => target.client(ANSWER_TIMEOUT, API_DEFAULT_VERSION),
    }
    .map_err(|error| obstacle(&error))
}

fn obstacle(error: &BollardError) -> Obstacle {
    if let BollardError::DockerResponseServerError { message, .. } = error
        && message.contains("HTTP request to an HTTPS server")
    {
        return Obstacle::TlsExpected;
    }
    match error {
        BollardError::RequestTimeoutError => return Obstacle::NoAnswer,
        BollardError::SocketNotFoundError(_) => return Obstacle::NoSocket,
        BollardError::LoadNativeCertsErrors { errors } => {
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            return Obstacle::Roots(texts.join("; "));
        }
        BollardError::NoNativeCertsError { err } => return Obstacle::Roots(err.to_string()),
        _ => {}
    }
    let text = causes(error);
    let says = |sign: &str| text.contains(sign);
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => return Obstacle::Refused,
        Some(io::ErrorKind::PermissionDenied) => return Obstacle::PermissionDenied,
        Some(io::ErrorKind::NotFound) => return Obstacle::NoSocket,
        Some(io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable) => {
            return Obstacle::NoAnswer;
        }
        _ => {}
    }
    if says("dns error") || says("failed to lookup address") {
        Obstacle::NoSuchHost
    } else if says("InvalidContentType") || says("corrupt message") {
        Obstacle::TlsUnexpected
    } else if says("invalid peer certificate") || says("fatal alert") || says("certificate") {
        Obstacle::Certificate(text)
    } else if says("invalid HTTP version") {
        Obstacle::TlsExpected
    } else {
        Obstacle::Other(text)
    }
}

/// The kind of the innermost input/output error.
fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut kind = None;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            kind = Some(error.kind());
        }
        next = error.source();
    }
    kind
}
