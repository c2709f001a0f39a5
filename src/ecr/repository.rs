//! The grammar of repository names, tags and image references.
//!
//! Source: `CreateRepository` in the Amazon ECR API reference, and the reference grammar of the distribution
//! project (`reference` package), which Docker follows.

use std::fmt;
use std::str::FromStr;

use super::host::{RegistryHost, is_host_and_port, is_host_like};

/// A repository name: 2 to 256 characters in lower case, parts separated by `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository(String);

/// A tag: up to 128 letters, digits, `_`, `.` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(String);

/// An image as the user names it to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    text: String,
    host: Option<String>,
    repository: Option<Repository>,
    tag: Option<Tag>,
    has_digest: bool,
}

/// Why a text is no repository, tag or image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {kind}: {reason}")]
pub struct InvalidName {
    kind: &'static str,
    text: String,
    reason: &'static str,
}

impl Repository {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ImageReference {
    /// The image as it was named.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The registry's host, where the name begins with one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The repository; an image id has none.
    #[must_use]
    pub fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// Whether it is named by a digest or an id, so that there is no tag to be assumed.
    #[must_use]
    pub fn has_digest(&self) -> bool {
        self.has_digest
    }

    /// The tag, where one is named.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }
}

macro_rules! display_as_text {
    ($($name:ident . $field:tt),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.$field)
            }
        }
    )*};
}
display_as_text!(Repository.0, Tag.0, ImageReference.text);

impl FromStr for Repository {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidName {
            kind: "a repository name",
            text: text.to_owned(),
            reason,
        };
        let first = text.split('/').next().unwrap_or(text);
        let names_registry = first
            .parse::<RegistryHost>()
            .is_ok_and(|host| host.account().is_some());
        if names_registry || text.contains(':') || text.contains('@') {
            return Err(invalid(
                "give the tag with --tag and the registry with --registry",
            ));
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(invalid("it has capital letters"));
        }
        if !(2..=256).contains(&text.len()) {
            return Err(invalid("it must have 2 to 256 characters"));
        }
        if !text.split('/').all(is_path_component) {
            return Err(invalid(
                "between slashes there must be letters and digits, joined by '.', '_', '__' or '-'",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let is_word = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let separators_are_single = component
        .split(is_word)
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        });
    component.starts_with(is_word) && component.ends_with(is_word) && separators_are_single
}

impl FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidName {
            kind: "a tag",
            text: text.to_owned(),
            reason,
        };
        if text.is_empty() || text.len() > 128 {
            return Err(invalid("it must have 1 to 128 characters"));
        }
        if text.starts_with(['.', '-']) {
            return Err(invalid("it must not begin with '.' or '-'"));
        }
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        {
            return Err(invalid(
                "it may have letters, digits, '_', '.' and '-' only (CI_COMMIT_REF_SLUG is such a form of a branch)",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ImageReference {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidName {
            kind: "an image",
            text: text.to_owned(),
            reason,
        };
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(invalid("it is empty or has white space in it"));
        }
        if text.starts_with('-') {
            return Err(invalid("it begins with '-'"));
        }
        if is_image_id(text) {
            return Ok(Self {
                text: text.to_owned(),
                host: None,
                repository: None,
                tag: None,
                has_digest: true,
            });
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(invalid("what follows '@' is not sha256:<64 hex digits>"));
        }
        let (path, tag) = match named.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.parse()?)),
            _ => (named, None),
        };
        let (host, path) = match path.split_once('/') {
            Some((first, _)) if is_host_like(first) && !is_host_and_port(first) => {
                return Err(invalid("its first part is no host name"));
            }
            Some((first, rest)) if is_host_like(first) => (Some(first.to_owned()), rest),
            _ => (None, path),
        };
        // Docker knows names of one character, ECR does not: such an image needs --to, and is no error here.
        let repository = match path.parse() {
            Ok(repository) => Some(repository),
            Err(_) if path.len() == 1 && is_path_component(path) => None,
            Err(_) => {
                return Err(invalid(
                    "it is neither [HOST/]REPOSITORY[:TAG] in lower case nor an image id",
                ));
            }
        };
        Ok(Self {
            text: text.to_owned(),
            host,
            repository,
            tag,
            has_digest: digest.is_some(),
        })
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_lower_hex))
}

/// A whole digest, or the 12 or more hex digits that `docker images` prints.
fn is_image_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let enough = if hex.len() == text.len() { 12 } else { 1 };
    (enough..=64).contains(&hex.len()) && hex.bytes().all(is_lower_hex)
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for name in ["app", "team/app", "a1", "a.b_c__d---e/f", "0/1"] {
            assert!(name.parse::<Repository>().is_ok(), "{name}");
        }
        for name in [
            "",
            "a",
            "App",
            "team//app",
            "/app",
            "app/",
            "a..b",
            "a___b",
            "-app",
            "app_",
            "app:1",
            "a b",
            "022222222222.dkr.ecr.eu-central-1.amazonaws.com/app",
            "ap$p",
        ] {
            assert!(name.parse::<Repository>().is_err(), "{name}");
        }
        assert!("a".repeat(257).parse::<Repository>().is_err());
    }

    #[test]
    fn tags() {
        for tag in ["1", "v1.2.3", "_x", "A-b_c.d"] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        for tag in ["", ".x", "-x", "a/b", "a b", "é", "feature/x"] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
        assert!("t".repeat(129).parse::<Tag>().is_err());
    }

    #[test]
    fn images() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, host, repository, tag) in [
            ("app", None, Some("app"), None),
            ("app:1", None, Some("app"), Some("1")),
            ("team/app:1", None, Some("team/app"), Some("1")),
            (
                "127.0.0.1:5000/app:1",
                Some("127.0.0.1:5000"),
                Some("app"),
                Some("1"),
            ),
            ("localhost/app", Some("localhost"), Some("app"), None),
            (
                "ghcr.io/x/y@sha256:abababababababababababababababababababababababababababababababab",
                Some("ghcr.io"),
                Some("x/y"),
                None,
            ),
            (digest.as_str(), None, None, None),
            ("0123456789ab", None, None, None),
            ("a", None, None, None),
        ] {
            let image: ImageReference = text.parse().unwrap();
            assert_eq!(image.host(), host, "{text}");
            assert_eq!(
                image.repository().map(Repository::as_str),
                repository,
                "{text}"
            );
            assert_eq!(image.tag().map(Tag::as_str), tag, "{text}");
        }
        for text in [
            "",
            "App",
            "app:",
            "app@sha256:12",
            "a b",
            "--tag",
            "app:.x",
            "http://x/y",
            "../images/x",
            "a.b?x/y",
        ] {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }
}
