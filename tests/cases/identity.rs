//! Where the source credentials come from and which role they become, against the sandbox's IAM and STS.

use std::time::Duration;

use crate::support::fake_aws::FakeAws;
use crate::support::files::Folder;
use crate::support::peer::{Peer, reply};
use crate::support::program::{Program, Run};
use crate::support::sandbox::sandbox;

/// A `login` that stores into `docker_config`, to see that nothing is stored where it must not be.
fn login(docker_config: &Folder) -> Program {
    Program::with_role(&["login"]).env("DOCKER_CONFIG", docker_config.path())
}

#[track_caller]
fn refused(run: Run, docker_config: &Folder) -> Run {
    assert_eq!(docker_config.names(), [""; 0], "something was stored");
    assert_eq!(run.stdout, "");
    run
}

#[test]
fn the_right_external_id_lets_in() {
    let folder = Folder::new();
    let registry = sandbox().get("OURTHING_REGISTRY");
    let run = login(&folder)
        .run()
        .code(0)
        .stdout(&format!("{registry}\n"));
    assert!(
        run.stderr.starts_with(&format!(
            "crossdock: assumed {} with AWS_ACCESS_KEY_ID (AKIA...",
            sandbox().get("ROLE_ARN")
        )),
        "{}",
        run.stderr
    );
    run.says("arn:aws:sts::022222222222:assumed-role/OurThingBuildRole/crossdock until 20");
    assert!(folder.json("config.json")["auths"][registry]["auth"].is_string());
}

#[test]
fn wrong_and_missing_external_ids_are_refused_with_both_sides_named() {
    let folder = Folder::new();
    let run = login(&folder)
        .env("CROSSDOCK_EXTERNAL_ID", "other_key")
        .run()
        .code(4);
    refused(run, &folder)
        .says("could not assume role arn:aws:iam::022222222222:role/OurThingBuildRole: AccessDenied: User: arn:aws:iam::111111111111:user/builder is not authorized")
        .says("account 111111111111 must allow arn:aws:iam::111111111111:user/builder the action sts:AssumeRole")
        .says("account 022222222222 must have this role")
        .says("an external id of 9 characters was sent")
        .does_not_say("other_key");

    let run = login(&folder)
        .without("CROSSDOCK_EXTERNAL_ID")
        .run()
        .code(4);
    refused(run, &folder).says("no external id was sent (--external-id)");
}

#[test]
fn a_superfluous_external_id_does_no_harm() {
    let folder = Folder::new();
    login(&folder)
        .env("CROSSDOCK_ROLE_ARN", sandbox().get("OPEN_ROLE_ARN"))
        .env("CROSSDOCK_EXTERNAL_ID", "nobody_asks_for_it")
        .run()
        .code(0)
        .says("OurThingOpenRole");
}

#[test]
fn a_caller_without_a_policy_is_refused() {
    let folder = Folder::new();
    let run = login(&folder).keys_of("STRANGER").run().code(4);
    refused(run, &folder)
        .says("account 111111111111 must allow arn:aws:iam::111111111111:user/stranger");
}

#[test]
fn wrong_keys_are_not_usable_credentials() {
    let folder = Folder::new();
    let run = login(&folder)
        .env(
            "AWS_SECRET_ACCESS_KEY",
            "wrongwrongwrongwrongwrongwrongwrongwrong",
        )
        .secret("wrongwrongwrongwrongwrongwrongwrongwrong")
        .run()
        .code(3);
    refused(run, &folder)
        .says("SignatureDoesNotMatch")
        .says("the secret access key does not belong to the access key id");

    let run = login(&folder)
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .run()
        .code(3);
    refused(run, &folder)
        .says("InvalidClientTokenId")
        .says("AWS does not know this access key id");
}

#[test]
fn a_role_that_does_not_exist_is_refused_like_any_other() {
    let folder = Folder::new();
    let run = login(&folder)
        .env(
            "CROSSDOCK_ROLE_ARN",
            "arn:aws:iam::022222222222:role/NoSuchRole",
        )
        .run()
        .code(4);
    refused(run, &folder).says("must have this role");
}

