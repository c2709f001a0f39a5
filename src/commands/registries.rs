//! The registries of a run: which are meant, which token each gets, and where no token goes.

use std::time::SystemTime;

use futures_util::future::try_join_all;

use crate::account::AccountId;
use crate::aws::Aws;
use crate::docker::daemon::RegistryLogin;
use crate::ecr::host::{RegistryHost, RegistrySelector};
use crate::ecr::token::{self, Token};
use crate::error::{ExitCode, Failure, Result};
use crate::identity::keys::Keys;
use crate::network::HttpClient;
use crate::registry::client::RegistryClient;

/// What is wrong with a registry that was named.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistriesError {
    #[error(
        "cannot tell the registry host of account {account}: ECR named {endpoint} for the identity's own account {own}"
    )]
    NoHostForAccount {
        account: AccountId,
        own: AccountId,
        endpoint: String,
    },
    #[error("ECR named a registry that is none: {0}")]
    BadEndpoint(String),
    #[error(
        "{host} is neither an Amazon ECR registry nor the one that ECR named ({own}): no token is sent there"
    )]
    NotEcr { host: String, own: String },
}

impl Failure for RegistriesError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoHostForAccount { .. } | Self::NotEcr { .. } => ExitCode::Settings,
            Self::BadEndpoint(_) => ExitCode::Unexpected,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoHostForAccount { .. } => {
                Some("give the registry's host with --registry HOST".to_owned())
            }
            Self::NotEcr { .. } => Some(
                "give an account id, or a host such as 012345678901.dkr.ecr.eu-central-1.amazonaws.com".to_owned(),
            ),
            Self::BadEndpoint(_) => None,
        }
    }
}

/// A registry that we hold a login for.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    /// User, password and host.
    pub(super) login: RegistryLogin,
    /// Its account: the host's, or the identity's for the registry that ECR named as its own.
    pub(super) account: Option<AccountId>,
    /// Its region.
    pub(super) region: String,
    /// When ECR says that the token ends.
    pub(super) expires_at: Option<SystemTime>,
    base_url: String,
    http: HttpClient,
}

impl Registry {
    /// A client of the registry itself.
    pub(super) fn client(&self) -> RegistryClient {
        RegistryClient::new(
            self.http.clone(),
            self.base_url.clone(),
            self.login.host.clone(),
            &self.login.username,
            &self.login.password,
        )
    }
}

/// A token for the region of each selector; for `default` where there is none, or where it names no region.
pub(super) async fn tokens(
    aws: &Aws,
    keys: &Keys,
    default: &str,
    selectors: &[RegistrySelector],
    role: Option<&str>,
) -> Result<Vec<(String, Token)>> {
    let mut regions: Vec<&str> = Vec::new();
    for selector in selectors {
        let region = selector.region().unwrap_or(default);
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    if regions.is_empty() {
        regions.push(default);
    }
    let fetched = regions.into_iter().map(|region| async move {
        let token = token::fetch(aws, region, keys.to_sdk(), role).await?;
        Ok((region.to_owned(), token))
    });
    try_join_all(fetched).await
}

/// The registries that are meant, each with the token of its region. A token goes to hosts of ECR's grammar, to the
/// host that ECR itself named, and to loopback; to nobody else.
pub(super) fn registries(
    own_account: &AccountId,
    default_region: &str,
    selectors: &[RegistrySelector],
    tokens: &[(String, Token)],
    http: &HttpClient,
) -> Result<Vec<Registry>> {
    let of_region = |region: &str| {
        let token = tokens.iter().find(|(of, _)| of == region);
        let (_, token) = token.ok_or_else(|| RegistriesError::BadEndpoint(region.to_owned()))?;
        Ok::<_, RegistriesError>((token, OwnRegistry::of(token)?))
    };
    let registry = |host: &RegistryHost, region: &str, token: &Token, own: &OwnRegistry| Registry {
        login: RegistryLogin {
            host: host.to_string(),
            username: token.username.clone(),
            password: token.password.clone(),
        },
        account: match host.account() {
            Some(account) => Some(account.clone()),
            None => (*host == own.host).then(|| own_account.clone()),
        },
        region: region.to_owned(),
        expires_at: token.expires_at,
        base_url: own.base_url(host),
        http: http.clone(),
    };
    if selectors.is_empty() {
        let (token, own) = of_region(default_region)?;
        return Ok(vec![registry(&own.host, default_region, token, &own)]);
    }
    let mut chosen: Vec<Registry> = Vec::new();
    for selector in selectors {
        let region = selector.region().unwrap_or(default_region);
        let (token, own) = of_region(region)?;
        let next = match selector {
            RegistrySelector::Host(host) => {
                if host.account().is_none() && !host.is_loopback() && *host != own.host {
                    return Err(RegistriesError::NotEcr {
                        host: host.to_string(),
                        own: own.host.to_string(),
                    }
                    .into());
                }
                registry(host, region, token, &own)
            }
            RegistrySelector::Account(account) => {
                let is_own = || (account == own_account).then(|| own.host.clone());
                let host = own.host.for_account(account).or_else(is_own);
                let host = host.ok_or_else(|| RegistriesError::NoHostForAccount {
                    account: account.clone(),
                    own: own_account.clone(),
                    endpoint: token.proxy_endpoint.clone(),
                })?;
                registry(&host, region, token, &own)
            }
        };
        // An account and its host may both have been named.
        let is_new = |other: &Registry| other.login.host != next.login.host;
        if chosen.iter().all(is_new) {
            chosen.push(next);
        }
    }
    Ok(chosen)
}

/// The registry that ECR names in a token.
struct OwnRegistry {
    scheme: String,
    host: RegistryHost,
}

impl OwnRegistry {
    fn of(token: &Token) -> std::result::Result<Self, RegistriesError> {
        let endpoint = &token.proxy_endpoint;
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", endpoint));
        let host = rest
            .trim_end_matches('/')
            .parse()
            .map_err(|_| RegistriesError::BadEndpoint(endpoint.clone()))?;
        Ok(Self {
            scheme: scheme.to_owned(),
            host,
        })
    }

    /// Plain HTTP is for loopback, where Docker allows it, too.
    fn base_url(&self, host: &RegistryHost) -> String {
        let scheme = match host.is_loopback() {
            true if *host == self.host => &self.scheme,
            true => "http",
            false => "https",
        };
        format!("{scheme}://{host}")
    }
}
