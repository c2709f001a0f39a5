//! Push streams, replayed by a scripted daemon on a unix socket: what each kind of daemon sends, and every way in
//! which a stream can end badly.

use std::time::Duration;

use crate::support::daemon::FakeDaemon;
use crate::support::fake_aws::{FakeAws, PASSWORD};
use crate::support::peer::{Peer, Reply, Step, cut_stream, json as json_reply, reply, stream};
use crate::support::program::{Program, Run};
use crate::support::registry;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

fn empty_registry() -> Peer {
    registry::scripted(|_| registry::error("404 Not Found", "MANIFEST_UNKNOWN", "none"))
}

/// A push whose stream is `answer`.
fn push(answer: Reply, arguments: &[&str]) -> (Run, FakeDaemon) {
    let registry = empty_registry();
    let aws = FakeAws::working(&registry.url()).serve();
    let daemon = FakeDaemon::pushing(move |_| answer.clone());
    let mut program =
        Program::with_fake_aws(&["push", "app:1"], &aws).env("DOCKER_HOST", daemon.host());
    for argument in arguments {
        program = program.arg(argument);
    }
    (program.run(), daemon)
}

fn digest_line() -> String {
    format!("{{\"status\":\"1: digest: {DIGEST} size: 528\"}}")
}

#[test]
fn a_line_end_in_a_chunk_of_its_own_does_no_harm() {
    let line = digest_line();
    let pieces = [
        "{\"status\":\"Pushing\",\"id\":\"a\"}",
        "\r\n",
        &line,
        "\r\n",
    ];
    let (run, daemon) = push(stream(pieces), &[]);
    let run = run.code(0);
    assert!(
        run.stdout.ends_with(&format!("/app:1@{DIGEST}\n")),
        "{}",
        run.stdout
    );

    // And the daemon was asked as the API wants it.
    let request = daemon
        .peer
        .requests()
        .into_iter()
        .find(|request| request.path.contains("/push?"))
        .unwrap();
    assert_eq!(request.method, "POST");
    assert!(
        request.path.ends_with("/app/push?tag=1"),
        "{}",
        request.path
    );
    let auth = URL_SAFE
        .decode(&request.headers["x-registry-auth"])
        .unwrap();
    let auth: serde_json::Value = serde_json::from_slice(&auth).unwrap();
    assert_eq!(auth["username"], "AWS");
    assert_eq!(auth["password"], PASSWORD);
}

#[test]
fn only_a_stream_with_a_digest_and_an_end_is_a_success() {
    let line = digest_line();
    for (answer, message) in [
        (
            stream(["{\"status\":\"Pushed\",\"id\":\"a\"}\r\n"]),
            "the daemon's push stream ended without a digest",
        ),
        (
            stream([""; 0]),
            "the daemon's push stream ended without a digest",
        ),
        (
            stream(["{\"status\":\"Push"]),
            "ended in the middle of a message",
        ),
        (
            stream([line.as_str(), "\r\n{\"sta"]),
            "ended in the middle of a message",
        ),
        (
            cut_stream(["{\"status\":\"Pushing\",\"id\":\"a\"}\r\n"]),
            "lost the Docker daemon at unix://",
        ),
        (
            stream([
                "{\"errorDetail\":{\"message\":\"blob upload unknown\"},\"error\":\"blob upload unknown\"}\r\n",
            ]),
            "blob upload unknown",
        ),
        (
            stream(["{\"error\":\"the legacy key alone\"}\n"]),
            "the legacy key alone",
        ),
        (
            stream([line.as_str(), "\r\n", "{\"error\":\"too late\"}\r\n"]),
            "too late",
        ),
        (
            stream(["<html>"]),
            "something that is not of its push stream",
        ),
        (
            json_reply(
                "404 Not Found",
                &serde_json::json!({"message": "no such image: app"}),
            ),
            "no such image: app",
        ),
        (
            json_reply(
                "500 Internal Server Error",
                &serde_json::json!({"message": "trying to reuse blob"}),
            ),
            "trying to reuse blob",
        ),
    ] {
        let (run, _daemon) = push(answer, &[]);
        let expected = if message.starts_with("lost") { 6 } else { 8 };
        run.code(expected)
            .stdout("")
            .says("could not push 127.0.0.1:")
            .says(message);
    }
}

#[test]
fn silence_is_not_waited_for_for_ever() {
    let mut answer = cut_stream(["{\"status\":\"Pushing\",\"id\":\"a\"}\r\n"]);
    answer.push(Step::Wait(Duration::from_secs(20)));
    let (run, _daemon) = push(answer, &["--idle-timeout", "1"]);
    run.code(8)
        .says("the daemon has said nothing for 1 s")
        .says("allow for more with --idle-timeout")
        .within(Duration::from_secs(10));
    // Nor is the answer's beginning.
    let (run, _daemon) = push(
        vec![Step::Wait(Duration::from_secs(20))],
        &["--idle-timeout", "1"],
    );
    run.code(8)
        .says("the daemon has said nothing for 1 s")
        .within(Duration::from_secs(10));
}

#[test]
fn progress_is_told_in_lines_and_not_too_often() {
    let mut answer = cut_stream(Vec::<&str>::new());
    for current in 0..70 {
        let line = format!(
            "{{\"status\":\"Pushing\",\"progressDetail\":{{\"current\":{},\"total\":700000000}},\"id\":\"a\"}}\r\n",
            current * 10_000_000
        );
        answer.push(Step::Send(
            format!("{:x}\r\n{line}\r\n", line.len()).into_bytes(),
        ));
        answer.push(Step::Wait(Duration::from_millis(100)));
    }
    let line = digest_line();
    answer.push(Step::Send(
        format!("{:x}\r\n{line}\r\n0\r\n\r\n", line.len()).into_bytes(),
    ));
    let (run, _daemon) = push(answer, &[]);
    let run = run.code(0);
    let lines = run.stderr.matches("0 of 1 layers, ").count();
    // Seven seconds of progress; a busy machine takes longer, and then may tell more.
    let most = usize::try_from(run.took.as_secs() / 5).unwrap();
    assert!(
        (1..=most).contains(&lines),
        "{lines} lines in {:?}:\n{}",
        run.took,
        run.stderr
    );
    assert!(run.stderr.contains(" of 700.00 MB"), "{}", run.stderr);
    assert!(!run.stderr.contains('\r'), "{:?}", run.stderr);
}

#[test]
fn a_narrowed_image_is_pushed_and_said() {
    let line = digest_line();
    let aux = "{\"aux\":{\"manifestPushedInsteadOfIndex\":true}}\r\n";
    let (run, _daemon) = push(stream([aux, &line]), &[]);
    run.code(0)
        .says("warning: the daemon holds 'app:1' for several platforms and pushed only the one");
    let aux = "{\"aux\":{\"contentMissing\":true}}\r\n";
    let (run, _daemon) = push(stream([aux, &line]), &[]);
    run.code(0)
        .says("warning: the daemon does not have all of the content of 'app:1'");
}

#[test]
fn a_daemon_that_ends_in_the_middle_is_told() {
    let (run, _daemon) = push(
        reply("200 OK", "application/json", "{\"status\":\"Pushing\"}"),
        &[],
    );
    run.code(8).says("ended without a digest");
}
