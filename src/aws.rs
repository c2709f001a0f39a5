//! What every call to an AWS service shares: endpoint, limits and retries, and what its failure means.
//!
//! Which calls are made is left to `identity` and `ecr`.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::request_id::RequestId;
use aws_types::sdk_config::SharedCredentialsProvider;

use crate::environment::Environment;
use crate::error::ExitCode;
use crate::network::{CONNECT_TIMEOUT, HttpClient, NO_ROOTS, READ_TIMEOUT, lacks_roots};

/// Attempts for one call: the first and two more, for what may pass by itself.
const MAX_ATTEMPTS: u32 = 3;
/// The limit on one call with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(45);

/// Which endpoints of AWS's services are called.
///
/// Source: "Service-specific endpoints" and "Dual-stack and FIPS endpoints", AWS SDKs and Tools Reference Guide.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    every_service: Option<String>,
    sts: Option<String>,
    ecr: Option<String>,
    use_fips: bool,
    use_dual_stack: bool,
}

impl Endpoints {
    /// `AWS_ENDPOINT_URL_STS` and `AWS_ENDPOINT_URL_ECR`, else `AWS_ENDPOINT_URL`, else AWS's own, of the kind that
    /// `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT` say.
    ///
    /// # Errors
    /// Name and value of a variable that holds no URL.
    pub fn from_environment(environment: &Environment) -> Result<Self, (&'static str, &str)> {
        let url = |name| match environment.get(name) {
            Some(value) if is_http_url(value) => Ok(Some(value.to_owned())),
            Some(value) => Err((name, value)),
            None => Ok(None),
        };
        let is_on = |name| {
            environment
                .get(name)
                .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        Ok(Self {
            every_service: url("AWS_ENDPOINT_URL")?,
            sts: url("AWS_ENDPOINT_URL_STS")?,
            ecr: url("AWS_ENDPOINT_URL_ECR")?,
            use_fips: is_on("AWS_USE_FIPS_ENDPOINT"),
            use_dual_stack: is_on("AWS_USE_DUALSTACK_ENDPOINT"),
        })
    }

    fn url_of(&self, service: Service) -> Option<&String> {
        match service {
            Service::Sts => self.sts.as_ref(),
            Service::Ecr => self.ecr.as_ref(),
        }
        .or(self.every_service.as_ref())
    }
}

fn is_http_url(text: &str) -> bool {
    text.parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// The services that crossdock calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// AWS Security Token Service.
    Sts,
    /// Amazon Elastic Container Registry's control plane.
    Ecr,
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sts => "STS",
            Self::Ecr => "ECR",
        })
    }
}

/// What service clients are made from.
#[derive(Clone, Debug)]
pub struct Aws {
    http: HttpClient,
    endpoints: Endpoints,
}

impl Aws {
    /// Clients over `http`, at `endpoints`.
    #[must_use]
    pub fn new(http: HttpClient, endpoints: Endpoints) -> Self {
        Self { http, endpoints }
    }

    /// The configuration for a client of `service` in `region` that signs with `credentials`.
    #[must_use]
    pub fn config(&self, service: Service, region: &str, credentials: Credentials) -> SdkConfig {
        let mut builder = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(self.http.for_sdk())
            .sleep_impl(TokioSleep::new())
            .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .read_timeout(READ_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            );
        builder.set_endpoint_url(self.endpoints.url_of(service).cloned());
        builder.set_use_fips(self.endpoints.use_fips.then_some(true));
        builder.set_use_dual_stack(self.endpoints.use_dual_stack.then_some(true));
        builder.build()
    }
}

/// What kind of failure a call ended with; decides the exit code and whether a retry could have helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The credentials are not accepted: unknown key, wrong secret, expired session, a clock that is off.
    Credentials,
    /// The credentials are accepted, the action is not allowed.
    Denied,
    /// The request's own values are refused.
    Invalid,
    /// Throttled, or the service failed, to the last attempt.
    Unavailable,
    /// No answer: name, route, TLS or time.
    Unreachable,
    /// None of these.
    Other,
}

/// A failed call to AWS.
#[derive(Clone, Debug)]
pub struct AwsFailure {
    /// The service that was called.
    pub service: Service,
    /// The API action, as AWS spells it.
    pub action: &'static str,
    /// The region that was asked.
    pub region: String,
    /// AWS's error code.
    pub code: Option<String>,
    /// AWS's message, or what went wrong on the way.
    pub message: String,
    /// AWS's request id.
    pub request_id: Option<String>,
    /// What it means.
    pub kind: Kind,
}

