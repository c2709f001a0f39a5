//! Wrong usage and wrong settings: exit code 2 (or 3 for credentials), one sentence, nothing asked of anybody.

use crate::support::files::Folder;
use crate::support::program::{Program, binary};

#[test]
fn version_and_help() {
    Program::new(&["--version"])
        .run()
        .code(0)
        .stdout(concat!("crossdock ", env!("CARGO_PKG_VERSION"), "\n"))
        .stderr("");
    let help = Program::new(&["--help"]).run().code(0);
    for line in [
        "0  done",
        "4  AWS refused (access denied, wrong account)",
        "9  the tag exists, is immutable, and holds another digest",
        "10 some targets were pushed, some not",
    ] {
        assert!(help.stdout.contains(line), "{line}: {}", help.stdout);
    }
}

#[test]
fn help_does_not_show_the_values_of_variables() {
    let help = Program::new(&["push", "--help"])
        .env("CROSSDOCK_EXTERNAL_ID", "an-id-of-ours")
        .run()
        .code(0);
    assert!(
        help.stdout.contains("CROSSDOCK_EXTERNAL_ID"),
        "{}",
        help.stdout
    );
    assert!(!help.stdout.contains("an-id-of-ours"), "{}", help.stdout);
}

#[test]
fn a_wrong_command_line_is_exit_2() {
    for arguments in [
        &[][..],
        &["pull"],
        &["push"],
        &["push", "app", "--frobnicate"],
        &["login", "--source", "somewhere"],
        &["login", "--verify", "maybe"],
        &["login", "-v", "-q"],
    ] {
        let run = Program::new(arguments).run().code(2);
        assert_eq!(run.stdout, "", "{arguments:?}");
        assert!(
            run.stderr.contains("Usage:") || run.stderr.contains("try '--help'"),
            "{arguments:?}: {}",
            run.stderr
        );
    }
}

