//! `login` as a whole: who checks it, which registries, what is printed, and that docker can use it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::docker::{DockerCli, Image, unique};
use crate::support::fake_aws::{FakeAws, PASSWORD, token};
use crate::support::files::Folder;
use crate::support::peer::{Peer, json as json_reply, reply};
use crate::support::program::Program;
use crate::support::sandbox::sandbox;

#[test]
fn the_docker_cli_pushes_with_the_login_and_not_after_logout() {
    let docker = DockerCli::new();
    let image = Image::new();
    let registry = sandbox().get("OURTHING_REGISTRY");
    let reference = format!("{registry}/{}:1", unique("login"));
    docker.run(&["tag", &image.name, &reference]);
    assert!(!docker.output(&["push", &reference]).status.success());

    Program::with_role(&["login"])
        .env("DOCKER_CONFIG", docker.config().path())
        .run()
        .code(0)
        .says(&format!(
            "logged in to {registry} ({}/config.json), good until 20",
            docker.config().path().display()
        ));
    docker.run(&["push", &reference]);

    let logout = || {
        Program::new(&["logout"])
            .env("DOCKER_CONFIG", docker.config().path())
            .run()
            .code(0)
            .stdout("")
    };
    logout().stderr(&format!("crossdock: logged out of {registry}\n"));
    assert!(!docker.output(&["push", &reference]).status.success());
    logout().stderr(&format!(
        "crossdock: no login of crossdock's in {}\n",
        docker.config().path().display()
    ));
}

