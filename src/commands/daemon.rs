//! The daemon for `login` and `push`: found, waited for, and talked about.

use crate::console::Console;
use crate::docker::config_file::ConfigFile;
use crate::docker::connect;
use crate::docker::daemon::Daemon;
use crate::docker::endpoint::{self, Endpoint, EndpointSettings};
use crate::environment::Environment;
use crate::error::{ExitCode, Failure, Result};
use crate::settings::DockerSettings;

/// A daemon is needed, and none is configured.
#[derive(Debug, thiserror::Error)]
#[error("no Docker daemon is configured and no socket is there")]
struct NoDaemon;

impl Failure for NoDaemon {
    fn exit_code(&self) -> ExitCode {
        ExitCode::NoDaemon
    }

    fn hint(&self) -> Option<String> {
        Some(
            "set DOCKER_HOST (tcp://docker:2376 with a 'docker:dind' service), mount /var/run/docker.sock, or, for \
             login alone, use '--verify registry'"
                .to_owned(),
        )
    }
}

/// The daemon that the docker CLI would use; `None` where there is none.
pub(super) fn find(
    settings: &DockerSettings,
    environment: &Environment,
    console: &Console,
) -> Result<Option<Endpoint>> {
    // Like the docker CLI, `push` does without the file where its context does not matter.
    let named = environment.first(&["DOCKER_HOST", "DOCKER_CONTEXT"]);
    let context = match named {
        Some(_) => None,
        None => ConfigFile::read(&settings.config_dir)?.current_context()?,
    };
    let found = endpoint::find(&EndpointSettings {
        environment,
        config_dir: &settings.config_dir,
        current_context: context.as_deref(),
    })?;
    if let Some(endpoint) = &found {
        console.detail(format!("Docker daemon: {endpoint}"));
    }
    Ok(found)
}

/// The same, where it cannot be done without.
pub(super) fn require(
    settings: &DockerSettings,
    environment: &Environment,
    console: &Console,
) -> Result<Endpoint> {
    Ok(find(settings, environment, console)?.ok_or(NoDaemon)?)
}

/// Connects to `endpoint` and says so when it has to wait.
pub(super) async fn connect(
    endpoint: Endpoint,
    settings: &DockerSettings,
    console: &Console,
) -> Result<Daemon> {
    let patience = settings.daemon_timeout;
    let daemon = connect::connect(endpoint, patience, |endpoint, obstacle| {
        console.note(format!(
            "waiting up to {} s for the Docker daemon at {endpoint}: {obstacle}",
            patience.as_secs()
        ));
    })
    .await?;
    console.trace(format!(
        "the Docker daemon at {} answers",
        daemon.endpoint()
    ));
    Ok(daemon)
}
