//! The docker CLI and images made from nothing.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::files::Folder;
use super::sandbox::sandbox;

/// The docker CLI with a config folder of its own, against the sandbox's daemon.
pub struct DockerCli {
    config: Folder,
}

impl DockerCli {
    pub fn new() -> Self {
        Self {
            config: Folder::new(),
        }
    }

    pub fn config(&self) -> &Folder {
        &self.config
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        Command::new("docker")
            .args(arguments)
            .env("DOCKER_HOST", sandbox().get("DOCKER_HOST"))
            .env("DOCKER_CONFIG", self.config.path())
            .env_remove("DOCKER_AUTH_CONFIG")
            .output()
            .unwrap()
    }

    /// Runs it and gives its stdout; fails if it fails.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The digest that the daemon knows `reference` by.
    pub fn digest(&self, reference: &str) -> String {
        let digests = self.run(&[
            "image",
            "inspect",
            "--format",
            "{{json .RepoDigests}}",
            reference,
        ]);
        let digests: Vec<String> = serde_json::from_str(&digests).unwrap();
        let repository = reference.rsplit_once(':').unwrap().0;
        digests
            .iter()
            .find_map(|digest| digest.strip_prefix(&format!("{repository}@")))
            .unwrap_or_else(|| panic!("{reference} has no digest: {digests:?}"))
            .to_owned()
    }
}

/// An image of its own for a test, in the sandbox's daemon; removed at the end with all its names.
pub struct Image {
    pub name: String,
    pub id: String,
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A name that no other test of this or an earlier run has used.
pub fn unique(prefix: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{prefix}-{now:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Image {
    /// An image with one layer, whose content is nobody else's.
    pub fn new() -> Self {
        let name = format!("{}:build", unique("test"));
        Self::with_name(&name)
    }

    /// The same under a name of the test's choice.
    pub fn with_name(name: &str) -> Self {
        let folder = Folder::new();
        folder.write("content", &unique("content"));
        let tar = folder.join("image.tar");
        let status = Command::new("tar")
            .arg("-C")
            .arg(folder.path())
            .arg("-cf")
            .arg(&tar)
            .arg("content")
            .status()
            .unwrap();
        assert!(status.success());
        let id = DockerCli::new().run(&["import", tar.to_str().unwrap(), name]);
        Self {
            name: name.to_owned(),
            id,
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = DockerCli::new().output(&["image", "rm", "--force", &self.id]);
    }
}
