//! Amazon Resource Names of roles and callers.
//!
//! Source: "IAM ARNs" and "IAM name requirements", IAM User Guide.

use std::fmt;
use std::str::FromStr;

use crate::account::AccountId;

/// The ARN of an IAM role: `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn {
    text: String,
    account: AccountId,
}

impl RoleArn {
    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account that owns the role.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Why a text is no role ARN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a role ARN: {reason}; it looks like arn:aws:iam::123456789012:role/NAME")]
pub struct InvalidRoleArn {
    text: String,
    reason: &'static str,
}

impl FromStr for RoleArn {
    type Err = InvalidRoleArn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidRoleArn {
            text: text.to_owned(),
            reason,
        };
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (prefix, partition, service, region, account, resource) =
            (next(), next(), next(), next(), next(), next());
        if prefix != "arn" {
            return Err(invalid("it does not start with 'arn:'"));
        }
        let known_partition = partition == "aws"
            || partition.strip_prefix("aws-").is_some_and(|rest| {
                !rest.is_empty()
                    && rest
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            });
        if !known_partition {
            return Err(invalid("its partition is not aws, aws-cn, aws-us-gov, ..."));
        }
        if service == "sts" && resource.starts_with("assumed-role/") {
            return Err(invalid(
                "it names a session of a role, not the role (arn:aws:iam::ACCOUNT:role/NAME)",
            ));
        }
        if service != "iam" || !region.is_empty() {
            return Err(invalid("it is not of IAM (arn:aws:iam::...)"));
        }
        let account = account
            .parse()
            .map_err(|_| invalid("its account id does not have 12 digits"))?;
        let name = resource
            .strip_prefix("role/")
            .ok_or_else(|| invalid("its resource is not role/NAME"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte);
        if name.is_empty() || name.ends_with('/') || !name.bytes().all(plain) {
            return Err(invalid("the role's name is missing or has odd characters"));
        }
        Ok(Self {
            text: text.to_owned(),
            account,
        })
    }
}

/// The account id in any ARN, where it has one.
#[must_use]
pub fn account_of(arn: &str) -> Option<AccountId> {
    arn.strip_prefix("arn:")?.split(':').nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_arns_of_every_partition_and_path() {
        for text in [
            "arn:aws:iam::012345678901:role/OurThingBuildRole",
            "arn:aws-cn:iam::123456789012:role/build",
            "arn:aws-us-gov:iam::123456789012:role/team/path/build",
            "arn:aws-iso-b:iam::123456789012:role/a+b=c,d.e@f-g_h",
            "arn:aws-eusc:iam::123456789012:role/x",
        ] {
            assert_eq!(text.parse::<RoleArn>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn look_alikes_are_refused_with_their_reason() {
        for (text, reason) in [
            ("", "does not start"),
            ("$ROLE_ARN", "does not start"),
            (" arn:aws:iam::123456789012:role/x", "does not start"),
            ("arn:evil:iam::123456789012:role/x", "partition"),
            ("arn:aws:iam::12345678901:role/x", "12 digits"),
            ("arn:aws:iam:us-east-1:123456789012:role/x", "of IAM"),
            ("arn:aws:s3::123456789012:role/x", "of IAM"),
            ("arn:aws:iam::123456789012:user/builder", "role/NAME"),
            ("arn:aws:iam::123456789012:role/", "name"),
            ("arn:aws:iam::123456789012:role/x\n", "name"),
            (
                "arn:aws:sts::123456789012:assumed-role/x/session",
                "a session of a role",
            ),
        ] {
            let error = text.parse::<RoleArn>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn accounts_of_callers() {
        let account = account_of("arn:aws:iam::011111111111:user/builder").unwrap();
        assert_eq!(account.as_str(), "011111111111");
        assert_eq!(account_of("arn:aws:s3:::bucket"), None);
    }
}
