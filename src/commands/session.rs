//! What `login` and `push` begin with: become the identity, check the account, fetch the tokens.
//!
//! Calls that do not need each other's answers go out together.

use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};

use super::registries::{Registry, registries, tokens};
use crate::account::AccountId;
use crate::aws::Aws;
use crate::console::Console;
use crate::ecr::host::RegistrySelector;
use crate::environment::Environment;
use crate::error::{ExitCode, Failure, Result};
use crate::identity::arn::account_of;
use crate::identity::role::{self, RoleRequest};
use crate::identity::source::{self, Source};
use crate::network::HttpClient;
use crate::settings::IdentitySettings;

/// Who we are in the target account.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The user's or session's ARN.
    pub(super) arn: String,
    /// Its account.
    pub(super) account: AccountId,
    /// When the session ends; none for long-lived keys.
    pub(super) expires_at: Option<SystemTime>,
}

impl Identity {
    /// The identity, as every `--output json` shows it.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "arn": self.arn,
            "account": self.account.as_str(),
            "expires_at": self.expires_at.map(timestamp),
        })
    }
}

/// Identity and registries.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) identity: Identity,
    pub(super) registries: Vec<Registry>,
}

/// What stands in the way between the identity and the registries.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(
        "no region: --region, AWS_REGION, AWS_DEFAULT_REGION and the profile's region are not set"
    )]
    NoRegion,
    #[error(
        "account {account} ({what}) is not among the allowed accounts ({}); nothing was stored or pushed",
        join(allowed)
    )]
    AccountNotAllowed {
        account: AccountId,
        what: String,
        allowed: Vec<AccountId>,
    },
    #[error(
        "cannot tell the account of {host}, and only some are allowed ({}); nothing was stored or pushed",
        join(allowed)
    )]
    AccountUnknown {
        host: String,
        allowed: Vec<AccountId>,
    },
}

fn join(accounts: &[AccountId]) -> String {
    let texts: Vec<_> = accounts.iter().map(AccountId::as_str).collect();
    texts.join(", ")
}

impl Failure for SessionError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoRegion => ExitCode::Settings,
            Self::AccountNotAllowed { .. } | Self::AccountUnknown { .. } => ExitCode::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRegion => Some(
                "set CROSSDOCK_REGION or AWS_REGION to the region of the registry, such as eu-central-1"
                    .to_owned(),
            ),
            Self::AccountNotAllowed { .. } => Some(
                "is this the role, profile or registry that was meant? If so, add its account with --allowed-account"
                    .to_owned(),
            ),
            Self::AccountUnknown { .. } => {
                Some("leave out --registry for the identity's own registry".to_owned())
            }
        }
    }
}

/// Becomes the identity and fetches a token for each region that `selectors` need.
pub(super) async fn open(
    settings: &IdentitySettings,
    selectors: &[RegistrySelector],
    environment: &Environment,
    console: &Console,
) -> Result<Session> {
    let http = HttpClient::new();
    let aws = Aws::new(http.clone(), settings.endpoints.clone());
    let source = source::resolve(
        settings.source,
        settings.profile.as_ref(),
        &settings.files,
        environment,
    )
    .await?;
    if environment.get("AWS_CA_BUNDLE").is_some() {
        console.warn("AWS_CA_BUNDLE is not read by crossdock: name the file in SSL_CERT_FILE, too");
    }
    if let Some(unused) = &source.unused {
        console.detail(unused);
    }
    let region = region(settings, selectors, &source).await?;
    let roles = roles(settings, &source);
    if let Some(target) = roles.last() {
        allow(settings, target.arn.account(), target.arn.as_str())?;
    }
    for account in selectors.iter().filter_map(RegistrySelector::account) {
        allow(settings, account, "a registry")?;
    }

    let mut keys = source.keys.clone();
    let mut identity = None;
    for request in &roles {
        console.trace(format!(
            "assuming {} as '{}' at STS in {region}",
            request.arn, request.session_name
        ));
        let session = role::assume(&aws, &region, &keys, request).await?;
        identity = Some(Identity {
            account: account_of(&session.arn).unwrap_or_else(|| request.arn.account().clone()),
            arn: session.arn,
            expires_at: Some(session.expires_at),
        });
        keys = session.keys;
    }
    let role = roles.last().map(|request| request.arn.as_str());
    let tokens = tokens(&aws, &keys, &region, selectors, role);
    let (identity, tokens) = if let Some(identity) = identity {
        // A server at AWS_ENDPOINT_URL could answer with another account's session.
        allow(settings, &identity.account, &identity.arn)?;
        tell(&identity, &source, role, console);
        (identity, tokens.await?)
    } else {
        let (caller, tokens) = tokio::join!(role::caller(&aws, &region, &keys), tokens);
        let caller = caller?;
        allow(settings, &caller.account, &caller.arn)?;
        let identity = Identity {
            arn: caller.arn,
            account: caller.account,
            expires_at: keys.expires_at,
        };
        tell(&identity, &source, role, console);
        (identity, tokens?)
    };
    let registries = registries(&identity.account, &region, selectors, &tokens, &http)?;
    for registry in &registries {
        allow_registry(settings, registry)?;
        warn_of_expiry(registry, console);
    }
    Ok(Session {
        identity,
        registries,
    })
}

