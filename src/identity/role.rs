//! Assuming a role, and asking who we are.
//!
//! Calls STS directly: the SDK's own provider knows neither source identity nor transitive tags, and hides the
//! answer behind a generic error. Which keys it starts from is left to `identity::source`.

use std::time::{Duration, SystemTime};

use super::arn::{RoleArn, account_of};
use super::denial::{Denial, Reason};
use super::keys::Keys;
use crate::account::AccountId;
use crate::aws::{Aws, AwsFailure, Kind, Service};
use crate::error::{ExitCode, Failure};
use crate::secret::Secret;

/// One role to be assumed, validated.
#[derive(Clone, Debug)]
pub struct RoleRequest {
    /// The role.
    pub arn: RoleArn,
    /// The external id that the role's trust policy asks for.
    pub external_id: Option<String>,
    /// The name of the session, as CloudTrail will show it.
    pub session_name: String,
    /// How long the session is to last; AWS's default is one hour.
    pub duration: Option<Duration>,
}

/// A session of a role.
#[derive(Clone, Debug)]
pub struct RoleSession {
    /// The session's keys.
    pub keys: Keys,
    /// The ARN of the session (`arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`).
    pub arn: String,
    /// When it ends.
    pub expires_at: SystemTime,
}

/// Who a set of credentials belongs to.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user or session.
    pub arn: String,
    /// Its account.
    pub account: AccountId,
}

/// Why there is no session or no caller.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// `AssumeRole` failed.
    #[error("could not assume role {}: {failure}", request.arn)]
    Assume {
        /// What was asked for.
        request: Box<RoleRequest>,
        /// What came back.
        failure: AwsFailure,
    },
    /// STS could not be asked.
    #[error("could not ask STS in {} for {}: {failure}", failure.region, failure.action)]
    Unreachable {
        /// What went wrong.
        failure: AwsFailure,
    },
    /// `GetCallerIdentity` failed.
    #[error("could not ask STS whose credentials these are: {failure}")]
    Caller {
        /// What came back.
        failure: AwsFailure,
    },
    /// STS answered without what the call is for.
    #[error("STS answered {action} without {missing}; is AWS_ENDPOINT_URL another kind of server?")]
    Incomplete {
        /// The call.
        action: &'static str,
        /// What was not in the answer.
        missing: &'static str,
    },
}

impl Failure for RoleError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Assume { failure, .. }
            | Self::Caller { failure }
            | Self::Unreachable { failure } => failure.exit_code(),
            Self::Incomplete { .. } => ExitCode::Unexpected,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Assume { request, failure } if failure.kind == Kind::Denied => {
                Some(denial_hint(request, failure))
            }
            Self::Assume { request, failure } if failure.kind == Kind::Invalid => {
                Some(invalid_hint(request, failure))
            }
            Self::Assume { failure, .. }
            | Self::Caller { failure }
            | Self::Unreachable { failure } => failure.hint(),
            Self::Incomplete { .. } => None,
        }
    }
}

/// Assumes `request.arn` with `keys`, at the STS endpoint of `region`.
///
/// # Errors
/// [`RoleError`], with AWS's code, message and request id.
pub async fn assume(
    aws: &Aws,
    region: &str,
    keys: &Keys,
    request: &RoleRequest,
) -> Result<RoleSession, RoleError> {
    const ACTION: &str = "AssumeRole";
    let client = aws_sdk_sts::Client::new(&aws.config(Service::Sts, region, keys.to_sdk()));
    let answer = client
        .assume_role()
        .role_arn(request.arn.as_str())
        .role_session_name(&request.session_name)
        .set_external_id(request.external_id.clone())
        .set_duration_seconds(
            request
                .duration
                .and_then(|duration| i32::try_from(duration.as_secs()).ok()),
        )
        .send()
        .await
        .map_err(
            |error| match AwsFailure::new(Service::Sts, ACTION, region, &error) {
                failure if matches!(failure.kind, Kind::Unreachable) => {
                    RoleError::Unreachable { failure }
                }
                failure => RoleError::Assume {
                    request: Box::new(request.clone()),
                    failure,
                },
            },
        )?;
    let incomplete = |missing| RoleError::Incomplete {
        action: ACTION,
        missing,
    };
    let credentials = answer
        .credentials
        .ok_or_else(|| incomplete("credentials"))?;
    let user = answer
        .assumed_role_user
        .ok_or_else(|| incomplete("the session's ARN"))?;
    let expires_at = SystemTime::try_from(credentials.expiration)
        .map_err(|_| incomplete("a valid expiration"))?;
    Ok(RoleSession {
        keys: Keys {
            access_key_id: credentials.access_key_id,
            secret_access_key: Secret::new(credentials.secret_access_key),
            session_token: Some(Secret::new(credentials.session_token)),
            expires_at: Some(expires_at),
        },
        arn: user.arn,
        expires_at,
    })
}

