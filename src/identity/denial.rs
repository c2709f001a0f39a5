//! What a refused AssumeRole proves, and which account has to act.
//!
//! AWS answers a dozen causes with one text. Some answers name more: the policy layer that denied, or the kind
//! of policy that was missing. This module reads an answer; what was sent is told by `identity::role`.
//!
//! Source: "Troubleshoot access denied error messages", IAM User Guide, for the wordings.

use std::fmt;

use super::arn::account_of;
use crate::account::AccountId;

/// What AWS said beyond "not authorized".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No more than that: either side may be wrong.
    Unstated,
    /// No identity-based policy of the caller allows the action.
    NoIdentityPolicy,
    /// No trust policy allows the caller, or (where the trust names a whole account) no identity policy does.
    NoTrustPolicy,
    /// A policy denies the action; the layer is AWS's own word for it.
    ExplicitDeny(String),
}

/// A refusal, read from AWS's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The ARN of the caller as AWS saw it.
    pub caller: Option<String>,
    /// The action that was refused; not always the one that was called (`sts:TagSession`).
    pub action: Option<String>,
    /// Why, as far as it was said.
    pub reason: Reason,
}

impl Denial {
    /// Reads the message of an `AccessDenied` answer.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let caller = between(message, "User: ", " is not authorized");
        let action = message
            .split_once("to perform: ")
            .and_then(|(_, rest)| rest.split_whitespace().next())
            .map(str::to_owned);
        let reason = if let Some((_, rest)) = message.split_once("with an explicit deny in ") {
            let layer = rest.trim_start_matches("an ").trim_start_matches("a ");
            let layer = layer.split([':', '\n']).next().unwrap_or(layer);
            Reason::ExplicitDeny(layer.trim_end_matches(['.', ' ']).to_owned())
        } else if message.contains("because no identity-based policy allows") {
            Reason::NoIdentityPolicy
        } else if message.contains("because no resource-based policy allows")
            || message.contains("because no role trust policy allows")
        {
            Reason::NoTrustPolicy
        } else {
            Reason::Unstated
        };
        Self {
            caller,
            action,
            reason,
        }
    }

    /// The account that the caller belongs to.
    #[must_use]
    pub fn caller_account(&self) -> Option<AccountId> {
        self.caller.as_deref().and_then(account_of)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unstated => formatter.write_str("AWS does not say which side refused"),
            Self::NoIdentityPolicy => {
                formatter.write_str("the caller's own policies do not allow it")
            }
            Self::NoTrustPolicy => formatter
                .write_str("the role's trust policy does not let the caller in as it stands"),
            Self::ExplicitDeny(layer) => {
                let article = if layer.starts_with(['a', 'e', 'i', 'o', 'u']) {
                    "an"
                } else {
                    "a"
                };
                write!(formatter, "denied explicitly by {article} {layer}")
            }
        }
    }
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (inner, _) = rest.split_once(after)?;
    Some(inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "User: arn:aws:iam::111111111111:user/builder is not authorized to perform: \
                         sts:AssumeRole on resource: arn:aws:iam::022222222222:role/OurThingBuildRole";

    #[test]
    fn every_documented_wording_is_told_apart() {
        for (end, reason) in [
            ("", Reason::Unstated),
            (
                " because no identity-based policy allows the sts:AssumeRole action",
                Reason::NoIdentityPolicy,
            ),
            (
                " because no resource-based policy allows the sts:AssumeRole action",
                Reason::NoTrustPolicy,
            ),
            (
                " because no role trust policy allows the sts:AssumeRole action",
                Reason::NoTrustPolicy,
            ),
            (
                " with an explicit deny in a service control policy",
                Reason::ExplicitDeny("service control policy".to_owned()),
            ),
            (
                " with an explicit deny in an identity-based policy: arn:aws:iam::111111111111:policy/x",
                Reason::ExplicitDeny("identity-based policy".to_owned()),
            ),
        ] {
            let denial = Denial::read(&format!("{START}{end}"));
            assert_eq!(denial.reason, reason, "{end}");
            assert_eq!(
                denial.caller_account().unwrap().as_str(),
                "111111111111",
                "{end}"
            );
            assert_eq!(denial.action.as_deref(), Some("sts:AssumeRole"), "{end}");
        }
    }

    #[test]
    fn a_text_of_another_shape_proves_nothing() {
        let denial = Denial::read("Access denied");
        assert_eq!(denial.caller, None);
        assert_eq!(denial.reason, Reason::Unstated);
    }
}
