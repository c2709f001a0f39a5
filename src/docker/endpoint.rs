//! Which daemon: found as the docker CLI finds it, without asking it anything yet.
//!
//! Order: `DOCKER_HOST`, `DOCKER_CONTEXT`, the config file's `currentContext`, then the sockets that are there.
//! Source: `resolveContextName` and `withEnvTLSConfig` of the docker CLI; "Docker contexts" for the store.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ssh::SshTarget;
use crate::environment::Environment;
use crate::error::{ExitCode, Failure};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// How the daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A unix socket.
    Unix(PathBuf),
    /// Plain HTTP over TCP; `HOST:PORT`.
    Tcp(String),
    /// HTTPS over TCP with a client certificate.
    Tls {
        /// `HOST:PORT`.
        address: String,
        /// The folder with `ca.pem`, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
    /// `docker system dial-stdio` at the other end of an ssh connection.
    Ssh {
        /// The URL as it was given.
        url: String,
        /// What ssh is called with.
        target: SshTarget,
    },
}

/// A daemon's address and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to reach it.
    pub transport: Transport,
    /// The variable, file or rule that it comes from, for messages.
    pub named_by: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Transport::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Transport::Tcp(address) => write!(formatter, "tcp://{address}"),
            Transport::Tls { address, .. } => write!(formatter, "tcp://{address} with TLS"),
            Transport::Ssh { url, .. } => formatter.write_str(url),
        }?;
        write!(formatter, " (from {})", self.named_by)
    }
}

/// What is wrong with the settings that name a daemon.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// A URL of a kind that is not supported.
    #[error("'{url}' from {named_by} is not a Docker endpoint")]
    Malformed {
        /// The URL.
        url: String,
        /// Where it comes from.
        named_by: String,
    },
    /// A context that is not in the store.
    #[error("docker context '{name}' from {named_by} does not exist: {reason}")]
    NoContext {
        /// The context.
        name: String,
        /// Where it was named.
        named_by: String,
        /// What was missing.
        reason: String,
    },
    /// TLS without verification.
    #[error("docker context '{name}' skips TLS verification, which crossdock does not do")]
    UnverifiedTls {
        /// The context.
        name: String,
    },
}

impl Failure for EndpointError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Settings
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Malformed { .. } => {
                "give unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST".to_owned()
            }
            Self::NoContext { .. } => {
                "'docker context ls' lists the contexts; DOCKER_HOST comes before them".to_owned()
            }
            Self::UnverifiedTls { .. } => {
                "give the context the CA that signed the daemon's certificate".to_owned()
            }
        })
    }
}

/// What names a daemon, gathered from the environment and the config file.
#[derive(Clone, Debug)]
pub struct EndpointSettings<'a> {
    /// The process environment.
    pub environment: &'a Environment,
    /// Docker's config folder, where contexts are kept.
    pub config_dir: &'a Path,
    /// `currentContext` of the config file.
    pub current_context: Option<&'a str>,
}

/// The daemon that the docker CLI would use; `None` where none is configured and no socket is there.
///
/// # Errors
/// [`EndpointError`]: a daemon is configured, in a way that cannot work.
pub fn find(settings: &EndpointSettings<'_>) -> Result<Option<Endpoint>, EndpointError> {
    let environment = settings.environment;
    if let Some(url) = environment.get("DOCKER_HOST") {
        return from_docker_host(url, settings).map(Some);
    }
    let context = match environment.get("DOCKER_CONTEXT") {
        Some(name) => Some((name, "DOCKER_CONTEXT")),
        None => settings
            .current_context
            .map(|name| (name, "currentContext in config.json")),
    };
    if let Some((name, named_by)) = context.filter(|(name, _)| !matches!(*name, "" | "default")) {
        return from_context(name, named_by, settings.config_dir).map(Some);
    }
    Ok(sockets(environment)
        .into_iter()
        .find(|(path, _)| path.exists())
        .map(|(path, named_by)| Endpoint {
            transport: Transport::Unix(path),
            named_by: named_by.to_owned(),
        }))
}

