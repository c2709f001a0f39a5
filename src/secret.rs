//! Secrets: held so that they cannot be printed, and filtered out of whatever is printed.
//!
//! A key, a session token, an ECR password or a Docker `auth` is a [`Secret`] from the moment it is read.
//! What to do with a secret is left to the rooms; this module only keeps it from leaking.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use zeroize::Zeroizing;

/// Shorter values are not filtered: replacing every `abc` would make a text unreadable and hide nothing.
const SHORTEST_REDACTED: usize = 8;

const REDACTED: &str = "[redacted]";

/// Every live secret, so that a peer that echoes one in its error text cannot make us print it.
static LIVE: Mutex<Vec<Weak<Zeroizing<String>>>> = Mutex::new(Vec::new());

/// A value that must not be seen: no `Display`, a redacted `Debug`, zeroed when the last clone is dropped.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes `value` in; from now on [`redact`] removes it from texts.
    pub fn new(value: impl Into<String>) -> Self {
        let shared = Arc::new(Zeroizing::new(value.into()));
        if shared.len() >= SHORTEST_REDACTED {
            let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
            live.retain(|secret| secret.strong_count() > 0);
            live.push(Arc::downgrade(&shared));
        }
        Self(shared)
    }

    /// The value itself, for the one place that hands it to its rightful receiver.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}

/// `text` with every live secret of eight or more characters replaced by `[redacted]`.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let live: Vec<_> = {
        let secrets = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().filter_map(Weak::upgrade).collect()
    };
    live.iter().fold(Cow::Borrowed(text), |text, secret| {
        if text.contains(secret.as_str()) {
            Cow::Owned(text.replace(secret.as_str(), REDACTED))
        } else {
            text
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("wJalrXUtnFEMI")), "[redacted]");
    }

    #[test]
    fn redact_removes_live_secrets_and_forgets_dropped_ones() {
        let secret = Secret::new("a-live-secret-value");
        assert_eq!(
            redact("got a-live-secret-value back"),
            "got [redacted] back"
        );
        drop(secret);
        assert_eq!(redact("a-live-secret-value"), "a-live-secret-value");
    }

    #[test]
    fn short_values_do_not_mangle_texts() {
        let _secret = Secret::new("AWS");
        assert_eq!(redact("AWS said no"), "AWS said no");
    }
}
