//! What goes where: an image times registries times tags. Pure; nothing is asked of anybody.

use crate::ecr::repository::{ImageReference, Repository, Tag};
use crate::error::{ExitCode, Failure};

/// The tag that Docker, too, takes where none is named.
const DEFAULT_TAG: &str = "latest";

/// Repository and tags, the same for every registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The repository.
    pub repository: Repository,
    /// The tags, without repetitions, in the order given.
    pub tags: Vec<Tag>,
}

impl Plan {
    /// `HOST/REPOSITORY:TAG`.
    #[must_use]
    pub fn reference(&self, host: &str, tag: &str) -> String {
        format!("{host}/{}:{tag}", self.repository)
    }
}

/// Why there is no plan.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// An image id has no name to take the repository from.
    #[error("'{image}' has no repository name to push to: give one with --to REPOSITORY")]
    NoRepository {
        /// The image.
        image: String,
    },
    /// An image id or digest has no tag, and `latest` would be a guess.
    #[error("'{image}' has no tag to push under: give one with --tag TAG")]
    NoTag {
        /// The image.
        image: String,
    },
}

impl Failure for PlanError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Settings
    }
}

/// Fills in, from the image's own name, what was not said.
///
/// # Errors
/// [`PlanError`], where the image has no name.
pub fn plan(
    image: &ImageReference,
    to: Option<&Repository>,
    tags: &[Tag],
) -> Result<Plan, PlanError> {
    let text = || image.as_str().to_owned();
    let repository = to
        .or(image.repository())
        .ok_or_else(|| PlanError::NoRepository { image: text() })?
        .clone();
    let mut unique: Vec<Tag> = Vec::new();
    for tag in tags {
        if !unique.contains(tag) {
            unique.push(tag.clone());
        }
    }
    if unique.is_empty() {
        unique.push(match image.tag() {
            Some(tag) => tag.clone(),
            None if !image.has_digest() => DEFAULT_TAG
                .parse()
                .map_err(|_| PlanError::NoTag { image: text() })?,
            None => return Err(PlanError::NoTag { image: text() }),
        });
    }
    Ok(Plan {
        repository,
        tags: unique,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(image: &str, to: Option<&str>, tags: &[&str]) -> Result<String, PlanError> {
        let to = to.map(|to| to.parse().unwrap());
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let plan = plan(&image.parse().unwrap(), to.as_ref(), &tags)?;
        let tags: Vec<_> = plan.tags.iter().map(Tag::as_str).collect();
        Ok(format!("{}:{}", plan.repository, tags.join(",")))
    }

    #[test]
    fn what_is_not_said_comes_from_the_image() {
        for (image, to, tags, expected) in [
            ("app", None, &[][..], "app:latest"),
            ("team/app:1", None, &[], "team/app:1"),
            ("ghcr.io/team/app:1", None, &["2"], "team/app:2"),
            ("app:1", Some("demo/app"), &["a", "b", "a"], "demo/app:a,b"),
            ("0123456789ab", Some("app"), &["1"], "app:1"),
        ] {
            assert_eq!(planned(image, to, tags).unwrap(), expected, "{image}");
        }
        assert!(matches!(
            planned("0123456789ab", None, &["1"]),
            Err(PlanError::NoRepository { .. })
        ));
        let by_digest = format!("app@sha256:{}", "ab".repeat(32));
        for image in ["0123456789ab", &by_digest] {
            assert!(matches!(
                planned(image, Some("app"), &[]),
                Err(PlanError::NoTag { .. })
            ));
        }
    }
}