impl AwsFailure {
    /// What `error` means.
    pub fn new<E>(
        service: Service,
        action: &'static str,
        region: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: StdError + ProvideErrorMetadata + 'static,
        SdkError<E, HttpResponse>: RequestId,
    {
        let code = error.code().map(str::to_owned);
        let status = error
            .raw_response()
            .map(|response| response.status().as_u16());
        let kind = match error {
            // An answer that cannot be read is not AWS's: it comes from something on the way.
            SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_) => Kind::Unreachable,
            // A load balancer's 503 may be AWS's own; any other answer without AWS's code is somebody else's.
            SdkError::ServiceError(_) => kind_of(code.as_deref(), status),
            _ => Kind::Other,
        };
        let message = match (error.message(), status) {
            (Some(message), _) => message.to_owned(),
            (None, Some(status)) if code.is_none() => {
                format!(
                    "HTTP status {status} without an AWS error in it: something on the way answered"
                )
            }
            (None, Some(status)) => format!("HTTP status {status}"),
            (None, None) => causes(error),
        };
        Self {
            service,
            action,
            region: region.to_owned(),
            code,
            message,
            request_id: error.request_id().map(str::to_owned),
            kind,
        }
    }

    /// The exit code for this failure.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Credentials => ExitCode::NoSourceCredentials,
            Kind::Denied => ExitCode::Refused,
            Kind::Invalid => ExitCode::Settings,
            Kind::Unavailable | Kind::Unreachable => ExitCode::AwsUnreachable,
            Kind::Other => ExitCode::Unexpected,
        }
    }

    /// What to do about it, for the kinds whose remedy does not depend on the call.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let code = self.code.as_deref().unwrap_or_default();
        let text = match self.kind {
            Kind::Credentials => return Some(credentials_hint(code, &self.message)),
            Kind::Unavailable => format!(
                "AWS did not recover within {MAX_ATTEMPTS} attempts; run the job again in a minute"
            ),
            Kind::Unreachable if lacks_roots(&self.message) => NO_ROOTS.to_owned(),
            Kind::Unreachable => format!(
                "check that this machine reaches {} in {} (name resolution, HTTPS_PROXY and NO_PROXY, \
                 AWS_ENDPOINT_URL, a firewall, root certificates), and that the region is spelled right",
                self.service, self.region
            ),
            Kind::Denied | Kind::Invalid | Kind::Other => return None,
        };
        Some(text)
    }
}

impl fmt::Display for AwsFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(formatter, "{code}: ")?;
        }
        formatter.write_str(&self.message)?;
        if let Some(request_id) = &self.request_id {
            write!(formatter, " (request id {request_id})")?;
        }
        Ok(())
    }
}

/// Codes as listed in "Common errors" of the STS and ECR API references, and as both send them.
fn kind_of(code: Option<&str>, status: Option<u16>) -> Kind {
    match code {
        Some(
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "InvalidAccessKeyId"
            | "AuthFailure",
        ) => Kind::Credentials,
        Some(
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "OptInRequired"
            | "RegionDisabledException",
        ) => Kind::Denied,
        Some(
            "ValidationError"
            | "ValidationException"
            | "InvalidParameterException"
            | "InvalidParameterValue"
            | "MalformedPolicyDocument"
            | "PackedPolicyTooLarge",
        ) => Kind::Invalid,
        Some(
            "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "ServiceUnavailable",
        ) => Kind::Unavailable,
        _ if status.is_some_and(|status| status >= 500 || status == 429) => Kind::Unavailable,
        None => Kind::Unreachable,
        Some(_) if status == Some(403) => Kind::Denied,
        Some(_) => Kind::Other,
    }
}

fn credentials_hint(code: &str, message: &str) -> String {
    let expired_clock =
        message.contains("is now earlier than") || message.contains("not yet current");
    match code {
        _ if expired_clock => {
            "this machine's clock is off by the difference in the message; set it".to_owned()
        }
        "ExpiredToken" | "ExpiredTokenException" => {
            "the source session is over; get new credentials for it (AWS_SESSION_TOKEN belongs to a session)"
                .to_owned()
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            "the secret access key does not belong to the access key id: look for white space or quotes around it, \
             an unexpanded variable, or keys of two users mixed"
                .to_owned()
        }
        _ => "AWS does not know this access key id: it may be deleted or inactive, from another partition, or a \
              temporary key (ASIA...) without its AWS_SESSION_TOKEN"
            .to_owned(),
    }
}

/// The messages of `error` and of what caused it, outermost first, without repetitions.
pub fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|seen| seen.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_map_to_kinds() {
        for (code, status, kind) in [
            (Some("InvalidClientTokenId"), 403, Kind::Credentials),
            (Some("UnrecognizedClientException"), 400, Kind::Credentials),
            (Some("AccessDenied"), 403, Kind::Denied),
            (Some("AccessDeniedException"), 400, Kind::Denied),
            (Some("ValidationError"), 400, Kind::Invalid),
            (Some("Throttling"), 400, Kind::Unavailable),
            (Some("InternalFailure"), 500, Kind::Unavailable),
            (Some("NewKindOfDenial"), 403, Kind::Denied),
            (None, 403, Kind::Unreachable),
            (None, 407, Kind::Unreachable),
            (None, 502, Kind::Unavailable),
            (Some("Surprise"), 400, Kind::Other),
        ] {
            assert_eq!(kind_of(code, Some(status)), kind, "{code:?} {status}");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_apart_from_a_wrong_secret() {
        let hint = credentials_hint(
            "SignatureDoesNotMatch",
            "Signature expired: 20261121T100000Z is now earlier than 20261121T101500Z",
        );
        assert!(hint.contains("clock"), "{hint}");
    }
}