#[test]
fn a_role_without_ecr_rights_is_told_what_it_lacks() {
    let folder = Folder::new();
    let run = login(&folder)
        .env("CROSSDOCK_ROLE_ARN", sandbox().get("NO_ECR_ROLE_ARN"))
        .run()
        .code(4);
    refused(run, &folder)
        .says("could not get an ECR authorization token in eu-central-1: AccessDeniedException")
        .says("must allow arn:aws:iam::022222222222:role/OurThingNoEcrRole the action ecr:GetAuthorizationToken on resource \"*\"");
}

#[test]
fn without_a_role_the_source_identity_is_used_as_it_is() {
    let folder = Folder::new();
    Program::in_sandbox(&["login"])
        .keys_of("PUSHER")
        .env("DOCKER_CONFIG", folder.path())
        .run()
        .code(0)
        .stdout(&format!("{}\n", sandbox().get("OURTHING_REGISTRY")))
        .says("using arn:aws:iam::022222222222:user/pusher from AWS_ACCESS_KEY_ID")
        .says("without a role");
}

#[test]
fn session_keys_work_with_their_token_and_not_without() {
    let folder = Folder::new();
    let keys = assume_role_with_botocore();
    let with_keys = || {
        Program::in_sandbox(&["login"])
            .env("DOCKER_CONFIG", folder.path())
            .env("AWS_ACCESS_KEY_ID", &keys[0])
            .env("AWS_SECRET_ACCESS_KEY", &keys[1])
            .secret(&keys[1])
            .secret(&keys[2])
    };
    let run = with_keys().run().code(3);
    refused(run, &folder)
        .says("AWS_SESSION_TOKEN is not set, but AWS_ACCESS_KEY_ID is")
        .within(Duration::from_secs(1));
    with_keys()
        .env("AWS_SESSION_TOKEN", &keys[2])
        .run()
        .code(0)
        .says("using arn:aws:sts::022222222222:assumed-role/OurThingBuildRole/botocore");
}