/// `--region` and its variables, else that of the profile in use, else the registries' own, else the default profile's.
async fn region(
    settings: &IdentitySettings,
    selectors: &[RegistrySelector],
    source: &Source,
) -> Result<String> {
    if let Some(region) = &settings.region {
        return Ok(region.clone());
    }
    let of_host = selectors.iter().find_map(RegistrySelector::region);
    let of_host = of_host.map(str::to_owned);
    let of_profile = || source::profile_region(source.profile.as_deref(), &settings.files);
    let region = if source.profile.is_some() {
        of_profile().await?.or(of_host)
    } else if of_host.is_some() {
        of_host
    } else {
        of_profile().await?
    };
    region.ok_or_else(|| SessionError::NoRegion.into())
}

/// The profile's roles, then the target, which is not assumed twice if the profile leads to it already.
fn roles(settings: &IdentitySettings, source: &Source) -> Vec<RoleRequest> {
    let name = |own: Option<&String>| {
        settings
            .session_name
            .as_ref()
            .or(own)
            .unwrap_or(&settings.default_session_name)
            .clone()
    };
    let mut roles: Vec<_> = source
        .roles
        .iter()
        .map(|role| RoleRequest {
            arn: role.arn.clone(),
            external_id: role.external_id.clone(),
            session_name: name(role.session_name.as_ref()),
            duration: role.duration,
        })
        .collect();
    if let Some(arn) = &settings.role_arn {
        match roles.last_mut().filter(|last| last.arn == *arn) {
            Some(last) => {
                if settings.external_id.is_some() {
                    last.external_id.clone_from(&settings.external_id);
                }
            }
            None => roles.push(RoleRequest {
                arn: arn.clone(),
                external_id: settings.external_id.clone(),
                session_name: name(None),
                duration: None,
            }),
        }
    }
    if let (Some(last), Some(duration)) = (roles.last_mut(), settings.session_duration) {
        last.duration = Some(duration);
    }
    roles
}

fn allow(settings: &IdentitySettings, account: &AccountId, what: &str) -> Result<()> {
    let allowed = &settings.allowed_accounts;
    if allowed.is_empty() || allowed.contains(account) {
        return Ok(());
    }
    Err(SessionError::AccountNotAllowed {
        account: account.clone(),
        what: what.to_owned(),
        allowed: allowed.clone(),
    }
    .into())
}

fn allow_registry(settings: &IdentitySettings, registry: &Registry) -> Result<()> {
    match &registry.account {
        Some(account) => allow(settings, account, &registry.login.host),
        None if settings.allowed_accounts.is_empty() => Ok(()),
        None => Err(SessionError::AccountUnknown {
            host: registry.login.host.clone(),
            allowed: settings.allowed_accounts.clone(),
        }
        .into()),
    }
}

fn tell(identity: &Identity, source: &Source, role: Option<&str>, console: &Console) {
    let from = &source.description;
    match (role, identity.expires_at) {
        (Some(role), Some(until)) => console.note(format!(
            "assumed {role} with {from}: {} until {}",
            identity.arn,
            timestamp(until)
        )),
        _ => console.note(format!(
            "using {} from {from}, without a role",
            identity.arn
        )),
    }
}

/// Only the registry decides, so a token that says it has expired is tried all the same.
fn warn_of_expiry(registry: &Registry, console: &Console) {
    match registry.expires_at {
        Some(at) if at < SystemTime::now() => console.warn(format!(
            "the ECR token for {} says that it expired at {}; trying it all the same (is this machine's clock right?)",
            registry.login.host,
            timestamp(at)
        )),
        Some(at) => console.detail(format!(
            "the ECR token for {} is good until {}",
            registry.login.host,
            timestamp(at)
        )),
        None => {}
    }
}

/// `time` in UTC, to the second, as in `2026-11-21T18:00:00Z`.
pub(super) fn timestamp(time: SystemTime) -> String {
    let seconds = DateTime::from(time).secs();
    DateTime::from_secs(seconds)
        .fmt(Format::DateTime)
        .unwrap_or_else(|_| seconds.to_string())
}
