//! What came out of a push: for each reference a digest or a reason, and for the whole an exit code.

use std::time::Duration;

use crate::account::AccountId;
use crate::docker::daemon::DaemonError;
use crate::docker::events::StreamError;
use crate::error::{ExitCode, Failure};

/// How a reference came to hold the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was pushed.
    Pushed,
    /// It held this image already.
    Unchanged,
}

/// A reference that holds the image now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The manifest's digest.
    pub digest: String,
    /// The manifest's size in bytes.
    pub size: Option<u64>,
    /// How it came there.
    pub status: Status,
}

/// What became of one reference.
#[derive(Debug)]
pub struct ReferenceOutcome {
    /// `HOST/REPOSITORY:TAG`.
    pub reference: String,
    /// The tag.
    pub tag: String,
    /// Digest or reason.
    pub result: Result<Held, PushError>,
    /// How long it took.
    pub took: Duration,
}

/// What became of one registry's share.
#[derive(Debug)]
pub struct TargetOutcome {
    /// Its references.
    pub references: Vec<ReferenceOutcome>,
    /// How long they took together.
    pub took: Duration,
}

/// What a registry's refusal comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The tag is immutable and taken.
    TagTaken,
    /// The manifest was refused and the reason was lost on the way: the tag may be immutable and taken.
    ManifestRefused,
    /// There is no such repository.
    NoRepository,
    /// The connection ended without a word: what ECR does, too, when there is no such repository.
    Eof,
    /// The identity lacks a right.
    Denied,
    /// The login is not accepted.
    LoginRefused,
    /// Too many requests.
    Throttled,
    /// Anything else.
    Other,
}

impl Refusal {
    /// Reads the daemon's words.
    ///
    /// Sources: error codes of the OCI Distribution Specification; "Troubleshooting errors with Docker commands",
    /// Amazon ECR User Guide.
    ///
    /// The forms of each daemon are recorded in `tests/fixtures/push-streams`. The name of the repository, which is
    /// part of many messages, must not be read as a word of the registry's.
    #[must_use]
    pub fn read(message: &str, repository: &str) -> Self {
        let lower = without_name(&message.to_lowercase(), repository);
        let says = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
        // Before all others: containerd puts "repository does not exist" into the same message.
        if says(&[
            "no basic auth",
            "authorization failed",
            "authorization token",
        ]) {
            Self::LoginRefused
        } else if says(&["is immutable", "tag invalid", "tag_invalid"]) {
            Self::TagTaken
        } else if lower.contains("put request to") && lower.ends_with("400 bad request") {
            Self::ManifestRefused
        } else if says(&["name unknown", "name_unknown"])
            || (lower.contains("repository with name") && lower.contains("does not exist"))
            || (lower.contains("/blobs/uploads") && lower.ends_with("404 not found"))
        {
            Self::NoRepository
        } else if says(&["unauthorized", "authentication required"]) {
            Self::LoginRefused
        } else if says(&[
            "is not authorized to perform",
            "denied:",
            "is denied",
            "access denied",
            "403 forbidden",
            "403 (forbidden)",
            "statuscode: 403",
        ]) {
            Self::Denied
        } else if says(&["toomanyrequests", "too many requests", "rate exceeded"]) {
            Self::Throttled
        } else if lower.trim() == "eof" || lower.ends_with(": eof") {
            Self::Eof
        } else {
            Self::Other
        }
    }
}

/// `text` without the places where `name` stands by itself, as in a URL or in quotes.
fn without_name(text: &str, name: &str) -> String {
    let is_part = |byte: Option<u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let mut rest = text;
    let mut cleared = String::with_capacity(text.len());
    while let Some(at) = rest.find(name).filter(|_| !name.is_empty()) {
        let end = at + name.len();
        let before = cleared
            .bytes()
            .last()
            .filter(|_| at == 0)
            .or(rest[..at].bytes().last());
        let stands_alone = !is_part(before) && !is_part(rest[end..].bytes().next());
        cleared.push_str(&rest[..at]);
        cleared.push_str(if stands_alone { "..." } else { name });
        rest = &rest[end..];
    }
    cleared + rest
}