/// A session made by another program: access key id, secret, token.
fn assume_role_with_botocore() -> Vec<String> {
    let output = std::process::Command::new(format!("{}/bin/aws", sandbox().get("VENV")))
        .args(["sts", "assume-role", "--output", "text"])
        .args(["--role-session-name", "botocore"])
        .args(["--role-arn", sandbox().get("ROLE_ARN")])
        .args(["--external-id", sandbox().get("EXTERNAL_ID")])
        .args(["--endpoint-url", sandbox().get("AWS_ENDPOINT")])
        .args([
            "--query",
            "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]",
        ])
        .env("AWS_ACCESS_KEY_ID", sandbox().get("BUILDER_ACCESS_KEY_ID"))
        .env(
            "AWS_SECRET_ACCESS_KEY",
            sandbox().get("BUILDER_SECRET_ACCESS_KEY"),
        )
        .env("AWS_DEFAULT_REGION", sandbox().get("REGION"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let keys: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(keys.len(), 3);
    keys
}

/// A program whose keys are in shared files under its home, written as `config` and `credentials`.
fn with_files(arguments: &[&str], config: &str, credentials: &str) -> Program {
    let program = Program::in_sandbox(arguments)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .without("AWS_REGION");
    program.home().write(".aws/config", config);
    program.home().write(".aws/credentials", credentials);
    program
}

fn builder_section(name: &str) -> String {
    format!(
        "[{name}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        sandbox().get("BUILDER_ACCESS_KEY_ID"),
        sandbox().get("BUILDER_SECRET_ACCESS_KEY")
    )
}

/// Way 2 of the design, as its users have it in their files.
fn way_2_config() -> String {
    format!(
        "[profile build]\nrole_arn = {}\nexternal_id = {}\nsource_profile = build\nregion = {}\n",
        sandbox().get("ROLE_ARN"),
        sandbox().get("EXTERNAL_ID"),
        sandbox().get("REGION")
    )
}

#[test]
fn a_profile_that_is_its_own_source_profile_assumes_its_role() {
    for (arguments, variable) in [
        (&["login", "--profile", "build"][..], None),
        (&["login"], Some("AWS_PROFILE")),
        (&["login"], Some("CROSSDOCK_PROFILE")),
    ] {
        let mut program = with_files(arguments, &way_2_config(), &builder_section("build"));
        if let Some(variable) = variable {
            program = program.env(variable, "build");
        }
        program
            .run()
            .code(0)
            .stdout(&format!("{}\n", sandbox().get("OURTHING_REGISTRY")))
            .says("assumed arn:aws:iam::022222222222:role/OurThingBuildRole with profile 'build' (AKIA...");
    }
}

#[test]
fn a_profile_takes_its_keys_from_another_one() {
    let config = way_2_config().replace("source_profile = build", "source_profile = keys");
    with_files(
        &["login", "--profile", "build"],
        &config,
        &builder_section("keys"),
    )
    .run()
    .code(0)
    .says("with profile 'build' with the keys of 'keys' (AKIA...");
}

#[test]
fn a_named_profile_beats_keys_in_the_environment() {
    with_files(
        &["login", "--profile", "build", "-v"],
        &way_2_config(),
        &builder_section("build"),
    )
    .keys_of("STRANGER")
    .run()
    .code(0)
    .says("with profile 'build'")
    .says("AWS_ACCESS_KEY_ID is set too and is not used");
}

#[test]
fn the_role_that_a_profile_leads_to_is_not_assumed_twice() {
    let run = with_files(
        &[
            "login",
            "--profile",
            "build",
            "-vv",
            "--role-arn",
            sandbox().get("ROLE_ARN"),
        ],
        &way_2_config(),
        &builder_section("build"),
    )
    .run()
    .code(0);
    assert_eq!(run.stderr.matches("assuming ").count(), 1, "{}", run.stderr);
}

#[test]
fn the_default_profile_is_used_where_nothing_is_named() {
    let config = format!("[default]\nregion = {}\n", sandbox().get("REGION"));
    with_files(&["login"], &config, &builder_section("default"))
        .role()
        .run()
        .code(0)
        .says("with profile 'default' (AKIA...");
}

/// An instance metadata service that would hand out a role: it must never be asked.
fn tempting_imds() -> Peer {
    Peer::on_tcp(|_| reply("200 OK", "text/plain", "token")).may_be_idle()
}

#[test]
fn a_profile_that_is_not_there_is_an_error_at_once_and_nothing_else_is_tried() {
    let imds = tempting_imds();
    let config = "[profile one]\n[profile two]\n";
    let run = with_files(&["login", "--profile", "build"], config, "")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url())
        .env("AWS_REGION", "eu-central-1")
        .keys_of("PUSHER")
        .run()
        .code(3);
    run.says("there is no profile 'build' in ")
        .says(".aws/config and ")
        .says("(asked for by --profile)")
        .says("the profiles there are: one, two")
        .within(Duration::from_secs(1));
    assert_eq!(imds.requests().len(), 0);
}

#[test]
fn no_credentials_at_all_names_every_place_that_was_looked_at() {
    let imds = tempting_imds();
    let run = Program::new(&["login"])
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url())
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "/some/token")
        .run()
        .code(3)
        .says("no AWS credentials found; looked at: --profile, CROSSDOCK_PROFILE and AWS_PROFILE (not set); AWS_ACCESS_KEY_ID (not set); AWS_WEB_IDENTITY_TOKEN_FILE (set, and not supported); profile 'default' in ")
        .says("a protected variable exists on protected branches and tags only");
    run.within(Duration::from_secs(1));
    assert_eq!(imds.requests().len(), 0);
}

