//! The ECR authorization token: a user name and a password that a registry accepts for about twelve hours.
//!
//! Source: `GetAuthorizationToken`, Amazon ECR API reference. One token is good for every registry of its region
//! that the caller may use; `registryIds` is deprecated and not sent.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::aws::{Aws, AwsFailure, Kind, Service};
use crate::error::{ExitCode, Failure};
use crate::secret::Secret;

/// What a registry is logged in to with.
#[derive(Clone, Debug)]
pub struct Token {
    /// Always `AWS`, as far as is known.
    pub username: String,
    /// The password; about two kilobytes, without a promised size.
    pub password: Secret,
    /// When ECR says that it ends. Only the registry decides, so an expiry in the past is no error.
    pub expires_at: Option<SystemTime>,
    /// The registry of the caller's account, as a URL.
    pub proxy_endpoint: String,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The call failed.
    #[error("could not get an ECR authorization token in {}: {failure}", failure.region)]
    Call {
        /// What came back.
        failure: AwsFailure,
        /// Whether the credentials were made by assuming a role (then a refusal of them is not the source's).
        role: Option<String>,
    },
    /// The answer is not a token.
    #[error("ECR in {region} answered without a usable authorization token: {reason}")]
    Unusable {
        /// The region that was asked.
        region: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Failure for TokenError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Call {
                failure,
                role: Some(_),
            } if failure.kind == Kind::Credentials => ExitCode::Refused,
            Self::Call { failure, .. } => failure.exit_code(),
            Self::Unusable { .. } => ExitCode::Unexpected,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Call { failure, role } if failure.kind == Kind::Denied => {
                let who = role.as_deref().unwrap_or("the identity in use");
                Some(format!(
                    "its own account must allow {who} the action ecr:GetAuthorizationToken on resource \"*\" \
                     (AmazonEC2ContainerRegistryPowerUser has it)"
                ))
            }
            Self::Call { failure, .. } => failure.hint(),
            Self::Unusable { .. } => {
                Some("is AWS_ENDPOINT_URL_ECR another kind of server?".to_owned())
            }
        }
    }
}

/// Fetches a token in `region`. `role` is the role behind `credentials`, for messages.
///
/// # Errors
/// [`TokenError`], with AWS's code, message and request id.
pub async fn fetch(
    aws: &Aws,
    region: &str,
    credentials: Credentials,
    role: Option<&str>,
) -> Result<Token, TokenError> {
    let client = aws_sdk_ecr::Client::new(&aws.config(Service::Ecr, region, credentials));
    let answer = client
        .get_authorization_token()
        .send()
        .await
        .map_err(|error| TokenError::Call {
            failure: AwsFailure::new(Service::Ecr, "GetAuthorizationToken", region, &error),
            role: role.map(str::to_owned),
        })?;
    let unusable = |reason| TokenError::Unusable {
        region: region.to_owned(),
        reason,
    };
    let data = answer
        .authorization_data
        .unwrap_or_default()
        .into_iter()
        .next()
        .ok_or_else(|| unusable("it has no authorizationData"))?;
    let encoded = Zeroizing::new(data.authorization_token.unwrap_or_default());
    let (username, password) = decode(&encoded).map_err(unusable)?;
    Ok(Token {
        username,
        password,
        expires_at: data.expires_at.and_then(|at| SystemTime::try_from(at).ok()),
        proxy_endpoint: data
            .proxy_endpoint
            .ok_or_else(|| unusable("it has no proxyEndpoint"))?,
    })
}

/// Splits at the first colon only: a password may have more of them.
fn decode(encoded: &str) -> Result<(String, Secret), &'static str> {
    let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| "it is not base64")?);
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8")?;
    let (username, password) = text.split_once(':').ok_or("it has no colon")?;
    if username.is_empty() || password.is_empty() {
        return Err("its user name or password is empty");
    }
    Ok((username.to_owned(), Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_split_at_the_first_colon() {
        let (username, password) = decode(&STANDARD.encode("AWS:a:b=")).unwrap();
        assert_eq!((username.as_str(), password.expose()), ("AWS", "a:b="));
        for text in ["", "AWS", ":x", "AWS:"] {
            assert!(decode(&STANDARD.encode(text)).is_err(), "{text}");
        }
        assert!(decode("not base64!").is_err());
    }
}