/// Why a reference does not hold the image.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry refused, through the daemon.
    #[error("{message}")]
    Refused {
        /// What it comes down to.
        refusal: Refusal,
        /// The daemon's words, as they are.
        message: String,
        /// The repository.
        repository: String,
        /// The registry's account, where it is known.
        account: Option<AccountId>,
        /// The registry's region.
        region: String,
        /// The digest that the tag holds, where it is known.
        held: Option<String>,
    },
    /// The daemon could not do it.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The daemon sent something else than a push stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The stream ended in the middle of a message, or without an error or a digest.
    #[error("the daemon's push stream ended {}", if *inside_message { "in the middle of a message" } else { "without a digest" })]
    NoDigest {
        /// Where it ended.
        inside_message: bool,
    },
    /// The daemon said nothing for too long.
    #[error("the daemon has said nothing for {} s", idle.as_secs())]
    Idle {
        /// The limit.
        idle: Duration,
    },
    /// An earlier tag of the same repository failed for a reason that holds for this one, too.
    #[error("not tried, because tag '{because}' failed for the whole repository")]
    NotTried {
        /// The tag.
        because: String,
        /// Its exit code.
        code: ExitCode,
    },
}

impl PushError {
    /// Whether a further tag of the same repository would fail in the same way.
    #[must_use]
    pub fn concerns_repository(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                refusal: Refusal::NoRepository
                    | Refusal::Eof
                    | Refusal::Denied
                    | Refusal::LoginRefused,
                ..
            }
        )
    }
}

impl Failure for PushError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused { refusal, .. } => match refusal {
                Refusal::TagTaken => ExitCode::TagTaken,
                Refusal::Denied => ExitCode::Refused,
                Refusal::LoginRefused => ExitCode::LoginRefused,
                _ => ExitCode::PushFailed,
            },
            Self::Daemon(error) => error.exit_code(),
            Self::NotTried { code, .. } => *code,
            Self::Stream(_) | Self::NoDigest { .. } | Self::Idle { .. } => ExitCode::PushFailed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused {
                refusal,
                repository,
                account,
                region,
                held,
                ..
            } => refusal_hint(*refusal, repository, account.as_ref(), region, held.as_deref()),
            Self::Daemon(error) => error.hint(),
            Self::Stream(_) => Some("is DOCKER_HOST a Docker daemon?".to_owned()),
            Self::NoDigest { .. } => Some(
                "the daemon was stopped, or something between it and this job cut the connection; look at its log"
                    .to_owned(),
            ),
            Self::Idle { .. } => Some(
                "the upload hangs: look at the daemon's network, or allow for more with --idle-timeout".to_owned(),
            ),
            Self::NotTried { .. } => None,
        }
    }
}

fn refusal_hint(
    refusal: Refusal,
    repository: &str,
    account: Option<&AccountId>,
    region: &str,
    held: Option<&str>,
) -> Option<String> {
    let owner = account.map_or_else(
        || "the registry's account".to_owned(),
        |account| format!("account {account}"),
    );
    let create = format!(
        "{owner} must create it: aws ecr create-repository --repository-name {repository} --region {region}"
    );
    match refusal {
        Refusal::TagTaken => Some(format!(
            "the tag holds {}; push under a new tag, or {owner} makes the repository's tags mutable",
            held.unwrap_or("another image")
        )),
        Refusal::NoRepository => Some(create),
        Refusal::Eof => Some(format!(
            "the registry closed the connection without a word, as ECR does when there is no repository \
             '{repository}': {create}"
        )),
        Refusal::Denied => Some(format!(
            "{owner} must allow the role, in its own policy or in the repository's, on repository '{repository}': \
             ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, ecr:UploadLayerPart, ecr:CompleteLayerUpload, \
             ecr:PutImage, ecr:BatchGetImage"
        )),
        Refusal::LoginRefused => Some(format!(
            "the token is good for registries of {region} that the role may use: compare --region and --registry \
             with the registry's host"
        )),
        Refusal::Throttled => Some("the registry limits the rate: push again later".to_owned()),
        Refusal::ManifestRefused => Some(match held {
            Some(held) => format!(
                "the daemon does not pass on why; the tag holds {held}, so it may be immutable: push under a new tag"
            ),
            None => "the daemon does not pass on why the registry refused the manifest; its log may tell".to_owned(),
        }),
        Refusal::Other => None,
    }
}

