//! What `AssumeRole` takes: told before AWS is asked, by what is wrong.
//!
//! Source: `AssumeRole`, STS API reference.

use std::time::Duration;

/// An external id.
///
/// # Errors
/// What is wrong with it.
pub fn external_id(id: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    if (2..=1224).contains(&id.len()) && id.chars().all(is_allowed) {
        Ok(())
    } else {
        Err("it must have 2 to 1224 letters, digits and _+=,.@:/-")
    }
}

/// The name of a role session.
///
/// # Errors
/// What is wrong with it.
pub fn session_name(name: &str) -> Result<(), &'static str> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (2..=64).contains(&name.len()) && name.chars().all(is_allowed) {
        Ok(())
    } else {
        Err("it must have 2 to 64 letters, digits and _+=,.@-")
    }
}

/// How long a role session lasts.
///
/// # Errors
/// What is wrong with it.
pub fn session_duration(duration: Duration) -> Result<(), &'static str> {
    if (900..=43_200).contains(&duration.as_secs()) {
        Ok(())
    } else {
        Err("it must be 900 to 43200 seconds (15m to 12h), and the role may allow less")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_assume_role() {
        for (id, is_valid) in [
            ("some_key_build", true),
            ("a:/b", true),
            ("x", false),
            ("with space", false),
            ("ümlaut", false),
        ] {
            assert_eq!(external_id(id).is_ok(), is_valid, "{id}");
        }
        assert!(external_id(&"x".repeat(1224)).is_ok());
        assert!(external_id(&"x".repeat(1225)).is_err());
        assert!(session_name("a/b").is_err());
        assert!(session_name(&"x".repeat(64)).is_ok());
        assert!(session_name(&"x".repeat(65)).is_err());
        for (seconds, is_valid) in [(899, false), (900, true), (43_200, true), (43_201, false)] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(session_duration(duration).is_ok(), is_valid, "{seconds}");
        }
    }
}
