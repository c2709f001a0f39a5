//! `push` through a real daemon, to real registries and to scripted ones for what a real one cannot show.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::docker::{DockerCli, Image, unique};
use crate::support::fake_aws::{FakeAws, PASSWORD, ROLE};
use crate::support::files::Folder;
use crate::support::peer::Peer;
use crate::support::program::Program;
use crate::support::registry::{self, tags};
use crate::support::sandbox::sandbox;

const OTHER_DIGEST: &str =
    "sha256:2222222222222222222222222222222222222222222222222222222222222222";

fn push(image: &str, arguments: &[&str]) -> Program {
    let mut program = Program::with_role(&["push", image]);
    for argument in arguments {
        program = program.arg(argument);
    }
    program
}

/// The digests on the lines of stdout, which must be for `references`, in order.
fn digests(stdout: &str, references: &[String]) -> Vec<String> {
    let lines: Vec<_> = stdout
        .lines()
        .map(|line| line.split_once('@').unwrap())
        .collect();
    assert_eq!(
        lines.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        references
    );
    lines
        .iter()
        .map(|(_, digest)| (*digest).to_owned())
        .collect()
}

#[test]
fn docker_pulls_what_was_pushed_and_nothing_need_be_logged_in() {
    let image = Image::new();
    let (host, repository) = (
        sandbox().get("OURTHING_REGISTRY"),
        format!("team/{}", unique("app")),
    );
    let folder = Folder::new();
    let run = push(
        &image.name,
        &["--to", &repository, "--tag", "1.0.0", "--tag", "latest"],
    )
    .env("DOCKER_CONFIG", folder.path())
    .run()
    .code(0);
    assert_eq!(folder.names(), [""; 0], "a login was stored");
    let references = [
        format!("{host}/{repository}:1.0.0"),
        format!("{host}/{repository}:latest"),
    ];
    let pushed = digests(&run.stdout, &references);
    assert_eq!(pushed[0], pushed[1]);
    assert!(
        run.stderr.contains(&format!(
            "crossdock: pushed {} ({}, ",
            references[0], pushed[0]
        )),
        "{}",
        run.stderr
    );

    let docker = DockerCli::new();
    docker.run(&["image", "rm", "--force", &image.id]);
    let password = sandbox().get("OURTHING_REGISTRY_PASSWORD");
    docker.run(&["login", "--username", "AWS", "--password", password, host]);
    for (reference, digest) in references.iter().zip(&pushed) {
        docker.run(&["pull", reference]);
        assert_eq!(docker.digest(reference), *digest);
        assert_eq!(
            docker.run(&["image", "inspect", "--format", "{{.Id}}", reference]),
            image.id
        );
    }
}

#[test]
fn what_is_there_already_is_unchanged_and_a_success() {
    let image = Image::new();
    let repository = unique("app");
    let run = |tags: &[&str]| {
        push(&image.name, &["--to", &repository, "--output", "json"])
            .arg("--tag")
            .arg(tags.join(","))
            .run()
            .code(0)
    };
    let first = run(&["1"]).json();
    assert_eq!(first["targets"][0]["references"][0]["status"], "pushed");
    let second = run(&["1", "2"]);
    let second = second.says("crossdock: unchanged ").json();
    let references = &second["targets"][0]["references"];
    assert_eq!(references[0]["status"], "unchanged");
    assert_eq!(references[1]["status"], "pushed");
    assert_eq!(references[0]["digest"], first["targets"][0]["digest"]);
    assert_eq!(references[0]["size"], first["targets"][0]["size"]);
    assert_eq!(tags(&repository), ["1", "2"]);
}

#[test]
fn a_tag_moves_to_another_image() {
    let (one, two) = (Image::new(), Image::new());
    let repository = unique("app");
    let run = |image: &Image| {
        push(&image.name, &["--to", &repository, "--tag", "1"])
            .run()
            .code(0)
    };
    let (first, second) = (run(&one), run(&two));
    assert_ne!(first.stdout, second.stdout);
    second.says("crossdock: pushed ");
}

#[test]
fn repository_and_tag_are_those_of_the_image() {
    let name = unique("named");
    let host = sandbox().get("OURTHING_REGISTRY");
    for (image, tag) in [
        (format!("{name}:7"), "7"),
        (format!("{host}/{name}:8"), "8"),
        (format!("registry.example/{name}:9"), "9"),
        (name.clone(), "latest"),
    ] {
        let image = Image::with_name(&image);
        let run = push(&image.name, &[]).run().code(0);
        assert!(
            run.stdout
                .starts_with(&format!("{host}/{name}:{tag}@sha256:")),
            "{}",
            run.stdout
        );
    }
    let image = Image::new();
    push(&image.id, &["--to", &name, "--tag", "by-id"])
        .run()
        .code(0);
    assert_eq!(tags(&name), ["7", "8", "9", "by-id", "latest"]);
}

