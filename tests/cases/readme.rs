//! README against the program: its commands are run, its tables compared.

use std::process::Command;

use crate::support::daemon::{FakeDaemon, routine};
use crate::support::fake_aws::FakeAws;
use crate::support::files::Folder;
use crate::support::program::{Program, binary};
use crate::support::sandbox::sandbox;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The contents of the fenced blocks in `language`.
fn blocks(language: &str) -> Vec<String> {
    readme()
        .split(&format!("```{language}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// The lines of all shell blocks that run crossdock, continued lines joined, comments off.
fn commands() -> Vec<String> {
    blocks("sh")
        .iter()
        .flat_map(|block| {
            block
                .replace("\\\n", " ")
                .lines()
                .map(|line| line.split(" # ").next().unwrap().trim().to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|line| line.contains("crossdock "))
        .collect()
}

#[test]
fn every_command_runs() {
    let commands = commands();
    assert!(commands.len() >= 8, "{commands:?}");
    for line in commands {
        let aws =
            FakeAws::working("https://022222222222.dkr.ecr.eu-central-1.amazonaws.com").serve();
        let daemon = FakeDaemon::answering(|request| routine(&request.path));
        // Nothing is pushed to, or asked of, registries that are not there.
        let line = match line.as_str() {
            line if line.contains("crossdock push") && !line.contains("--dry-run") => {
                format!("{line} --dry-run")
            }
            line => line.replace("--verify registry", "--verify never"),
        };
        let mut command = Command::new("sh");
        command.args(["-e", "-c", &line]);
        let program = Program::from_command(command);
        for (block, file) in blocks("ini")
            .iter()
            .zip([".aws/config", ".aws/credentials"])
        {
            program.home().write(file, block);
        }
        let path = format!(
            "{}:{}",
            binary().parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let mut program = program
            .env("PATH", path)
            .env("DOCKER_HOST", daemon.host())
            .env("CROSSDOCK_VERIFY", "never")
            .fake_aws(&aws);
        program = if line.contains("--profile") {
            // Here keys, role and region are in the profile.
            [
                "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_REGION",
                "CROSSDOCK_ROLE_ARN",
            ]
            .into_iter()
            .fold(program, Program::without)
        } else {
            program.env("CROSSDOCK_EXTERNAL_ID", "some_key_build")
        };
        let run = program.run();
        assert_eq!(run.code, Some(0), "{line}\n{}", run.stderr);
        drop((aws.may_be_idle(), daemon.peer.may_be_idle()));
    }
}

/// The policies are those that the sandbox was seeded with, and that every other test goes through.
#[test]
fn the_policies_are_what_the_sandbox_has() {
    let policies: Vec<serde_json::Value> = blocks("json")
        .iter()
        .map(|block| serde_json::from_str(block).unwrap())
        .collect();
    let [trust, caller] = &policies[..] else {
        panic!("README has {} policies", policies.len())
    };
    let trust = &trust["Statement"][0];
    let account = sandbox().get("BUILD_ACCOUNT");
    assert_eq!(
        trust["Principal"]["AWS"],
        format!("arn:aws:iam::{account}:root")
    );
    assert_eq!(trust["Action"], "sts:AssumeRole");
    assert_eq!(
        trust["Condition"]["StringEquals"]["sts:ExternalId"],
        sandbox().get("EXTERNAL_ID")
    );
    assert_eq!(
        caller["Statement"][0]["Resource"],
        sandbox().get("ROLE_ARN")
    );
    let seed = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/sandbox/seed.py"
    ))
    .unwrap();
    assert!(seed.contains("AmazonEC2ContainerRegistryPowerUser"));
}

#[test]
fn the_exit_codes_are_those_of_help() {
    let help = Program::new(&["--help"]).run().code(0).stdout;
    let codes: Vec<(String, String)> = help
        .split_once("Exit codes:\n")
        .unwrap()
        .1
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(code, meaning)| (code.to_owned(), meaning.trim().to_owned()))
        .collect();
    assert_eq!(codes.len(), 11);
    let readme = readme();
    for (code, meaning) in codes {
        let row = format!("| {code} | {meaning}");
        assert!(readme.contains(&row), "README lacks '{row}'");
    }
}

#[test]
fn completions_and_the_manual_page_know_every_subcommand() {
    for shell in ["bash", "zsh", "fish"] {
        let run = Program::new(&["completions", shell]).run().code(0);
        for word in [
            "login",
            "push",
            "logout",
            "--external-id",
            "--allowed-account",
        ] {
            assert!(
                run.stdout.contains(word.trim_start_matches('-')),
                "{shell} lacks {word}"
            );
        }
    }
    let folder = Folder::new();
    let script = Program::new(&["completions", "bash"]).run().code(0).stdout;
    let script = folder.write("crossdock.bash", &script);
    let checked = Command::new("bash")
        .arg("-n")
        .arg(&script)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    let page = Program::new(&["man"]).run().code(0).stdout;
    for word in [
        ".TH crossdock",
        "crossdock\\-push",
        "CROSSDOCK_EXTERNAL_ID",
        "Exit codes",
    ] {
        assert!(page.contains(word), "the manual page lacks {word}");
    }
}
