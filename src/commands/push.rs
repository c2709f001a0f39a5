//! `crossdock push`: the login in memory, then tag and push through the daemon.

use std::time::Instant;

use serde_json::{Value, json};

use super::daemon;
use super::registries::Registry;
use super::session::{self, Session, timestamp};
use crate::account::AccountId;
use crate::console::Console;
use crate::docker::daemon::{Daemon, LocalImage};
use crate::docker::endpoint::Endpoint;
use crate::ecr::host::{RegistryHost, RegistrySelector};
use crate::ecr::repository::Tag;
use crate::environment::Environment;
use crate::error::{Failure, Result};
use crate::progress::Progress;
use crate::push::outcome::{PushFailures, ReferenceOutcome, Status, TargetOutcome};
use crate::push::plan::{self, Plan};
use crate::push::run::{Push, Target};
use crate::secret::redact;
use crate::settings::PushSettings;

/// Runs the command.
///
/// # Errors
/// Any room's. After a partial failure the references that were pushed have been printed.
pub async fn run(
    settings: &PushSettings,
    environment: &Environment,
    console: &Console,
) -> Result<()> {
    let start = Instant::now();
    let plan = plan::plan(&settings.image, settings.to.as_ref(), &settings.tags)?;
    let selectors = selectors(settings);
    let endpoint = daemon::require(&settings.docker, environment, console)?;
    let (session, (daemon, local)) = tokio::try_join!(
        session::open(&settings.identity, &selectors, environment, console),
        find_image(endpoint, settings, console)
    )?;
    let prepared = start.elapsed();
    if settings.dry_run {
        print_plan(settings, &session, &plan, &local, console);
        return Ok(());
    }
    let targets: Vec<Target> = session
        .registries
        .iter()
        .map(|registry| Target {
            login: registry.login.clone(),
            client: registry.client(),
            account: registry.account.clone(),
            region: registry.region.clone(),
        })
        .collect();
    let progress = Progress::new(console);
    let outcomes = Push {
        daemon: &daemon,
        image: settings.image.as_str(),
        local: &local,
        plan: &plan,
        idle_timeout: settings.idle_timeout,
        progress: &progress,
    }
    .run(&targets)
    .await;

    if settings.json {
        let document = json!({
            "image": settings.image.as_str(),
            "image_id": local.id,
            "identity": session.identity.to_json(),
            "targets": targets_json(&session.registries, &plan, &outcomes),
            "seconds": {
                "prepare": seconds(prepared),
                "total": seconds(start.elapsed()),
            },
        });
        console.result(format!("{document:#}"));
    } else {
        for line in outcomes
            .iter()
            .flat_map(|target| &target.references)
            .filter_map(line)
        {
            console.result(line);
        }
    }
    match PushFailures::among(&outcomes) {
        Some(failures) => Err(failures.into()),
        None => Ok(()),
    }
}

/// What `--registry` says, else the ECR registry that the image's own name begins with.
fn selectors(settings: &PushSettings) -> Vec<RegistrySelector> {
    if !settings.registries.is_empty() {
        return settings.registries.clone();
    }
    settings
        .image
        .host()
        .and_then(|host| host.parse::<RegistryHost>().ok())
        .filter(|host| host.account().is_some())
        .map(RegistrySelector::Host)
        .into_iter()
        .collect()
}

async fn find_image(
    endpoint: Endpoint,
    settings: &PushSettings,
    console: &Console,
) -> Result<(Daemon, LocalImage)> {
    let daemon = daemon::connect(endpoint, &settings.docker, console).await?;
    let local = daemon.inspect(settings.image.as_str()).await?;
    console.detail(format!("'{}' is {}", settings.image, local.id));
    Ok((daemon, local))
}

fn line(outcome: &ReferenceOutcome) -> Option<String> {
    let held = outcome.result.as_ref().ok()?;
    Some(format!("{}@{}", outcome.reference, held.digest))
}

fn print_plan(
    settings: &PushSettings,
    session: &Session,
    plan: &Plan,
    local: &LocalImage,
    console: &Console,
) {
    console.note(format!(
        "dry run: '{}' ({}) would be pushed; nothing was tagged, stored or pushed",
        settings.image, local.id
    ));
    if !settings.json {
        for registry in &session.registries {
            for tag in &plan.tags {
                console.result(plan.reference(&registry.login.host, tag.as_str()));
            }
        }
        return;
    }
    let targets: Vec<_> = session
        .registries
        .iter()
        .map(|registry| {
            let references: Vec<_> = plan
                .tags
                .iter()
                .map(|tag| {
                    json!({
                        "reference": plan.reference(&registry.login.host, tag.as_str()),
                        "tag": tag.as_str(),
                        "status": "planned",
                    })
                })
                .collect();
            let tags: Vec<_> = plan.tags.iter().map(Tag::as_str).collect();
            let mut target = target_json(registry, plan);
            target["tags"] = json!(tags);
            target["references"] = json!(references);
            target
        })
        .collect();
    console.result(format!(
        "{:#}",
        json!({
            "dry_run": true,
            "image": settings.image.as_str(),
            "image_id": local.id,
            "identity": session.identity.to_json(),
            "targets": targets,
        })
    ));
}

fn target_json(registry: &Registry, plan: &Plan) -> Value {
    json!({
        "registry": registry.login.host,
        "account": registry.account.as_ref().map(AccountId::as_str),
        "region": registry.region,
        "repository": plan.repository.as_str(),
        "token_expires_at": registry.expires_at.map(timestamp),
    })
}

fn targets_json(registries: &[Registry], plan: &Plan, outcomes: &[TargetOutcome]) -> Vec<Value> {
    registries
        .iter()
        .zip(outcomes)
        .map(|(registry, outcome)| {
            let held: Vec<_> = outcome
                .references
                .iter()
                .filter_map(|reference| Some((&reference.tag, reference.result.as_ref().ok()?)))
                .collect();
            let first = held.first().map(|(_, held)| held);
            let tags: Vec<_> = held.iter().map(|(tag, _)| tag).collect();
            let references: Vec<_> = outcome.references.iter().map(reference_json).collect();
            let mut target = target_json(registry, plan);
            target["digest"] = json!(first.map(|held| &held.digest));
            target["size"] = json!(first.and_then(|held| held.size));
            target["tags"] = json!(tags);
            target["references"] = json!(references);
            target["seconds"] = seconds(outcome.took);
            target
        })
        .collect()
}

fn reference_json(outcome: &ReferenceOutcome) -> Value {
    let mut reference = json!({ "reference": outcome.reference, "tag": outcome.tag });
    match &outcome.result {
        Ok(held) => {
            reference["status"] = json!(match held.status {
                Status::Pushed => "pushed",
                Status::Unchanged => "unchanged",
            });
            reference["digest"] = json!(held.digest);
            reference["size"] = json!(held.size);
        }
        Err(error) => {
            reference["status"] = json!("failed");
            reference["error"] = json!(redact(&error.to_string()));
            reference["exit_code"] = json!(error.exit_code() as u8);
            reference["hint"] = json!(error.hint().map(|hint| redact(&hint).into_owned()));
        }
    }
    reference["seconds"] = seconds(outcome.took);
    reference
}

/// Milliseconds are as fine as a job can use.
fn seconds(duration: std::time::Duration) -> Value {
    json!(f64::round(duration.as_secs_f64() * 1000.0) / 1000.0)
}