#[test]
fn profiles_that_cannot_work_say_why() {
    let role = "role_arn = arn:aws:iam::022222222222:role/R\n";
    let keys = "aws_access_key_id = AKIA1\naws_secret_access_key = secretsecret\n";
    for (config, message) in [
        (
            "[profile build]\nregion = x\n".to_owned(),
            "profile 'build' has no credentials: it has neither aws_access_key_id nor role_arn",
        ),
        (
            format!("[profile build]\n{role}"),
            "role_arn needs a source_profile",
        ),
        (
            format!("[profile build]\n{role}source_profile = gone\n"),
            "names source_profile 'gone', which is in neither",
        ),
        (
            format!(
                "[profile build]\n{role}source_profile = b\n[profile b]\n{role}source_profile = build\n"
            ),
            "the source_profile settings go in a circle: build -> b -> build",
        ),
        (
            format!("[profile build]\n{role}source_profile = build\n"),
            "it has neither",
        ),
        (
            "[profile build]\naws_access_key_id = AKIA1\n".to_owned(),
            "aws_secret_access_key is missing",
        ),
        (
            format!("[profile build]\n{role}mfa_serial = x\nsource_profile = build\n{keys}"),
            "uses mfa_serial, which crossdock does not support",
        ),
        (
            "[profile build]\ncredential_process = /bin/true\n".to_owned(),
            "uses credential_process, which crossdock does not support",
        ),
        (
            format!("[profile build]\nrole_arn = nonsense\nsource_profile = build\n{keys}"),
            "role_arn is not usable: 'nonsense' is not a role ARN",
        ),
        (
            format!(
                "[profile build]\n{role}duration_seconds = hour\nsource_profile = build\n{keys}"
            ),
            "duration_seconds is not usable: 'hour' is not a number",
        ),
        ("[profile build\n".to_owned(), ".aws/config on line 1"),
    ] {
        with_files(&["login", "--profile", "build"], &config, "")
            .env("AWS_REGION", "eu-central-1")
            .secret("secretsecret")
            .run()
            .code(3)
            .says(message)
            .within(Duration::from_secs(1));
    }
}

#[test]
fn a_section_without_profile_in_its_name_is_pointed_out() {
    let config = way_2_config().replace("[profile build]", "[build]");
    with_files(&["login", "--profile", "build"], &config, &builder_section("build"))
        .env("AWS_REGION", "eu-central-1")
        .run()
        .code(3)
        .says(".aws/config has a section [build], which is not read: in this file it must be [profile build]");
}

#[test]
fn a_registry_tells_the_region_where_no_profile_is_used() {
    let aws = FakeAws::working("https://022222222222.dkr.ecr.us-east-1.amazonaws.com").serve();
    let program = Program::with_fake_aws(&["login", "--verify=never", "--output=json"], &aws)
        .without("AWS_REGION")
        .arg("--registry=022222222222.dkr.ecr.us-east-1.amazonaws.com");
    // Keys of the environment are used, and a profile that is not has no say, be it as broken as it may.
    program
        .home()
        .write(".aws/config", "[default\nregion = eu-central-1\n");
    let document = program.run().code(0).json();
    assert_eq!(document["registries"][0]["region"], "us-east-1");
    let sts = &aws.requests()[0].headers["authorization"];
    assert!(sts.contains("/us-east-1/sts/"), "{sts}");
}

#[test]
fn the_shared_files_may_be_elsewhere() {
    let folder = Folder::new();
    let config = folder.write("my-config", &way_2_config());
    let credentials = folder.write("my-credentials", &builder_section("build"));
    Program::in_sandbox(&["login", "--profile", "build"])
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONFIG_FILE", config)
        .env("AWS_SHARED_CREDENTIALS_FILE", credentials)
        .run()
        .code(0)
        .says("with profile 'build' (AKIA...");
}

