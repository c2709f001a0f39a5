//! What is different on a terminal: colours, unless they are not wanted, and bars in place of lines.

use std::process::Command;
use std::time::Duration;

use crate::support::daemon::FakeDaemon;
use crate::support::fake_aws::FakeAws;
use crate::support::peer::{Step, cut_stream};
use crate::support::program::{Program, binary};
use crate::support::registry;

/// The program on a terminal of its own; stdout has all that the terminal would show.
fn on_terminal(arguments: &str) -> Program {
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{} {arguments}", binary().display()))
        .arg("/dev/null");
    Program::from_command(command).env("TERM", "xterm")
}

#[test]
fn errors_are_coloured_on_a_terminal_and_not_with_no_color() {
    let run = on_terminal("login --region x").run().code(2);
    assert!(
        run.stdout.contains("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m "),
        "{:?}",
        run.stdout
    );
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let run = on_terminal("login --region x")
            .env(name, value)
            .run()
            .code(2);
        assert!(
            run.stdout.contains("crossdock: error: "),
            "{name}: {:?}",
            run.stdout
        );
        assert!(!run.stdout.contains('\u{1b}'), "{name}: {:?}", run.stdout);
    }
}

#[test]
fn a_push_has_bars_on_a_terminal_and_nothing_with_quiet() {
    for (quiet, has_bars) in [("", true), ("-q", false)] {
        let registry =
            registry::scripted(|_| registry::error("404 Not Found", "MANIFEST_UNKNOWN", "none"));
        let aws = FakeAws::working(&registry.url()).serve();
        let mut lines: Vec<String> = (0..20)
            .map(|step| {
                let current = step * 50_000_000;
                format!("{{\"status\":\"Pushing\",\"progressDetail\":{{\"current\":{current},\"total\":1000000000}},\"id\":\"a\"}}\r\n")
            })
            .collect();
        lines.push(format!(
            "{{\"status\":\"1: digest: sha256:{} size: 5\"}}\r\n",
            "ab".repeat(32)
        ));
        let mut answer = Vec::new();
        for step in cut_stream(&lines) {
            answer.push(step);
            answer.push(Step::Wait(Duration::from_millis(25)));
        }
        answer.push(Step::Send(b"0\r\n\r\n".to_vec()));
        let daemon = FakeDaemon::pushing(move |_| answer.clone());
        let run = on_terminal(&format!("push app:1 {quiet}"))
            .fake_aws(&aws)
            .env("DOCKER_HOST", daemon.host())
            .run()
            .code(0);
        let shown = run.stdout.contains("/app:1 ") && run.stdout.contains("0/1 layers");
        assert_eq!(shown, has_bars, "{:?}", run.stdout);
        assert!(
            run.stdout.contains("/app:1@sha256:abab"),
            "{:?}",
            run.stdout
        );
    }
}
