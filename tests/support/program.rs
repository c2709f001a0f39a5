//! The built program, run as a user runs it: nothing of the tester's environment leaks in, and every run is
//! searched for the secrets of the sandbox.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fake_aws;
use super::files::Folder;
use super::peer::Peer;
use super::sandbox::sandbox;

/// A run in preparation.
pub struct Program {
    command: Command,
    home: Folder,
    secrets: Vec<String>,
}

/// A finished run.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// The path of the program under test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_crossdock"))
}

impl Program {
    /// The program with `arguments`, an empty environment and a home of its own.
    pub fn new(arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments);
        Self::from_command(command)
    }

    /// Any command that ends up running the program.
    pub fn from_command(mut command: Command) -> Self {
        let home = Folder::new();
        command
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            home,
            secrets: Vec::new(),
        }
    }

    /// The program against the sandbox: its AWS, its daemon, the builder's keys. No role yet.
    pub fn in_sandbox(arguments: &[&str]) -> Self {
        Self::new(arguments)
            .sandbox_aws()
            .env("DOCKER_HOST", sandbox().get("DOCKER_HOST"))
    }

    /// In the sandbox, with the role and its external id: the set-up that works.
    pub fn with_role(arguments: &[&str]) -> Self {
        Self::in_sandbox(arguments).role()
    }

    /// The sandbox's AWS, with the builder's keys.
    pub fn sandbox_aws(self) -> Self {
        self.env("AWS_ENDPOINT_URL", sandbox().get("AWS_ENDPOINT"))
            .env("AWS_REGION", sandbox().get("REGION"))
            .keys_of("BUILDER")
    }

    /// The role and its external id.
    pub fn role(self) -> Self {
        self.env("CROSSDOCK_ROLE_ARN", sandbox().get("ROLE_ARN"))
            .env("CROSSDOCK_EXTERNAL_ID", sandbox().get("EXTERNAL_ID"))
    }

    /// The program against a scripted AWS, with keys and a role that it knows.
    pub fn with_fake_aws(arguments: &[&str], aws: &Peer) -> Self {
        Self::new(arguments).fake_aws(aws)
    }

    /// A scripted AWS, with keys and a role that it knows.
    pub fn fake_aws(self, aws: &Peer) -> Self {
        self.env("AWS_ENDPOINT_URL", aws.url())
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", fake_aws::SOURCE_SECRET)
            .env("CROSSDOCK_ROLE_ARN", fake_aws::ROLE)
            .secret(fake_aws::SOURCE_SECRET)
            .secret(fake_aws::SESSION_SECRET)
            .secret(fake_aws::SESSION_TOKEN)
            .secret(fake_aws::PASSWORD)
    }

    /// The environment keys of a user of the sandbox.
    pub fn keys_of(self, user: &str) -> Self {
        self.env(
            "AWS_ACCESS_KEY_ID",
            sandbox().get(&format!("{user}_ACCESS_KEY_ID")),
        )
        .env(
            "AWS_SECRET_ACCESS_KEY",
            sandbox().get(&format!("{user}_SECRET_ACCESS_KEY")),
        )
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// One more value that must not be in the output.
    pub fn secret(mut self, value: &str) -> Self {
        self.secrets.push(value.to_owned());
        self
    }

    /// The home folder of this run; gone after it, unless it is borrowed before.
    pub fn home(&self) -> &Folder {
        &self.home
    }

    pub fn spawn(&mut self) -> Child {
        self.command.spawn().unwrap()
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Run {
        let start = Instant::now();
        let output = self.command.output().unwrap();
        let run = Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            took: start.elapsed(),
        };
        self.secrets.extend(sandbox().secrets());
        run.assert_free_of(&self.secrets);
        run
    }
}

impl Run {
    /// Fails if one of `secrets`, plain or as Docker encodes it, is in the output.
    pub fn assert_free_of(&self, secrets: &[String]) {
        for secret in secrets {
            let forms = [secret.clone(), STANDARD.encode(format!("AWS:{secret}"))];
            // The beginning of a secret that was cut would give away nearly as much.
            let beginnings = forms
                .iter()
                .filter_map(|form| form.get(..40).map(str::to_owned));
            for form in forms.iter().cloned().chain(beginnings) {
                assert!(
                    !self.stdout.contains(&form) && !self.stderr.contains(&form),
                    "a secret is in the output:\n{}\n{}",
                    self.stdout,
                    self.stderr
                );
            }
        }
    }

    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code\nstdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// The exact stdout.
    #[track_caller]
    pub fn stdout(self, expected: &str) -> Self {
        assert_eq!(self.stdout, expected, "stderr:\n{}", self.stderr);
        self
    }

    /// The exact stderr.
    #[track_caller]
    pub fn stderr(self, expected: &str) -> Self {
        assert_eq!(self.stderr, expected);
        self
    }

    /// A part of stderr.
    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        assert!(
            self.stderr.contains(part),
            "stderr lacks '{part}':\n{}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn does_not_say(self, part: &str) -> Self {
        assert!(
            !self.stderr.contains(part),
            "stderr has '{part}':\n{}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn within(self, limit: Duration) -> Self {
        assert!(self.took < limit, "took {:?}:\n{}", self.took, self.stderr);
        self
    }

    /// stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "stdout is not JSON ({error}):\n{}\n{}",
                self.stdout, self.stderr
            )
        })
    }
}
