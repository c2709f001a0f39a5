//! The sandbox's addresses and keys, from the environment or from its `env` file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

/// What `tests/sandbox/README.md` promises.
pub struct Sandbox {
    values: HashMap<String, String>,
}

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(Sandbox::load);

/// The sandbox that is up.
pub fn sandbox() -> &'static Sandbox {
    &SANDBOX
}

impl Sandbox {
    fn load() -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
            PathBuf::from,
        );
        let path = target.join("sandbox/env");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!(
                "the sandbox is not up ({}: {error}): run 'make sandbox-up', or 'make test' for everything",
                path.display()
            )
        });
        let values = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        Self { values }
    }

    /// The value of `SANDBOX_<name>`.
    pub fn get(&self, name: &str) -> &str {
        let name = format!("SANDBOX_{name}");
        self.values
            .get(&name)
            .unwrap_or_else(|| panic!("the sandbox's env file has no {name}"))
    }

    /// Everything in it that must never be seen in an output.
    pub fn secrets(&self) -> Vec<String> {
        self.values
            .iter()
            .filter(|(name, _)| {
                name.ends_with("SECRET_ACCESS_KEY") || name.ends_with("REGISTRY_PASSWORD")
            })
            .map(|(_, value)| value.clone())
            .collect()
    }
}