/// The sockets that daemons of this machine listen on, the docker CLI's own first.
fn sockets(environment: &Environment) -> Vec<(PathBuf, &'static str)> {
    let mut sockets = vec![(PathBuf::from(DEFAULT_SOCKET), "the default socket")];
    if let Some(runtime_dir) = environment.get("XDG_RUNTIME_DIR") {
        let in_runtime_dir = |name| Path::new(runtime_dir).join(name);
        sockets.push((in_runtime_dir("docker.sock"), "rootless Docker's socket"));
        sockets.push((
            in_runtime_dir("podman/podman.sock"),
            "rootless Podman's socket",
        ));
    }
    sockets.push((PathBuf::from(PODMAN_SOCKET), "Podman's socket"));
    sockets
}

fn from_docker_host(url: &str, settings: &EndpointSettings<'_>) -> Result<Endpoint, EndpointError> {
    let environment = settings.environment;
    let named_by = "DOCKER_HOST";
    // Any value turns TLS on, also "0": the docker CLI reads it so.
    let certificates = environment.get("DOCKER_TLS_VERIFY").map(|_| {
        environment
            .get("DOCKER_CERT_PATH")
            .map_or_else(|| settings.config_dir.to_owned(), PathBuf::from)
    });
    Ok(Endpoint {
        transport: transport(url, certificates).ok_or_else(|| EndpointError::Malformed {
            url: without_password(url),
            named_by: named_by.to_owned(),
        })?,
        named_by: named_by.to_owned(),
    })
}

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://...@{host}"),
        _ => url.to_owned(),
    }
}

