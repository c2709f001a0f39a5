//! `crossdock login`: assume, fetch the token, verify it, store the login where the docker CLI will look.

use futures_util::future::try_join_all;
use serde_json::json;

use super::daemon;
use super::registries::Registry;
use super::session::{self, Session, timestamp};
use crate::account::AccountId;
use crate::console::Console;
use crate::docker::daemon::{Daemon, RegistryLogin};
use crate::docker::endpoint::Endpoint;
use crate::docker::login_store::{self, Place, shadowed_hosts};
use crate::environment::Environment;
use crate::error::Result;
use crate::registry::client::RegistryClient;
use crate::settings::{LoginSettings, Verify};

/// Runs the command.
///
/// # Errors
/// Any room's; nothing has been stored then.
pub async fn run(
    settings: &LoginSettings,
    environment: &Environment,
    console: &Console,
) -> Result<()> {
    // What is wrong with the files that the login is to go into is told before anybody is asked.
    login_store::check(&settings.docker.config_dir)?;
    let endpoint = match settings.verify {
        Verify::Auto => daemon::find(&settings.docker, environment, console)?,
        Verify::Daemon => Some(daemon::require(&settings.docker, environment, console)?),
        Verify::Registry | Verify::Never => None,
    };
    if settings.verify == Verify::Auto && endpoint.is_none() {
        console
            .note("no Docker daemon here: the registry itself is asked whether the login is good");
    }
    let (session, daemon) = tokio::try_join!(
        session::open(
            &settings.identity,
            &settings.registries,
            environment,
            console
        ),
        connect_to(endpoint, settings, console)
    )?;
    let verified_by = verify(settings.verify, daemon.as_ref(), &session).await?;
    console.trace(format!("logins verified by: {verified_by}"));

    let logins: Vec<RegistryLogin> = session
        .registries
        .iter()
        .map(|registry| registry.login.clone())
        .collect();
    let (places, warning) = login_store::store(&settings.docker.config_dir, &logins).await?;
    if let Some(warning) = warning {
        console.warn(warning);
    }
    for (registry, place) in session.registries.iter().zip(&places) {
        let place = match place {
            Place::File(path) => path.display().to_string(),
            Place::Helper(name) => format!("docker-credential-{name}"),
        };
        let until = registry
            .expires_at
            .map_or_else(String::new, |at| format!(", good until {}", timestamp(at)));
        console.note(format!(
            "logged in to {} ({place}){until}",
            registry.login.host
        ));
    }
    warn_of_shadows(&session.registries, environment, console);
    print(settings, &session, verified_by, console);
    Ok(())
}

async fn connect_to(
    endpoint: Option<Endpoint>,
    settings: &LoginSettings,
    console: &Console,
) -> Result<Option<Daemon>> {
    match endpoint {
        Some(endpoint) => daemon::connect(endpoint, &settings.docker, console)
            .await
            .map(Some),
        None => Ok(None),
    }
}

/// Has every login checked, all at the same time; says by whom.
async fn verify(
    verify: Verify,
    daemon: Option<&Daemon>,
    session: &Session,
) -> Result<&'static str> {
    let registries = session.registries.iter();
    match daemon {
        Some(daemon) => {
            try_join_all(registries.map(|registry| daemon.verify(&registry.login))).await?;
            Ok("daemon")
        }
        None if verify == Verify::Never => Ok("never"),
        None => {
            let clients: Vec<_> = registries.map(Registry::client).collect();
            try_join_all(clients.iter().map(RegistryClient::verify)).await?;
            Ok("registry")
        }
    }
}

fn warn_of_shadows(registries: &[Registry], environment: &Environment, console: &Console) {
    let Some(auth_config) = environment.get("DOCKER_AUTH_CONFIG") else {
        return;
    };
    let hosts: Vec<_> = registries
        .iter()
        .map(|registry| registry.login.host.as_str())
        .collect();
    for host in shadowed_hosts(auth_config, &hosts) {
        console.warn(format!(
            "DOCKER_AUTH_CONFIG has a login for {host}, too, and the docker CLI (since 28.3) prefers it to this one; \
             take the entry out of that variable"
        ));
    }
}

fn print(settings: &LoginSettings, session: &Session, verified_by: &str, console: &Console) {
    if !settings.json {
        for registry in &session.registries {
            console.result(&registry.login.host);
        }
        return;
    }
    let registries: Vec<_> = session
        .registries
        .iter()
        .map(|registry| {
            json!({
                "registry": registry.login.host,
                "account": registry.account.as_ref().map(AccountId::as_str),
                "region": registry.region,
                "token_expires_at": registry.expires_at.map(timestamp),
            })
        })
        .collect();
    console.result(format!(
        "{:#}",
        json!({
            "identity": session.identity.to_json(),
            "verified_by": verified_by,
            "registries": registries,
        })
    ));
}