#[test]
fn the_region_of_the_profile_comes_before_that_of_another_registry() {
    let aws = FakeAws::working("https://022222222222.dkr.ecr.eu-central-1.amazonaws.com").serve();
    let program = Program::with_fake_aws(&["login", "--verify=never", "--profile=build"], &aws)
        .without("AWS_REGION")
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .arg("--registry=022222222222,012345678901.dkr.ecr.us-east-1.amazonaws.com")
        .arg("--output=json");
    program.home().write(".aws/config", &way_2_config());
    program
        .home()
        .write(".aws/credentials", &builder_section("build"));
    let document = program.run().code(0).json();
    assert_eq!(document["registries"][0]["region"], "eu-central-1");
    assert_eq!(document["registries"][1]["region"], "us-east-1");
    let sts = &aws.requests()[0].headers["authorization"];
    assert!(sts.contains("/eu-central-1/sts/"), "{sts}");
}

#[test]
fn a_source_that_was_asked_for_is_the_only_one_looked_at() {
    Program::new(&["login", "--source", "env", "--verify", "never"])
        .env("AWS_REGION", "eu-central-1")
        .run()
        .code(3)
        .stderr(
            "crossdock: error: no AWS credentials found; looked at: AWS_ACCESS_KEY_ID (not set)\n\
             crossdock: hint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY as masked CI/CD variables (a protected \
             variable exists on protected branches and tags only), or name a profile with --profile\n",
        );
    with_files(&["login", "--source", "profile"], "", "")
        .keys_of("BUILDER")
        .env("AWS_REGION", "eu-central-1")
        .run()
        .code(3)
        .says("there is no profile 'default'");
}

#[test]
fn the_region_is_needed_and_found_in_order() {
    Program::with_role(&["login"])
        .without("AWS_REGION")
        .run()
        .code(2)
        .says("no region: --region, AWS_REGION, AWS_DEFAULT_REGION and the profile's region are not set");
    for (variables, region) in [
        (&[("AWS_DEFAULT_REGION", "us-east-1")][..], "us-east-1"),
        (
            &[
                ("AWS_DEFAULT_REGION", "us-east-1"),
                ("AWS_REGION", "us-west-2"),
            ],
            "us-west-2",
        ),
        (
            &[
                ("AWS_REGION", "us-west-2"),
                ("CROSSDOCK_REGION", "eu-west-1"),
            ],
            "eu-west-1",
        ),
    ] {
        let mut program = Program::with_role(&["login", "--output", "json"]).without("AWS_REGION");
        for (name, value) in variables {
            program = program.env(name, value);
        }
        let run = program.run().code(0);
        assert_eq!(run.json()["registries"][0]["region"], region);
    }
}

#[test]
fn accounts_that_are_not_allowed_end_everything_before_anything_is_stored() {
    let folder = Folder::new();
    let message = "is not among the allowed accounts (111111111111); nothing was stored or pushed";
    // By the role's ARN, before AWS is asked.
    let run = login(&folder)
        .env("CROSSDOCK_ALLOWED_ACCOUNT", "111111111111")
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .run()
        .code(4);
    refused(run, &folder)
        .says("account 022222222222 (arn:aws:iam::022222222222:role/OurThingBuildRole)")
        .says(message);
    // Without a role, by what STS says.
    let run = Program::in_sandbox(&["login", "--allowed-account", "111111111111"])
        .keys_of("PUSHER")
        .env("DOCKER_CONFIG", folder.path())
        .run()
        .code(4);
    refused(run, &folder)
        .says("account 022222222222 (arn:aws:iam::022222222222:user/pusher)")
        .says(message);
    // By the registry.
    let run = login(&folder)
        .arg("--registry=333333333333.dkr.ecr.eu-central-1.amazonaws.com")
        .arg("--allowed-account=022222222222,111111111111")
        .run()
        .code(4);
    refused(run, &folder).says("account 333333333333 (a registry)");
    // By a registry whose account nobody knows.
    let run = login(&folder)
        .arg("--registry=127.0.0.1:1")
        .arg("--verify=never")
        .arg("--allowed-account=022222222222")
        .run()
        .code(4);
    refused(run, &folder).says("cannot tell the account of 127.0.0.1:1");
    // And the right one is let through.
    login(&folder)
        .env("CROSSDOCK_ALLOWED_ACCOUNT", "111111111111, 022222222222")
        .run()
        .code(0);
}