#[test]
fn the_document_tells_all_of_each_target() {
    let image = Image::new();
    let repository = unique("app");
    let document = push(
        &image.name,
        &["--to", &repository, "--tag=a", "--tag=b", "--output=json"],
    )
    .run()
    .code(0)
    .json();
    assert_eq!(document["image"], image.name);
    assert_eq!(document["image_id"], image.id);
    assert_eq!(document["identity"]["account"], "022222222222");
    assert!(document["seconds"]["total"].as_f64().unwrap() > 0.0);
    let target = &document["targets"][0];
    assert_eq!(target["registry"], sandbox().get("OURTHING_REGISTRY"));
    assert_eq!(target["account"], "022222222222");
    assert_eq!(target["region"], "eu-central-1");
    assert_eq!(target["repository"], repository);
    assert_eq!(target["tags"], json!(["a", "b"]));
    assert!(target["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(target["size"].as_u64().unwrap() > 100);
    assert!(target["token_expires_at"].as_str().unwrap().ends_with('Z'));
    assert!(target["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(target["references"].as_array().unwrap().len(), 2);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let image = Image::new();
    let repository = unique("app");
    let reference = format!("{}/{repository}:1", sandbox().get("OURTHING_REGISTRY"));
    push(
        &image.name,
        &["--to", &repository, "--tag", "1", "--dry-run"],
    )
    .run()
    .code(0)
    .stdout(&format!("{reference}\n"))
    .says("nothing was tagged, stored or pushed");
    let document = push(
        &image.name,
        &[
            "--to",
            &repository,
            "--tag",
            "1",
            "--dry-run",
            "--output",
            "json",
        ],
    )
    .run()
    .code(0)
    .json();
    assert_eq!(document["dry_run"], true);
    assert_eq!(document["targets"][0]["references"][0]["status"], "planned");
    assert_eq!(tags(&repository), [""; 0]);
    assert!(
        !DockerCli::new()
            .output(&["image", "inspect", &reference])
            .status
            .success()
    );
}

#[test]
fn an_image_that_is_not_there_is_exit_8() {
    let run = push("no-such-image:1", &[]).run().code(8).stdout("");
    run.says(&format!(
        "the Docker daemon at {} (from DOCKER_HOST) has no image 'no-such-image:1'",
        sandbox().get("DOCKER_HOST")
    ))
    .says("with docker:dind each job has an empty daemon of its own");
}

#[test]
fn an_account_that_is_not_allowed_gets_nothing() {
    let image = Image::new();
    let repository = unique("app");
    for program in [
        push(
            &image.name,
            &["--to", &repository, "--allowed-account", "111111111111"],
        ),
        Program::in_sandbox(&["push", &image.name, "--to", &repository])
            .keys_of("PUSHER")
            .env("CROSSDOCK_ALLOWED_ACCOUNT", "111111111111"),
    ] {
        program
            .run()
            .code(4)
            .stdout("")
            .says("nothing was stored or pushed");
    }
    assert_eq!(tags(&repository), [""; 0]);
}

#[test]
fn a_push_to_one_of_two_registries_is_exit_10_and_told_apart() {
    let image = Image::new();
    let repository = unique("app");
    let (ours, build) = (
        sandbox().get("OURTHING_REGISTRY"),
        sandbox().get("BUILD_REGISTRY"),
    );
    let arguments = [
        "--to",
        &repository,
        "--tag=1",
        "--tag=2",
        "--registry",
        ours,
        "--registry",
        build,
    ];
    let run = push(&image.name, &arguments).run().code(10);
    let references = [
        format!("{ours}/{repository}:1"),
        format!("{ours}/{repository}:2"),
    ];
    digests(&run.stdout, &references);
    let run = run
        .says("could not push 2 of 4 references:")
        .says(&format!("{build}/{repository}:1: "))
        .says(&format!(
            "{build}/{repository}:2: not tried, because tag '1' failed for the whole repository"
        ));
    assert_eq!(run.stderr.matches("hint:").count(), 1, "{}", run.stderr);

    let run = push(&image.name, &arguments)
        .arg("--output=json")
        .run()
        .code(10);
    let document = run.json();
    let failed = &document["targets"][1];
    assert_eq!(failed["digest"], json!(null));
    assert_eq!(failed["tags"], json!([]));
    assert_eq!(failed["references"][0]["status"], "failed");
    assert_eq!(failed["references"][0]["exit_code"], 7);
    // With the refusing registry alone it is the refusal's own code.
    push(&image.name, &["--to", &repository, "--registry", build])
        .run()
        .code(7);
}

/// A push through the real daemon to a scripted registry.
fn push_to(registry: &Peer, image: &Image) -> (Program, Peer) {
    let aws = FakeAws::working(&registry.url()).serve();
    let program = Program::in_sandbox(&["push", &image.name, "--to", "r", "--tag", "1"].map(
        |word| {
            if word == "r" { "demo/r" } else { word }
        },
    ))
    .env("AWS_ENDPOINT_URL", aws.url())
    .env("CROSSDOCK_ROLE_ARN", ROLE)
    .secret(PASSWORD);
    (program, aws)
}

#[test]
fn a_registry_that_refuses_is_told_with_the_side_that_can_act() {
    for (status, code, message, exit_code, hint) in [
        (
            "404 Not Found",
            "NAME_UNKNOWN",
            "The repository with name 'demo/r' does not exist in the registry with id '022222222222'",
            8,
            "account 022222222222 must create it: aws ecr create-repository --repository-name demo/r --region eu-central-1",
        ),
        (
            "403 Forbidden",
            "DENIED",
            "User: arn:aws:sts::022222222222:assumed-role/OurThingBuildRole/s is not authorized to perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-central-1:022222222222:repository/demo/r because no identity-based policy allows the ecr:InitiateLayerUpload action",
            4,
            "account 022222222222 must allow the role, in its own policy or in the repository's, on repository 'demo/r': ecr:BatchCheckLayerAvailability",
        ),
        (
            "400 Bad Request",
            "TAG_INVALID",
            "The image tag '1' already exists in the 'demo/r' repository and cannot be overwritten because the repository is immutable.",
            9,
            "push under a new tag, or account 022222222222 makes the repository's tags mutable",
        ),
        (
            "429 Too Many Requests",
            "TOOMANYREQUESTS",
            "Rate exceeded",
            8,
            "the registry limits the rate",
        ),
        (
            "400 Bad Request",
            "MANIFEST_INVALID",
            "something else",
            8,
            "something else",
        ),
    ] {
        let image = Image::new();
        let registry = registry::scripted(move |request| match request.method.as_str() {
            "PUT" => registry::error(status, code, message),
            _ => registry::error("404 Not Found", "MANIFEST_UNKNOWN", "none"),
        });
        let (program, _aws) = push_to(&registry, &image);
        let run = program.run().code(exit_code).stdout("");
        run.says(&format!("could not push {}/demo/r:1: ", registry.address()))
            .says(message)
            .says(hint);
    }
}

#[test]
fn an_immutable_tag_names_the_digest_that_it_holds() {
    let image = Image::new();
    let registry = registry::scripted(|request| match request.method.as_str() {
        "PUT" => registry::tag_taken(),
        _ => registry::manifest("sha256:3333", OTHER_DIGEST),
    });
    let (program, _aws) = push_to(&registry, &image);
    program
        .run()
        .code(9)
        .says(&format!("the tag holds {OTHER_DIGEST}"));
}

#[test]
fn an_immutable_tag_that_holds_this_image_is_unchanged() {
    let image = Image::new();
    let is_unchanged = |registry: &Peer| {
        let (program, _aws) = push_to(registry, &image);
        let line = format!("{}/demo/r:1@{OTHER_DIGEST}\n", registry.address());
        let run = program.run().code(0).stdout(&line);
        run.says("crossdock: unchanged ");
    };
    // Known before the push: it is not even tried.
    let id = image.id.clone();
    let registry = registry::scripted(move |_| registry::manifest(&id, OTHER_DIGEST));
    is_unchanged(&registry);
    let requests = registry.requests();
    assert!(requests.iter().all(|request| request.method == "GET"));

    // Pushed by another job between the look and the push.
    let id = image.id.clone();
    let looks = AtomicUsize::new(0);
    let registry = registry::scripted(move |request| match request.method.as_str() {
        "PUT" => registry::tag_taken(),
        "GET" if looks.fetch_add(1, Ordering::SeqCst) > 0 => registry::manifest(&id, OTHER_DIGEST),
        _ => registry::error("404 Not Found", "MANIFEST_UNKNOWN", "none"),
    });
    is_unchanged(&registry);
}

#[test]
fn a_registry_that_cannot_be_looked_at_is_pushed_to_all_the_same() {
    // The daemon may reach what this process does not; the push has the last word.
    let image = Image::new();
    let registry = registry::scripted(|request| match request.method.as_str() {
        "PUT" => registry::error(
            "400 Bad Request",
            "MANIFEST_INVALID",
            "the push came through",
        ),
        _ => registry::error(
            "503 Service Unavailable",
            "UNAVAILABLE",
            "none of your business",
        ),
    });
    let (program, _aws) = push_to(&registry, &image);
    program
        .arg("-v")
        .run()
        .code(8)
        .says("cannot tell what demo/r:1 holds: ")
        .says("the push came through");
}
