//! The job that crossdock runs in.
//!
//! Source: "Predefined CI/CD variables reference", GitLab documentation.

use crate::environment::Environment;

/// A role session's name has 2 to 64 characters (`AssumeRole`, STS API reference).
const LONGEST_SESSION_NAME: usize = 64;

/// A GitLab job, known by its `CI_JOB_ID` (`GITLAB_CI` is false in local runners).
#[derive(Clone, Debug)]
pub struct Job<'a> {
    environment: &'a Environment,
    id: &'a str,
}

impl<'a> Job<'a> {
    /// The job that `environment` belongs to, if it is a job's.
    #[must_use]
    pub fn from_environment(environment: &'a Environment) -> Option<Self> {
        let id = environment.get("CI_JOB_ID")?;
        Some(Self { environment, id })
    }

    /// A name for the role session that leads CloudTrail's reader to this job: project, pipeline, job.
    #[must_use]
    pub fn session_name(&self) -> String {
        let get = |name, default| self.environment.get(name).unwrap_or(default);
        let ids = format!("-{}-{}", get("CI_PIPELINE_ID", "0"), self.id);
        let mut project = sanitized(get("CI_PROJECT_PATH_SLUG", "gitlab"));
        let ids = sanitized(&ids);
        // The ids tell jobs apart, so it is the project's name that is cut.
        project.truncate(LONGEST_SESSION_NAME.saturating_sub(ids.len()));
        let mut name = format!("{project}{ids}");
        name.truncate(LONGEST_SESSION_NAME);
        name
    }
}

/// `text` with `-` for what a session name must not have.
#[must_use]
pub fn sanitized(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            _ if character.is_ascii_alphanumeric() => character,
            '_' | '+' | '=' | ',' | '.' | '@' | '-' => character,
            _ => '-',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name<const N: usize>(variables: [(&str, &str); N]) -> Option<String> {
        let environment = Environment::from(variables);
        Job::from_environment(&environment).map(|job| job.session_name())
    }

    #[test]
    fn session_names_fit_and_keep_the_ids() {
        assert_eq!(name([("GITLAB_CI", "true")]), None);
        assert_eq!(
            name([
                ("CI_PROJECT_PATH_SLUG", "team-app"),
                ("CI_PIPELINE_ID", "42"),
                ("CI_JOB_ID", "1001")
            ])
            .as_deref(),
            Some("team-app-42-1001")
        );
        assert_eq!(name([("CI_JOB_ID", "7")]).as_deref(), Some("gitlab-0-7"));
        let long = name([
            ("CI_PROJECT_PATH_SLUG", &"p".repeat(63)),
            ("CI_PIPELINE_ID", "1234567890"),
            ("CI_JOB_ID", "12345678901"),
        ])
        .unwrap();
        assert_eq!(long.len(), 64);
        assert!(long.ends_with("p-1234567890-12345678901"), "{long}");
        let odd = name([("CI_PROJECT_PATH_SLUG", "a/ü b"), ("CI_JOB_ID", "1")]).unwrap();
        assert_eq!(odd, "a---b-0-1");
    }
}
