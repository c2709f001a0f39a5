//! Recorded push streams of five daemons, replayed: each ends with the right exit code, status and words. What was
//! recorded and how is in `tests/fixtures/push-streams/README.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::daemon::{FakeDaemon, routine};
use crate::support::fake_aws::FakeAws;
use crate::support::peer::{Peer, Reply, Step, cut_stream, json as json_reply, reply, stream};
use crate::support::program::{Program, Run};
use crate::support::registry;

const HELD: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// Every recorded stream by the name of its file, without the ending.
fn recordings() -> BTreeMap<String, String> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/push-streams");
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// What a stream must end in: exit code, and a part of stderr.
struct Expected {
    code: i32,
    says: &'static str,
}

/// By the kind of what was done; what a single daemon tells differently stands before.
fn expected(name: &str) -> Expected {
    let of = |code, says| Expected { code, says };
    match name {
        // The registry's words are lost here, and the status of an expired token is that of a missing right.
        _ if name.ends_with("-expired-token") && !name.starts_with("classic") => {
            of(4, "must allow the role")
        }
        // A refused manifest without a word: what the tag holds tells the rest.
        "containerd-26.1-tag-taken" => of(
            8,
            "the tag holds sha256:2222222222222222222222222222222222222222222222222222222222222222, so it may be immutable",
        ),
        "containerd-28.5-narrowed"
        | "containerd-28.5-narrowed-again"
        | "containerd-28.5-narrowed-late" => of(0, "pushed only the one that it runs on"),
        "containerd-28.5-content-missing" => of(8, "does not have all of the content of 'app:1'"),
        "containerd-26.1-content-missing" => of(8, "not found"),
        "containerd-26.1-index-incomplete" => of(8, "missing content"),
        "containerd-28.5-no-host-platform" => of(8, "multiple matching manifests found"),
        "containerd-28.5-server-error" => of(8, "error from registry: internal error"),
        "containerd-28.5-hanging" => of(8, "the daemon has said nothing for 1 s"),
        "classic-20.10-daemon-stopped" => of(6, "lost the Docker daemon"),
        _ => {
            let kind = name.splitn(3, '-').nth(2).unwrap();
            match kind {
                "pushed" | "pushed-again" | "second-tag" | "index" | "index-attested" => {
                    of(0, "crossdock: pushed ")
                }
                "wrong-password" | "no-login" => {
                    of(7, "the token is good for registries of eu-central-1")
                }
                "expired-token" => of(7, "Your authorization token has expired"),
                "no-repository" => of(
                    8,
                    "account 022222222222 must create it: aws ecr create-repository",
                ),
                "denied" => of(4, "account 022222222222 must allow the role"),
                "tag-taken" => of(9, "push under a new tag"),
                "throttled" => of(8, "the registry limits the rate"),
                "eof" => of(8, "as ECR does when there is no repository 'demo/app'"),
                "server-error" => of(8, "500"),
                "no-image" => of(8, "app"),
                "no-registry" => of(8, "connection refused"),
                _ => panic!("nothing is expected of {name}: add it"),
            }
        }
    }
}

/// The answer as the daemon gave it: status, line by line, whole or cut.
fn answer(name: &str, body: &str) -> Reply {
    let lines = || body.split_inclusive('\n');
    match name {
        "classic-20.10-daemon-stopped" => cut_stream(lines()),
        "containerd-28.5-hanging" => {
            let mut steps = cut_stream(lines());
            // What the daemon goes on to repeat, for longer than the limit.
            let repeated: Vec<_> = lines().rev().take(4).collect();
            for _ in 0..30 {
                steps.extend(cut_stream(repeated.iter().rev()).into_iter().skip(1));
                steps.push(Step::Wait(Duration::from_millis(100)));
            }
            steps
        }
        _ if name.starts_with("podman-") && name.ends_with("-no-image") => {
            reply("404 Not Found", "application/json", body)
        }
        _ if name.starts_with("podman-5.4-") && !name.contains("-pushed") => {
            reply("500 Internal Server Error", "application/json", body)
        }
        _ => stream(lines()),
    }
}

fn replay(name: &str, answer: Reply) -> Run {
    let is_taken = name == "containerd-26.1-tag-taken";
    let registry: Peer = registry::scripted(move |_| {
        if is_taken {
            registry::manifest("sha256:3333", HELD)
        } else {
            registry::error("404 Not Found", "MANIFEST_UNKNOWN", "none")
        }
    });
    let aws = FakeAws::working(&registry.url()).serve();
    let engine = if name.starts_with("podman") {
        "Podman Engine"
    } else {
        "Engine"
    };
    let daemon = FakeDaemon::answering(move |request| match request.path.as_str() {
        "/version" => json_reply(
            "200 OK",
            &serde_json::json!({"Components": [{"Name": engine, "Version": "0"}]}),
        ),
        path if path.contains("/push?") => answer.clone(),
        path => routine(path),
    });
    Program::with_fake_aws(
        &[
            "push",
            "app:1",
            "--to",
            "demo/app",
            "--idle-timeout",
            "1",
            "--output",
            "json",
        ],
        &aws,
    )
    .env("DOCKER_HOST", daemon.host())
    .run()
}

#[test]
fn every_recorded_stream_ends_as_it_should() {
    let recordings = recordings();
    assert!(
        recordings.len() > 60,
        "only {} recordings were found",
        recordings.len()
    );
    for (name, body) in &recordings {
        let expected = expected(name);
        let run = replay(name, answer(name, body));
        assert_eq!(run.code, Some(expected.code), "{name}: {}", run.stderr);
        assert!(
            run.stderr.contains(expected.says),
            "{name} lacks '{}': {}",
            expected.says,
            run.stderr
        );
        let target = &run.json()["targets"][0];
        if expected.code == 0 {
            // The last digest of the recording is the one that was pushed.
            let digest = target["digest"].as_str().unwrap();
            assert!(
                body.trim_end().lines().last().unwrap().contains(digest),
                "{name}: {digest}"
            );
            let knows_size = !name.starts_with("podman");
            assert_eq!(target["size"].is_u64(), knows_size, "{name}: {target}");
        } else {
            let reference = &target["references"][0];
            assert_eq!(reference["status"], "failed", "{name}");
            // A message is text for people, also where the daemon wrapped it into JSON.
            assert!(
                !reference["error"].as_str().unwrap().contains('{'),
                "{name}: {reference}"
            );
        }
    }
}