/// Asks STS whose `keys` these are. Needs no permission.
///
/// # Errors
/// [`RoleError`], when the credentials are not accepted or STS cannot be asked.
pub async fn caller(aws: &Aws, region: &str, keys: &Keys) -> Result<Caller, RoleError> {
    const ACTION: &str = "GetCallerIdentity";
    let client = aws_sdk_sts::Client::new(&aws.config(Service::Sts, region, keys.to_sdk()));
    let answer =
        client.get_caller_identity().send().await.map_err(|error| {
            match AwsFailure::new(Service::Sts, ACTION, region, &error) {
                failure if failure.kind == Kind::Unreachable => RoleError::Unreachable { failure },
                failure => RoleError::Caller { failure },
            }
        })?;
    let incomplete = |missing| RoleError::Incomplete {
        action: ACTION,
        missing,
    };
    let arn = answer.arn.ok_or_else(|| incomplete("an ARN"))?;
    let account = answer
        .account
        .and_then(|account| account.parse().ok())
        .or_else(|| account_of(&arn))
        .ok_or_else(|| incomplete("an account"))?;
    Ok(Caller { arn, account })
}

/// Which account must do what, as far as the answer tells.
fn denial_hint(request: &RoleRequest, failure: &AwsFailure) -> String {
    if failure.code.as_deref() == Some("RegionDisabledException") {
        return format!(
            "account {} must activate STS in {}, or choose another --region",
            request.arn.account(),
            failure.region
        );
    }
    let denial = Denial::read(&failure.message);
    let caller = denial.caller.as_deref().unwrap_or("the caller");
    let caller_account = denial
        .caller_account()
        .map_or_else(|| "the caller".to_owned(), |id| format!("account {id}"));
    let sent = match &request.external_id {
        Some(id) => format!(
            "an external id of {} characters was sent",
            id.chars().count()
        ),
        None => "no external id was sent (--external-id)".to_owned(),
    };
    let caller_side = format!(
        "{caller_account} must allow {caller} the action {} on {}",
        denial.action.as_deref().unwrap_or("sts:AssumeRole"),
        request.arn
    );
    let target_side = format!(
        "account {} must have this role, and its trust policy must name {} and accept what was sent: {sent}",
        request.arn.account(),
        denial
            .caller_account()
            .map_or_else(|| "the caller's account".to_owned(), |id| id.to_string()),
    );
    match &denial.reason {
        Reason::NoIdentityPolicy => format!("{}: {caller_side}", denial.reason),
        Reason::NoTrustPolicy => {
            format!(
                "{}: {target_side}. If that is so already, {caller_side}",
                denial.reason
            )
        }
        Reason::ExplicitDeny(_) => format!(
            "{}; whoever owns that policy must lift it for {caller}",
            denial.reason
        ),
        Reason::Unstated => {
            format!(
                "{}; both must hold: {caller_side}; and {target_side}",
                denial.reason
            )
        }
    }
}

fn invalid_hint(request: &RoleRequest, failure: &AwsFailure) -> String {
    if failure.message.contains("1 hour session limit") {
        return "a session that itself comes from a role lasts an hour at most: leave out --session-duration or give 3600 or less".to_owned();
    }
    if failure.message.contains("MaxSessionDuration") {
        return format!(
            "the role exists and trusts the caller; shorten --session-duration, or account {} raises the role's MaxSessionDuration",
            request.arn.account()
        );
    }
    "correct the value that AWS names".to_owned()
}