#[test]
fn the_result_is_the_registry_or_a_document() {
    let registry = sandbox().get("OURTHING_REGISTRY");
    Program::with_role(&["login", "-q"])
        .run()
        .code(0)
        .stdout(&format!("{registry}\n"))
        .stderr("");
    let document = Program::with_role(&["login", "--output", "json"])
        .run()
        .code(0)
        .json();
    assert_eq!(document["verified_by"], "daemon");
    assert_eq!(document["identity"]["account"], "022222222222");
    assert_eq!(
        document["identity"]["arn"],
        "arn:aws:sts::022222222222:assumed-role/OurThingBuildRole/crossdock"
    );
    assert!(
        document["identity"]["expires_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    let entry = &document["registries"][0];
    assert_eq!(entry["registry"], registry);
    assert_eq!(entry["account"], "022222222222");
    assert_eq!(entry["region"], "eu-central-1");
    assert!(entry["token_expires_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_registry_is_chosen_by_account_or_host() {
    let registry = sandbox().get("OURTHING_REGISTRY");
    for selector in ["022222222222", registry] {
        Program::with_role(&["login", "--registry", selector])
            .run()
            .code(0)
            .stdout(&format!("{registry}\n"));
    }
    // Both at once are one.
    Program::with_role(&[
        "login",
        "--registry",
        "022222222222",
        "--registry",
        registry,
    ])
    .run()
    .code(0)
    .stdout(&format!("{registry}\n"));
    // The sandbox's hosts do not tell accounts, so another account's host cannot be derived from them.
    Program::with_role(&["login", "--registry", "111111111111"])
        .run()
        .code(2)
        .says("cannot tell the registry host of account 111111111111")
        .says("give the registry's host with --registry HOST");
}

#[test]
fn a_token_goes_to_ecr_and_to_nobody_else() {
    for (host, message) in [
        (
            "myregistry",
            "Docker takes a host without a dot or a port for a name on Docker Hub",
        ),
        (
            "docker.io",
            "docker.io is neither an Amazon ECR registry nor the one that ECR named",
        ),
        ("registry.evil.example", "no token is sent there"),
        (
            "1234-dkr.ecr.us-east-1.evil.org:443",
            "no token is sent there",
        ),
    ] {
        let folder = Folder::new();
        Program::with_role(&["login", "--verify", "never", "--registry", host])
            .env("DOCKER_CONFIG", folder.path())
            .run()
            .code(2)
            .stdout("")
            .says(message);
        assert_eq!(folder.names(), [""; 0], "{host}");
    }
}

#[test]
fn a_registry_that_refuses_the_token_is_exit_7_and_nothing_is_stored() {
    // BUILD's registry knows nothing of OURTHING's token.
    for (verify, message) in [
        ("daemon", "refused the login, says the Docker daemon: "),
        ("registry", "refused the login: HTTP status 401"),
    ] {
        let folder = Folder::new();
        let run = Program::with_role(&["login", "--verify", verify])
            .arg(format!("--registry={}", sandbox().get("BUILD_REGISTRY")))
            .env("DOCKER_CONFIG", folder.path())
            .run()
            .code(7)
            .stdout("")
            .says(message);
        assert_eq!(folder.names(), [""; 0], "{}", run.stderr);
    }
}

#[test]
fn a_job_without_a_daemon_asks_the_registry() {
    // In a namespace of its own the default sockets can be hidden without touching anybody's daemon.
    let registry = sandbox().get("OURTHING_REGISTRY");
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c"]).arg(
        "mount -t tmpfs none /run && mkdir -p /run/podman && { [ /var/run -ef /run ] || mount -t tmpfs none /var/run; } && exec \"$0\" login",
    );
    command.arg(crate::support::program::binary());
    Program::from_command(command)
        .sandbox_aws()
        .role()
        .run()
        .code(0)
        .stdout(&format!("{registry}\n"))
        .says("no Docker daemon here: the registry itself is asked whether the login is good");
}

#[test]
fn verify_never_asks_nobody() {
    let registry =
        Peer::on_tcp(|_| reply("500 Internal Server Error", "text/plain", "")).may_be_idle();
    let aws = FakeAws::working(&registry.url()).serve();
    fake_login(&aws, &["--verify", "never"])
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .run()
        .code(0)
        .stdout(&format!("{}\n", registry.address()));
    assert_eq!(registry.requests().len(), 0);
}

fn fake_login(aws: &Peer, arguments: &[&str]) -> Program {
    let mut program = Program::with_fake_aws(&["login"], aws);
    for argument in arguments {
        program = program.arg(argument);
    }
    program
}

#[test]
fn the_registry_is_asked_with_the_token_split_at_its_first_colon() {
    let registry = Peer::on_tcp(|_| json_reply("200 OK", &json!({})));
    let aws = FakeAws::working(&registry.url()).serve();
    fake_login(&aws, &["--verify", "registry"]).run().code(0);
    let request = &registry.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("GET", "/v2/")
    );
    let expected = STANDARD.encode(format!("AWS:{PASSWORD}"));
    assert_eq!(
        request.headers["authorization"],
        format!("Basic {expected}")
    );
}

#[test]
fn a_token_that_says_it_has_expired_is_tried_all_the_same() {
    let registry = Peer::on_tcp(|_| json_reply("200 OK", &json!({})));
    let aws = FakeAws {
        token: token(&registry.url(), 1_420_070_400),
        ..FakeAws::working(&registry.url())
    }
    .serve();
    fake_login(&aws, &["--verify", "registry"])
        .run()
        .code(0)
        .says("warning: the ECR token for")
        .says("says that it expired at 2015-01-01T00:00:00Z; trying it all the same");
}

#[test]
fn an_answer_of_ecr_without_a_token_is_told() {
    for (data, reason) in [
        (
            json!({"authorizationData": []}),
            "it has no authorizationData",
        ),
        (
            json!({"authorizationData": [{"authorizationToken": "?", "proxyEndpoint": "x"}]}),
            "it is not base64",
        ),
        (
            json!({"authorizationData": [{"authorizationToken": "QVdT", "proxyEndpoint": "x"}]}),
            "it has no colon",
        ),
        (
            json!({"authorizationData": [{"authorizationToken": "QVdTOng="}]}),
            "it has no proxyEndpoint",
        ),
    ] {
        let aws = FakeAws {
            token: json_reply("200 OK", &data),
            ..FakeAws::working("http://127.0.0.1:1")
        }
        .serve();
        fake_login(&aws, &["--verify", "never"])
            .run()
            .code(1)
            .says("answered without a usable authorization token: ")
            .says(reason);
    }
}

#[test]
fn a_registry_that_cannot_be_reached_or_is_none_is_exit_7() {
    let aws = FakeAws::working("http://127.0.0.1:1").serve();
    fake_login(&aws, &["--verify", "registry"])
        .run()
        .code(7)
        .says("could not reach 127.0.0.1:1 to check the login")
        .says("'--verify never' stores the login unchecked");
    let registry = Peer::on_tcp(|_| reply("404 Not Found", "text/html", "<h1>It works!</h1>"));
    let aws = FakeAws::working(&registry.url()).serve();
    fake_login(&aws, &["--verify", "registry"])
        .run()
        .code(7)
        .says("answered GET /v2/ with HTTP status 404: <h1>It works!</h1>")
        .says("is this host an ECR registry?");
}

#[test]
fn a_peer_that_echoes_a_secret_cannot_make_it_seen() {
    let registry = Peer::on_tcp(|request| {
        let echo = &request.headers["authorization"];
        reply(
            "500 Internal Server Error",
            "text/plain",
            &format!("{echo}\u{1b}[2K {PASSWORD}"),
        )
    });
    let aws = FakeAws::working(&registry.url()).serve();
    let run = fake_login(&aws, &["--verify", "registry", "-vv"])
        .run()
        .code(7);
    assert!(run.stderr.contains("[redacted]"), "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'), "{:?}", run.stderr);
}

#[test]
fn tokens_are_fetched_for_each_region_of_the_registries() {
    let aws = FakeAws::working("https://022222222222.dkr.ecr.eu-central-1.amazonaws.com").serve();
    fake_login(
        &aws,
        &[
            "--verify=never",
            "--registry=022222222222,012345678901",
            "--registry=022222222222.dkr.ecr.us-east-1.amazonaws.com",
        ],
    )
    .run()
    .code(0)
    .stdout(
        "022222222222.dkr.ecr.eu-central-1.amazonaws.com\n\
         012345678901.dkr.ecr.eu-central-1.amazonaws.com\n\
         022222222222.dkr.ecr.us-east-1.amazonaws.com\n",
    );
    let mut regions: Vec<_> = aws
        .requests()
        .iter()
        .filter(|request| request.headers.contains_key("x-amz-target"))
        .map(|request| {
            let credential = &request.headers["authorization"];
            credential.split('/').nth(2).unwrap().to_owned()
        })
        .collect();
    regions.sort();
    assert_eq!(regions, ["eu-central-1", "us-east-1"]);
}

#[test]
fn docker_auth_config_that_would_win_is_warned_of() {
    let registry = sandbox().get("OURTHING_REGISTRY");
    Program::with_role(&["login"])
        .env(
            "DOCKER_AUTH_CONFIG",
            json!({"auths": {registry: {"auth": "eDp5"}}}).to_string(),
        )
        .run()
        .code(0)
        .says(&format!(
            "warning: DOCKER_AUTH_CONFIG has a login for {registry}, too"
        ));
}
