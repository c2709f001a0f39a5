//! `crossdock logout`: take out what `login` stored, and nothing else. Safe to run twice.

use crate::console::Console;
use crate::docker::login_store::{self, Forgotten};
use crate::ecr::host::{RegistryHost, RegistrySelector};
use crate::error::Result;
use crate::settings::LogoutSettings;

/// Runs the command.
///
/// # Errors
/// A file or helper of Docker's is at fault.
pub async fn run(settings: &LogoutSettings, console: &Console) -> Result<()> {
    let chosen = |host: &str| {
        settings.registries.is_empty()
            || settings
                .registries
                .iter()
                .any(|selector| is_selected(selector, host))
    };
    let outcomes = login_store::forget(&settings.config_dir, chosen).await?;
    if outcomes.is_empty() {
        let of = if settings.registries.is_empty() {
            ""
        } else {
            " to these registries"
        };
        console.note(format!(
            "no login of crossdock's{of} in {}",
            settings.config_dir.display()
        ));
    }
    let mut failure = None;
    for (host, outcome) in outcomes {
        match outcome {
            Ok(Forgotten::Removed) => console.note(format!("logged out of {host}")),
            Ok(Forgotten::Gone) => console.note(format!("the login to {host} was gone already")),
            Ok(Forgotten::Replaced) => console.note(format!(
                "left the login to {host}: it was replaced since by another program"
            )),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

fn is_selected(selector: &RegistrySelector, host: &str) -> bool {
    match selector {
        RegistrySelector::Host(chosen) => chosen.as_str() == host,
        RegistrySelector::Account(account) => host
            .parse::<RegistryHost>()
            .is_ok_and(|host| host.account() == Some(account)),
    }
}
