//! The process environment, taken once and passed down: rooms read it from here, tests from a list.
//!
//! An empty variable counts as unset everywhere: in a GitLab pipeline `NAME: ""` is how one is blanked.

use std::collections::HashMap;
use std::path::PathBuf;

/// A snapshot of environment variables.
#[derive(Clone, Debug, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The variables of this process. Names or values that are not UTF-8 are left out, and where `HOME` is not set the
    /// password file's home stands in for it.
    #[must_use]
    pub fn of_process() -> Self {
        let mut environment: Self = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        if environment.get("HOME").is_none()
            && let Some(home) =
                std::env::home_dir().and_then(|home| home.into_os_string().into_string().ok())
        {
            environment.0.insert("HOME".to_owned(), home);
        }
        environment
    }

    /// The value of `name`, unless it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The first of `names` that is set, with its value.
    #[must_use]
    pub fn first<'a>(&self, names: &[&'a str]) -> Option<(&'a str, &str)> {
        names
            .iter()
            .find_map(|name| self.get(name).map(|value| (*name, value)))
    }

    /// The user's home directory.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// What went wrong when `value` was pasted or expanded; `None` if it looks as meant. Made for keys, ARNs and
/// ids, none of which can have white space, quotes or a leading `$`.
#[must_use]
pub fn paste_fault(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        Some("it is empty")
    } else if value.starts_with('$') {
        Some("it is a variable's name that was not expanded")
    } else if value.starts_with(['"', '\'']) || value.ends_with(['"', '\'']) {
        Some("it has quotes around it")
    } else if value.contains(char::is_whitespace) {
        Some("it has white space in it")
    } else if value == "[MASKED]" || value.chars().all(|character| character == '*') {
        Some("it was copied from a place that masks it")
    } else {
        None
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}