/// Each would, if it were let through, end in a worse error later or send something where it must not go.
#[allow(clippy::too_many_lines, reason = "a table")]
#[test]
fn a_value_that_cannot_work_is_told_by_the_name_of_its_option() {
    let role = "arn:aws:iam::022222222222:role/R";
    for (arguments, message) in [
        (
            &["login", "--role-arn", ""][..],
            "--role-arn (CROSSDOCK_ROLE_ARN) is not usable: it is empty",
        ),
        (
            &[
                "push",
                "app",
                "--to",
                "022222222222.dkr.ecr.eu-central-1.amazonaws.com/app",
            ],
            "the registry with --registry",
        ),
        (
            &["login", "--role-arn", "$ROLE_ARN"][..],
            "--role-arn (CROSSDOCK_ROLE_ARN) is not usable: it is a variable's name that was not expanded",
        ),
        (
            &[
                "login",
                "--role-arn",
                "\"arn:aws:iam::022222222222:role/R\"",
            ],
            "it has quotes around it",
        ),
        (
            &["login", "--role-arn", "arn:aws:iam::22222222222:role/R"],
            "--role-arn: 'arn:aws:iam::22222222222:role/R' is not a role ARN: its account id does not have 12 digits",
        ),
        (
            &["login", "--role-arn", "arn:aws:iam::022222222222:user/R"],
            "its resource is not role/NAME",
        ),
        (
            &["login", "--role-arn", role, "--external-id", "x"],
            "--external-id (CROSSDOCK_EXTERNAL_ID) is not usable: it must have 2 to 1224",
        ),
        (
            &["login", "--role-arn", role, "--external-id", "two words"],
            "it has white space in it",
        ),
        (
            &["login", "--role-arn", role, "--external-id", "[MASKED]"],
            "it was copied from a place that masks it",
        ),
        (
            &["login", "--external-id", "some_key_build"],
            "--external-id is given without --role-arn",
        ),
        (
            &["login", "--session-name", "a/b"],
            "--session-name (CROSSDOCK_SESSION_NAME) is not usable",
        ),
        (
            &["login", "--session-duration", "14m"],
            "it must be 900 to 43200 seconds",
        ),
        (
            &["login", "--session-duration", "13h"],
            "it must be 900 to 43200 seconds",
        ),
        (
            &["login", "--session-duration", "long"],
            "'long' is not a time such as",
        ),
        (
            &["login", "--region", "frankfurt"],
            "--region (CROSSDOCK_REGION) is not usable: 'frankfurt' is not a region",
        ),
        (
            &["login", "--region", "eu-central-1.evil.org"],
            "is not a region",
        ),
        (
            &["login", "--allowed-account", "22222222222"],
            "--allowed-account: '22222222222' is not an AWS account id",
        ),
        (
            &["login", "--registry", "22222222222"],
            "was it read as a number and lost its leading zeros?",
        ),
        (
            &[
                "login",
                "--registry",
                "https://022222222222.dkr.ecr.eu-central-1.amazonaws.com",
            ],
            "give the host alone",
        ),
        (
            &[
                "login",
                "--registry",
                "022222222222.dkr.ecr.eu-central-1.amazonaws.com.evil.org",
            ],
            "no token is sent there",
        ),
        (
            &["login", "--registry", "public"],
            "Amazon ECR Public is not supported",
        ),
        (
            &["login", "--daemon-timeout", "soon"],
            "--daemon-timeout (CROSSDOCK_DAEMON_TIMEOUT) is not usable",
        ),
        (&["push", "App"], "'App' is not an image"),
        (
            &["push", "app", "--to", "demo/app:1"],
            "give the tag with --tag",
        ),
        (
            &["push", "app", "--to", "Demo/App"],
            "it has capital letters",
        ),
        (
            &["push", "app", "--tag", "feature/x"],
            "'feature/x' is not a tag",
        ),
        (
            &["push", "app", "--idle-timeout", "0x"],
            "--idle-timeout (CROSSDOCK_IDLE_TIMEOUT) is not usable",
        ),
        (
            &["push", "app", "--idle-timeout", "0"],
            "no daemon answers in no time",
        ),
        (
            &["push", "0123456789ab", "--tag", "1"],
            "give one with --to REPOSITORY",
        ),
        (
            &["push", "0123456789ab", "--to", "app"],
            "give one with --tag TAG",
        ),
        (&["logout", "22222222222"], "lost its leading zeros?"),
    ] {
        let run = Program::new(arguments).run().code(2).says(message);
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_blank_variable_is_an_unset_one() {
    // Blank choices would be malformed, a blank role would be no ARN: all of them are as if they were not there.
    Program::new(&["login"])
        .env("CROSSDOCK_ROLE_ARN", "")
        .env("CROSSDOCK_EXTERNAL_ID", "")
        .env("CROSSDOCK_SOURCE", "")
        .env("CROSSDOCK_OUTPUT", "")
        .env("CROSSDOCK_VERIFY", "")
        .env("CROSSDOCK_DAEMON_TIMEOUT", "")
        .env("CROSSDOCK_REGISTRY", "")
        .env("AWS_ACCESS_KEY_ID", "")
        .run()
        .code(3)
        .says("no AWS credentials found");
}

#[test]
fn blank_items_of_a_list_are_no_items() {
    // "$CI_COMMIT_SHORT_SHA,$CI_COMMIT_TAG" on a branch; the image is looked for, so the tags were fine.
    Program::with_role(&["push", "no-such-image"])
        .env("CROSSDOCK_TAG", "0123abcd, ,")
        .env("CROSSDOCK_REGISTRY", "022222222222,")
        .run()
        .code(8);
    // An account that is blank must not allow every account.
    Program::with_role(&["login"])
        .env("CROSSDOCK_ALLOWED_ACCOUNT", " ")
        .run()
        .code(2);
}

#[test]
fn an_endpoint_that_is_no_url_is_told_by_its_variable() {
    for (variable, value) in [
        ("AWS_ENDPOINT_URL", "localhost:4566"),
        ("AWS_ENDPOINT_URL_STS", "foo"),
        ("AWS_ENDPOINT_URL_ECR", "ftp://x"),
    ] {
        Program::with_role(&["login"])
            .env(variable, value)
            .run()
            .code(2)
            .says(&format!(
                "{variable} is not usable: '{value}' is not http://HOST or https://HOST"
            ));
    }
}

#[test]
fn without_a_home_nothing_is_written_into_the_working_directory() {
    let folder = Folder::new();
    // In a user namespace of its own the user is one that no password file knows.
    let mut command = std::process::Command::new("unshare");
    command
        .args([
            "--user",
            "--map-user=54321",
            "sh",
            "-c",
            "cd \"$1\" && exec \"$0\" login --verify never",
        ])
        .arg(binary())
        .arg(folder.path());
    Program::from_command(command)
        .without("HOME")
        .run()
        .code(2)
        .says("there is no home directory to find Docker's config.json in: HOME is not set")
        .says("set HOME, or give --docker-config DIR");
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn quiet_tells_errors_only() {
    let run = Program::new(&["login", "-q", "--region", "x"])
        .run()
        .code(2);
    assert!(
        run.stderr.starts_with("crossdock: error: "),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}