fn transport(url: &str, certificates: Option<PathBuf>) -> Option<Transport> {
    // The docker CLI takes a bare address for TCP, and TCP without an address for this machine.
    let (scheme, rest) = match url.split_once("://") {
        Some(("tcp", "")) => ("tcp", "localhost"),
        Some(("unix", "")) => ("unix", DEFAULT_SOCKET),
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => ("tcp", url),
    };
    match scheme {
        "unix" => Some(Transport::Unix(PathBuf::from(rest))),
        "ssh" => SshTarget::parse(url).map(|target| Transport::Ssh {
            url: url.to_owned(),
            target,
        }),
        "tcp" => {
            let address = rest.trim_end_matches('/');
            if address.is_empty() || address.contains(['/', '@']) {
                return None;
            }
            let address = &match address.strip_prefix(':') {
                Some(port) => format!("localhost:{port}"),
                None => address.to_owned(),
            };
            let with_port = |port| match address.rsplit_once(':') {
                Some((_, given)) if given.parse::<u16>().is_ok() => address.to_owned(),
                _ => format!("{address}:{port}"),
            };
            Some(match certificates {
                Some(certificates) => Transport::Tls {
                    address: with_port(TLS_PORT),
                    certificates,
                },
                None => Transport::Tcp(with_port(PLAIN_PORT)),
            })
        }
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMetadata {
    #[serde(default)]
    endpoints: ContextEndpoints,
}

#[derive(Default, Deserialize)]
struct ContextEndpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

fn from_context(name: &str, named_by: &str, config_dir: &Path) -> Result<Endpoint, EndpointError> {
    let missing = |reason: String| EndpointError::NoContext {
        name: name.to_owned(),
        named_by: named_by.to_owned(),
        reason,
    };
    let id = hex::encode(Sha256::digest(name.as_bytes()));
    let store = config_dir.join("contexts");
    let path = store.join("meta").join(&id).join("meta.json");
    let bytes =
        std::fs::read(&path).map_err(|error| missing(format!("{}: {error}", path.display())))?;
    let metadata: ContextMetadata = serde_json::from_slice(&bytes)
        .map_err(|error| missing(format!("{}: {error}", path.display())))?;
    let endpoint = metadata
        .endpoints
        .docker
        .ok_or_else(|| missing(format!("{} has no docker endpoint", path.display())))?;
    if endpoint.skip_tls_verify {
        return Err(EndpointError::UnverifiedTls {
            name: name.to_owned(),
        });
    }
    let certificates = store.join("tls").join(&id).join("docker");
    let named_by = format!("docker context '{name}' of {named_by}");
    let transport = transport(
        &endpoint.host,
        certificates.exists().then_some(certificates),
    )
    .ok_or_else(|| EndpointError::Malformed {
        url: without_password(&endpoint.host),
        named_by: named_by.clone(),
    })?;
    Ok(Endpoint {
        transport,
        named_by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker_host<const N: usize>(variables: [(&str, &str); N]) -> Option<Transport> {
        find(&EndpointSettings {
            environment: &Environment::from(variables),
            config_dir: Path::new("/home/u/.docker"),
            current_context: None,
        })
        .ok()
        .flatten()
        .map(|endpoint| endpoint.transport)
    }

    #[test]
    fn docker_host_in_every_form() {
        let tls = |address: &str, certificates: &str| Transport::Tls {
            address: address.to_owned(),
            certificates: certificates.into(),
        };
        for (host, verify, certificates, expected) in [
            (
                "unix:///x/y.sock",
                "",
                "",
                Transport::Unix("/x/y.sock".into()),
            ),
            (
                "unix:///x/y.sock",
                "1",
                "/c",
                Transport::Unix("/x/y.sock".into()),
            ),
            ("tcp://docker", "", "", Transport::Tcp("docker:2375".into())),
            (
                "tcp://docker:2376",
                "",
                "/c",
                Transport::Tcp("docker:2376".into()),
            ),
            ("tcp://docker:1/", "", "", Transport::Tcp("docker:1".into())),
            (
                "tcp://docker",
                "1",
                "/certs/client",
                tls("docker:2376", "/certs/client"),
            ),
            (
                "tcp://docker:2376",
                "0",
                "",
                tls("docker:2376", "/home/u/.docker"),
            ),
            ("docker:1", "", "", Transport::Tcp("docker:1".into())),
            ("tcp://", "", "", Transport::Tcp("localhost:2375".into())),
            ("tcp://:1", "", "", Transport::Tcp("localhost:1".into())),
            ("unix://", "", "", Transport::Unix(DEFAULT_SOCKET.into())),
            (
                "ssh://me@far",
                "",
                "",
                Transport::Ssh {
                    url: "ssh://me@far".to_owned(),
                    target: SshTarget::parse("ssh://me@far").unwrap(),
                },
            ),
        ] {
            assert_eq!(
                docker_host([
                    ("DOCKER_HOST", host),
                    ("DOCKER_TLS_VERIFY", verify),
                    ("DOCKER_CERT_PATH", certificates)
                ]),
                Some(expected),
                "{host} {verify} {certificates}"
            );
        }
        for host in [
            "tcp://user:password@docker:2375",
            "http://docker:2375",
            "https://docker:2376",
            "fd://",
            "npipe:////./pipe/x",
            "tcp://a/b",
        ] {
            assert_eq!(docker_host([("DOCKER_HOST", host)]), None, "{host}");
        }
    }

    #[test]
    fn contexts_come_from_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, json: &str| {
            let id = hex::encode(Sha256::digest(name.as_bytes()));
            let meta = dir.path().join("contexts/meta").join(id);
            std::fs::create_dir_all(&meta).unwrap();
            std::fs::write(meta.join("meta.json"), json).unwrap();
        };
        write(
            "far",
            r#"{"Name":"far","Endpoints":{"docker":{"Host":"tcp://far:2375"}}}"#,
        );
        write(
            "lax",
            r#"{"Name":"lax","Endpoints":{"docker":{"Host":"tcp://lax:2376","SkipTLSVerify":true}}}"#,
        );
        let find = |variables: &[(&str, &str)], current| {
            find(&EndpointSettings {
                environment: &variables
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                config_dir: dir.path(),
                current_context: current,
            })
        };
        let far = Transport::Tcp("far:2375".to_owned());
        assert_eq!(find(&[], Some("far")).unwrap().unwrap().transport, far);
        assert_eq!(
            find(&[("DOCKER_CONTEXT", "far")], Some("lax"))
                .unwrap()
                .unwrap()
                .transport,
            far
        );
        assert_eq!(
            find(
                &[("DOCKER_CONTEXT", "gone"), ("DOCKER_HOST", "unix:///s")],
                None
            )
            .unwrap()
            .unwrap()
            .transport,
            Transport::Unix("/s".into())
        );
        for name in ["gone", "lax"] {
            assert!(find(&[], Some(name)).is_err(), "{name}");
        }
    }
}
