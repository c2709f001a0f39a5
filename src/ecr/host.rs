//! The grammar of registry hosts, and which hosts a token may be sent to.
//!
//! Source: "Amazon ECR endpoints and quotas", AWS General Reference, and the endpoint rules of the ECR SDK.

use std::fmt;
use std::str::FromStr;

use crate::account::AccountId;

/// The domains that a private registry's host ends in, one or more for each partition.
const DOMAINS: [&str; 9] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "on.aws",
    "on.amazonwebservices.com.cn",
    "sc2s.sgov.gov",
    "c2s.ic.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];

/// What only an ECR host has in its name; a host with one of these that is not of the grammar is a look-alike.
const MARKS: [&str; 5] = [
    ".dkr.ecr",
    ".dkr-ecr",
    "amazonaws",
    "public.ecr.",
    "ecr-public",
];

/// A registry, by the host (and port) that Docker knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryHost {
    host: String,
    ecr: Option<EcrParts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EcrParts {
    account: AccountId,
    region: String,
}

impl RegistryHost {
    /// The host, with its port if it has one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.host
    }

    /// The account that owns the registry, where the host tells it.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        self.ecr.as_ref().map(|ecr| &ecr.account)
    }

    /// The registry's region, where the host tells it.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.ecr.as_ref().map(|ecr| ecr.region.as_str())
    }

    /// The same kind of host for another account: registries of one region differ in nothing else.
    #[must_use]
    pub fn for_account(&self, account: &AccountId) -> Option<Self> {
        let ecr = self.ecr.as_ref()?;
        Some(Self {
            host: format!("{account}{}", &self.host[ecr.account.as_str().len()..]),
            ecr: Some(EcrParts {
                account: account.clone(),
                region: ecr.region.clone(),
            }),
        })
    }

    /// Whether Docker treats this host as local and lets it be plain HTTP (127.0.0.0/8, `localhost`, `::1`).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &self.host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost"
            || name
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.host)
    }
}

/// Why a text is no registry host that a token may go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a registry: {reason}")]
pub struct InvalidRegistry {
    text: String,
    reason: &'static str,
}

impl FromStr for RegistryHost {
    type Err = InvalidRegistry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidRegistry {
            text: text.to_owned(),
            reason,
        };
        if text.contains("://") || text.contains('/') {
            return Err(invalid("give the host alone, without scheme and path"));
        }
        if !is_host_and_port(text) {
            return Err(invalid(
                "it is neither a 12-digit account id nor a host name",
            ));
        }
        if !is_host_like(text) {
            return Err(invalid(
                "Docker takes a host without a dot or a port for a name on Docker Hub",
            ));
        }
        let host = text.to_ascii_lowercase();
        let ecr = ecr_parts(&host);
        if ecr.is_none() && MARKS.iter().any(|mark| host.contains(mark)) {
            return Err(invalid(
                "it looks like an Amazon ECR host and is none (ACCOUNT.dkr.ecr.REGION.amazonaws.com); \
                 no token is sent there",
            ));
        }
        Ok(Self { host, ecr })
    }
}

/// What `--registry` can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrySelector {
    /// The registry of an account, in the region of the token.
    Account(AccountId),
    /// A registry by its host.
    Host(RegistryHost),
}

impl RegistrySelector {
    /// The account, where the selector tells it.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Account(account) => Some(account),
            Self::Host(host) => host.account(),
        }
    }

    /// The region, where the selector tells it.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Account(_) => None,
            Self::Host(host) => host.region(),
        }
    }
}

impl FromStr for RegistrySelector {
    type Err = InvalidRegistry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(account) = text.parse() {
            return Ok(Self::Account(account));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidRegistry {
                text: text.to_owned(),
                reason: "an account id has exactly 12 digits; was it read as a number and lost its leading zeros?",
            });
        }
        if text == "public" {
            return Err(InvalidRegistry {
                text: text.to_owned(),
                reason: "Amazon ECR Public is not supported; give a private registry",
            });
        }
        text.parse().map(Self::Host)
    }
}