/// The failure of a whole push.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub struct PushFailures {
    /// The references that do not hold the image, each with its reason and its hint.
    pub failed: Vec<(String, String, Option<String>)>,
    /// How many references there were.
    pub total: usize,
    code: ExitCode,
}

impl PushFailures {
    /// The failures among `outcomes`, if there are any.
    #[must_use]
    pub fn among(outcomes: &[TargetOutcome]) -> Option<Self> {
        let all: Vec<_> = outcomes
            .iter()
            .flat_map(|target| &target.references)
            .collect();
        let failed: Vec<_> = all
            .iter()
            .filter_map(|outcome| Some((outcome, outcome.result.as_ref().err()?)))
            .collect();
        let (_, first) = failed.first()?;
        let code = if failed.len() < all.len() {
            ExitCode::Partial
        } else if failed
            .iter()
            .all(|(_, error)| error.exit_code() == first.exit_code())
        {
            first.exit_code()
        } else {
            ExitCode::PushFailed
        };
        Some(Self {
            failed: failed
                .iter()
                .map(|(outcome, error)| {
                    (outcome.reference.clone(), error.to_string(), error.hint())
                })
                .collect(),
            total: all.len(),
            code,
        })
    }

    fn text(&self) -> String {
        if let ([(reference, reason, _)], 1) = (&self.failed[..], self.total) {
            return format!("could not push {reference}: {reason}");
        }
        let lines: Vec<_> = self
            .failed
            .iter()
            .map(|(reference, reason, _)| format!("{reference}: {reason}"))
            .collect();
        format!(
            "could not push {} of {} references:\n{}",
            self.failed.len(),
            self.total,
            lines.join("\n")
        )
    }
}

impl Failure for PushFailures {
    fn exit_code(&self) -> ExitCode {
        self.code
    }

    fn hint(&self) -> Option<String> {
        let mut hints: Vec<&str> = Vec::new();
        for hint in self
            .failed
            .iter()
            .filter_map(|(_, _, hint)| hint.as_deref())
        {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        (!hints.is_empty()).then(|| hints.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_the_words_of_registries() {
        for (message, refusal) in [
            (
                "tag invalid: The image tag 'x' already exists in the 'r' repository and cannot be overwritten \
                 because the repository is immutable.",
                Refusal::TagTaken,
            ),
            (
                "name unknown: The repository with name 'r' does not exist in the registry with id '022222222222'",
                Refusal::NoRepository,
            ),
            (
                "denied: User: arn:aws:sts::022222222222:assumed-role/R/s is not authorized to perform: \
                 ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-central-1:022222222222:repository/r",
                Refusal::Denied,
            ),
            (
                "denied: requested access to the resource is denied",
                Refusal::Denied,
            ),
            ("no basic auth credentials", Refusal::LoginRefused),
            (
                "denied: Your authorization token has expired. Reauthenticate and try again.",
                Refusal::LoginRefused,
            ),
            (
                "unauthorized: authentication required",
                Refusal::LoginRefused,
            ),
            ("toomanyrequests: Rate exceeded", Refusal::Throttled),
            (
                "unexpected status from POST request to http://h/v2/unauthorized-eof/blobs/uploads/: 500 Internal \
                 Server Error",
                Refusal::Other,
            ),
            ("EOF", Refusal::Eof),
            ("Put \"https://h/v2/r/blobs\": EOF", Refusal::Eof),
            (
                "dial tcp 127.0.0.1:1: connect: connection refused",
                Refusal::Other,
            ),
        ] {
            assert_eq!(
                Refusal::read(message, "unauthorized-eof"),
                refusal,
                "{message}"
            );
        }
    }
}
