//! AWS access keys, long-lived or of a session.

use std::time::SystemTime;

use aws_credential_types::Credentials;

use crate::secret::Secret;

/// A set of keys to sign requests with.
#[derive(Clone, Debug)]
pub struct Keys {
    /// `AKIA...` (long-lived) or `ASIA...` (of a session); not a secret by itself.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// There for session keys only.
    pub session_token: Option<Secret>,
    /// When a session's keys end.
    pub expires_at: Option<SystemTime>,
}

impl Keys {
    /// The same keys in the SDK's type.
    #[must_use]
    pub fn to_sdk(&self) -> Credentials {
        Credentials::new(
            &self.access_key_id,
            self.secret_access_key.expose(),
            self.session_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            self.expires_at,
            "crossdock",
        )
    }

    /// Whether these are keys of a session, by the prefix that AWS gives them.
    ///
    /// Source: "Unique identifiers", IAM User Guide.
    #[must_use]
    pub fn are_temporary(&self) -> bool {
        self.access_key_id.starts_with("ASIA")
    }

    /// The access key id, shortened to what tells two keys apart.
    #[must_use]
    pub fn label(&self) -> String {
        let id = &self.access_key_id;
        match (id.get(..4), id.get(id.len().saturating_sub(4)..)) {
            (Some(start), Some(end)) if id.len() > 8 => format!("{start}...{end}"),
            _ => id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tell_keys_apart_without_showing_them_whole() {
        let mut keys = Keys {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: Secret::new("x"),
            session_token: None,
            expires_at: None,
        };
        assert_eq!(keys.label(), "AKIA...MPLE");
        assert!(!keys.are_temporary());
        keys.access_key_id = "ASIA".to_owned();
        assert_eq!(keys.label(), "ASIA");
        assert!(keys.are_temporary());
    }
}