/// Docker takes the first part of a name for a host if it has a dot or a port, or is `localhost`.
pub(super) fn is_host_like(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

pub(super) fn is_host_and_port(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port_is_one = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let bracketed = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let name_is_one = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(is_label),
    };
    port_is_one && name_is_one && text.len() <= 255
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// `ACCOUNT.dkr.ecr[-fips].REGION.DOMAIN`, or `ACCOUNT.dkr-ecr[-fips].REGION.on.aws`.
fn ecr_parts(host: &str) -> Option<EcrParts> {
    let (account, rest) = host.split_once('.')?;
    let rest = rest
        .strip_prefix("dkr.ecr")
        .or_else(|| rest.strip_prefix("dkr-ecr"))?;
    let rest = rest.strip_prefix("-fips").unwrap_or(rest);
    let (region, domain) = rest.strip_prefix('.')?.split_once('.')?;
    let is_region = region
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && region.contains('-');
    (is_region && DOMAINS.contains(&domain)).then_some(())?;
    Some(EcrParts {
        account: account.parse().ok()?,
        region: region.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_hosts_of_every_partition() {
        for (host, account, region) in [
            (
                "012345678901.dkr.ecr.eu-central-1.amazonaws.com",
                "012345678901",
                "eu-central-1",
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "123456789012",
                "us-gov-west-1",
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                "123456789012",
                "cn-north-1",
            ),
            (
                "123456789012.dkr-ecr.us-west-2.on.aws",
                "123456789012",
                "us-west-2",
            ),
            (
                "123456789012.dkr-ecr-fips.us-west-2.on.aws",
                "123456789012",
                "us-west-2",
            ),
            (
                "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
                "123456789012",
                "eusc-de-east-1",
            ),
            (
                "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
                "123456789012",
                "us-iso-east-1",
            ),
        ] {
            let parsed: RegistryHost = host.parse().unwrap();
            assert_eq!(
                parsed.account().map(AccountId::as_str),
                Some(account),
                "{host}"
            );
            assert_eq!(parsed.region(), Some(region), "{host}");
        }
    }

    #[test]
    fn look_alikes_get_no_token() {
        for host in [
            "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.org",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com.",
            "123456789012.dkr.ecr.us-east-1.evil.org",
            "12345678901.dkr.ecr.us-east-1.amazonaws.com",
            "x123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com:443",
            "evil.org/123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "https://123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "user@123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "amazonaws.com",
            "public.ecr.aws.evil.org",
            "a b",
            "",
            "myregistry",
            "host:0",
            "host:http",
        ] {
            assert!(host.parse::<RegistryHost>().is_err(), "{host}");
        }
    }

    #[test]
    fn other_hosts_are_hosts_without_an_account() {
        for host in [
            "127.0.0.1:5000",
            "localhost:5000",
            "registry.example.com",
            "[::1]:5000",
        ] {
            let parsed: RegistryHost = host.parse().unwrap();
            assert_eq!(parsed.account(), None, "{host}");
            assert_eq!(
                parsed.is_loopback(),
                host != "registry.example.com",
                "{host}"
            );
        }
    }

    #[test]
    fn selectors_keep_leading_zeros() {
        assert_eq!(
            "012345678901".parse::<RegistrySelector>().unwrap(),
            RegistrySelector::Account("012345678901".parse().unwrap())
        );
        let error = "12345678901".parse::<RegistrySelector>().unwrap_err();
        assert!(error.to_string().contains("leading zeros"), "{error}");
    }

    #[test]
    fn another_account_has_the_same_kind_of_host() {
        let host: RegistryHost = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
            .parse()
            .unwrap();
        let other = host.for_account(&"012345678901".parse().unwrap()).unwrap();
        assert_eq!(
            other.as_str(),
            "012345678901.dkr.ecr.eu-central-1.amazonaws.com"
        );
        let local: RegistryHost = "127.0.0.1:5000".parse().unwrap();
        assert_eq!(local.for_account(&"012345678901".parse().unwrap()), None);
    }
}
