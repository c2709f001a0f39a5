//! Docker's config file: the login goes where the docker CLI looks, and nothing that a user had is lost.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use crate::support::docker::{DockerCli, unique};
use crate::support::fake_aws::FakeAws;
use crate::support::files::{Folder, mode};
use crate::support::program::{Program, binary};
use crate::support::sandbox::sandbox;

fn registry() -> &'static str {
    sandbox().get("OURTHING_REGISTRY")
}

fn login(folder: &Folder) -> Program {
    Program::with_role(&["login"]).env("DOCKER_CONFIG", folder.path())
}

fn logout(folder: &Folder) -> Program {
    Program::new(&["logout"]).env("DOCKER_CONFIG", folder.path())
}

/// A PATH on which a helper of ours comes first.
fn with_path(program: Program, folder: &Folder) -> Program {
    let path = std::env::var("PATH").unwrap();
    program.env("PATH", format!("{}:{path}", folder.join("bin").display()))
}

#[test]
fn a_new_file_is_private_and_what_docker_would_write() {
    let folder = Folder::new();
    let dir = folder.join("deep/er");
    Program::with_role(&["login", "--docker-config", dir.to_str().unwrap()])
        .run()
        .code(0);
    assert_eq!(mode(&dir.join("config.json")), 0o600);
    assert_eq!(mode(&dir), 0o700);
    let text = folder.read("deep/er/config.json");
    assert!(text.starts_with("{\n\t\"auths\": {\n\t\t\""), "{text}");
}

#[test]
fn an_empty_file_is_an_empty_object() {
    for text in ["", " \n", "{}"] {
        let folder = Folder::new();
        folder.write("config.json", text);
        login(&folder).run().code(0);
        assert!(folder.json("config.json")["auths"][registry()]["auth"].is_string());
    }
}

#[test]
fn a_corrupt_file_is_left_and_told_by_place() {
    for (text, place) in [
        (
            "{\"auths\": {\n  \"a\": {\"auth\": \"hidden-value\"},\n}}",
            "line 3, column 1",
        ),
        ("{\"auths\": \"hidden-value\"}", "line 1, column"),
        ("hidden-value", "line 1, column 1"),
        ("[]", "line 1"),
    ] {
        let folder = Folder::new();
        folder.write("config.json", text);
        login(&folder)
            .secret("hidden-value")
            .run()
            .code(2)
            .stdout("")
            .says(&format!(
                "{} is not valid at {place}",
                folder.join("config.json").display()
            ))
            .says("it was left as it is");
        assert_eq!(folder.read("config.json"), text);
        assert_eq!(folder.names(), ["config.json"]);
    }
}

#[test]
fn every_other_key_survives_in_its_order_and_bytes() {
    let folder = Folder::new();
    let before = "{\n\t\"HttpHeaders\": {\"x\": 1.50},\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\"auth\": \"eDp5\", \"email\": \"\"}\n\t},\n\t\"proxies\": {\"default\": {\"noProxy\": \"\\u00e9\"}},\n\t\"big\": 123456789012345678901234567890\n}\n";
    folder.write("config.json", before);
    login(&folder).run().code(0);
    let after = folder.read("config.json");
    let auth = folder.json("config.json")["auths"][registry()]["auth"]
        .as_str()
        .unwrap()
        .to_owned();
    let ours = format!(
        ",\n\t\t\"{}\": {{\n\t\t\t\"auth\": \"{auth}\"\n\t\t}}",
        registry()
    );
    assert_eq!(after.replace(&ours, ""), before);
    logout(&folder).run().code(0);
    assert_eq!(folder.read("config.json"), before);
    assert_eq!(folder.names(), ["config.json"]);
}

#[test]
fn logout_leaves_what_others_stored() {
    let folder = Folder::new();
    folder.write(
        "config.json",
        &json!({"auths": {"other.example": {"auth": "eDp5"}}}).to_string(),
    );
    login(&folder).run().code(0);
    let mut config = folder.json("config.json");
    config["auths"][registry()]["auth"] = json!("c29tZWJvZHk6ZWxzZQ==");
    folder.write("config.json", &config.to_string());
    logout(&folder).run().code(0).stderr(&format!(
        "crossdock: left the login to {}: it was replaced since by another program\n",
        registry()
    ));
    assert_eq!(folder.json("config.json"), config);
}

#[test]
fn logout_takes_the_registries_that_are_named() {
    let folder = Folder::new();
    login(&folder).run().code(0);
    let other = || Program::new(&["logout", "127.0.0.1:1"]).env("DOCKER_CONFIG", folder.path());
    other().run().code(0).says("no login of crossdock's");
    assert!(folder.json("config.json")["auths"][registry()].is_object());
    Program::new(&["logout", registry()])
        .env("DOCKER_CONFIG", folder.path())
        .run()
        .code(0)
        .says("logged out of");
    assert_eq!(folder.json("config.json"), json!({}));
}

#[test]
fn logout_where_nothing_ever_was_makes_nothing() {
    let folder = Folder::new();
    Program::new(&["logout"])
        .env("DOCKER_CONFIG", folder.join("none"))
        .run()
        .code(0)
        .stdout("");
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn a_symbolic_link_stays_one() {
    let folder = Folder::new();
    folder.write("real/config.json", "{\"keep\": true}");
    std::fs::create_dir(folder.join("docker")).unwrap();
    std::os::unix::fs::symlink("../real/config.json", folder.join("docker/config.json")).unwrap();
    Program::with_role(&["login"])
        .env("DOCKER_CONFIG", folder.join("docker"))
        .run()
        .code(0);
    let link = std::fs::symlink_metadata(folder.join("docker/config.json")).unwrap();
    assert!(link.file_type().is_symlink());
    let config = folder.json("real/config.json");
    assert_eq!(config["keep"], true);
    assert!(config["auths"][registry()].is_object());
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_kept() {
    // Root may write anywhere, so this runs as nobody.
    let folder = Folder::new();
    let config = folder.write("config.json", "{\"keep\": true}");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let program = folder_for_nobody();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program.join("crossdock"))
        .args(["login", "--verify=registry"]);
    Program::from_command(command)
        .sandbox_aws()
        .role()
        .env("DOCKER_CONFIG", folder.path())
        .run()
        .code(2)
        .stdout("")
        .says(&format!(
            "could not write into {}: Permission denied",
            folder.path().display()
        ))
        .says("choose a folder that this user can write");
    assert_eq!(folder.read("config.json"), "{\"keep\": true}");
    assert_eq!(folder.names(), ["config.json"]);
}

/// A copy of the program where any user can reach it.
fn folder_for_nobody() -> Folder {
    let folder = Folder::new();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(binary(), folder.join("crossdock")).unwrap();
    folder
}

/// A helper that keeps logins in a file and notes how it was called.
const KEEPING_HELPER: &str = r#"#!/bin/sh
dir=$(dirname "$0")/..
input=$(cat)
echo "$1" >> "$dir/calls"
case "$1" in
  store) printf '%s' "$input" > "$dir/stored" ;;
  get) if [ -f "$dir/stored" ]; then cat "$dir/stored"; else echo "credentials not found in native keychain"; exit 1; fi ;;
  erase) rm -f "$dir/stored" ;;
  *) exit 1 ;;
esac
"#;

#[test]
fn a_credential_helper_gets_the_login_and_gives_it_back() {
    for config in [
        json!({"credsStore": "keeping"}),
        json!({"credHelpers": {registry(): "keeping"}, "credsStore": "absent"}),
    ] {
        let folder = Folder::new();
        folder.write_script("bin/docker-credential-keeping", KEEPING_HELPER);
        folder.write("config.json", &config.to_string());
        with_path(login(&folder), &folder)
            .run()
            .code(0)
            .says("(docker-credential-keeping)");
        let stored = folder.json("stored");
        assert_eq!(stored["ServerURL"], registry());
        assert_eq!(stored["Username"], "AWS");
        assert_eq!(
            stored["Secret"],
            sandbox().get("OURTHING_REGISTRY_PASSWORD")
        );
        assert_eq!(
            folder.json("config.json"),
            config,
            "config.json was changed"
        );

        with_path(logout(&folder), &folder)
            .run()
            .code(0)
            .says("logged out of");
        assert!(!folder.join("stored").exists());
        assert_eq!(folder.read("calls"), "store\nget\nerase\nget\n");
        with_path(logout(&folder), &folder)
            .run()
            .code(0)
            .says("no login of crossdock's");
    }
}

#[test]
fn a_helper_of_which_docker_reads_is_the_one_that_was_stored_to() {
    let docker = DockerCli::new();
    let folder = docker.config();
    folder.write_script("bin/docker-credential-keeping", KEEPING_HELPER);
    folder.write("config.json", &json!({"credsStore": "keeping"}).to_string());
    with_path(login(folder), folder).run().code(0);
    let output = Command::new("docker")
        .args(["pull", &format!("{}/no/such:1", registry())])
        .env(
            "PATH",
            format!(
                "{}:{}",
                folder.join("bin").display(),
                std::env::var("PATH").unwrap()
            ),
        )
        .env("DOCKER_HOST", sandbox().get("DOCKER_HOST"))
        .env("DOCKER_CONFIG", folder.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("not found") || stderr.contains("unknown"),
        "{stderr}"
    );
    assert!(
        folder.read("calls").contains("get"),
        "docker did not ask the helper"
    );
}

#[test]
fn helpers_that_cannot_store_are_exit_2_and_say_what_to_do() {
    for (script, message, hint) in [
        (
            None,
            "config.json names the credential helper 'keeping', but docker-credential-keeping is not on PATH",
            "install docker-credential-keeping",
        ),
        (
            Some("#!/bin/sh\ncat > /dev/null\necho not implemented\nexit 1\n"),
            "docker-credential-keeping store failed",
            "brings its own logins and stores none",
        ),
        (
            Some("#!/bin/sh\nexit 3\n"),
            "docker-credential-keeping store failed for",
            "exit status: 3",
        ),
        (
            Some("#!/bin/sh\ncat\nexit 1\n"),
            "[redacted]",
            "mend the helper",
        ),
    ] {
        let folder = Folder::new();
        if let Some(script) = script {
            folder.write_script("bin/docker-credential-keeping", script);
        }
        let config = json!({"credHelpers": {registry(): "keeping"}});
        folder.write("config.json", &config.to_string());
        with_path(login(&folder), &folder)
            .run()
            .code(2)
            .stdout("")
            .says(message)
            .says(hint);
        assert_eq!(folder.json("config.json"), config);
        // One that may have stored before it failed stays noted, for 'logout'.
        let may_have_stored = script.is_some_and(|script| !script.contains("not implemented"));
        assert_eq!(
            folder.join("crossdock-logins.json").exists(),
            may_have_stored,
            "{script:?}"
        );
    }
}

/// Two registries, one for the helper `keeping` and one for `failing`.
fn two_helpers(folder: &Folder, failing: &str) -> Program {
    folder.write_script("bin/docker-credential-keeping", KEEPING_HELPER);
    folder.write_script("bin/docker-credential-failing", failing);
    let config = json!({"credHelpers": {"127.0.0.1:1": "keeping", "127.0.0.1:2": "failing"}});
    folder.write("config.json", &config.to_string());
    with_path(login(folder), folder)
        .arg("--verify=never")
        .arg("--registry=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3")
}

#[test]
fn a_login_that_fails_half_way_leaves_nothing_behind() {
    let folder = Folder::new();
    two_helpers(&folder, "#!/bin/sh\ncat > /dev/null\necho locked\nexit 1\n")
        .run()
        .code(2)
        .stdout("")
        .says("docker-credential-failing store failed for 127.0.0.1:2: locked");
    assert!(
        !folder.join("stored").exists(),
        "the helper that worked kept its login"
    );
    assert!(folder.json("config.json").get("auths").is_none());
}

#[test]
fn a_login_that_fails_leaves_an_older_one_to_be_forgotten() {
    let folder = Folder::new();
    two_helpers(&folder, KEEPING_HELPER).run().code(0);
    let older = folder.json("config.json")["auths"].clone();
    assert!(older["127.0.0.1:3"].is_object());
    // The password of the sandbox is always the same, and a token of AWS's never is: make the stored one another's.
    let aws = FakeAws::working("http://127.0.0.1:1").serve();
    folder.write_script(
        "bin/docker-credential-failing",
        "#!/bin/sh\ncat > /dev/null\necho locked\nexit 1\n",
    );
    with_path(
        Program::with_fake_aws(&["login", "--verify=never"], &aws),
        &folder,
    )
    .env("DOCKER_CONFIG", folder.path())
    .arg("--registry=127.0.0.1:2,127.0.0.1:3")
    .run()
    .code(2);
    assert_eq!(
        folder.json("config.json")["auths"],
        older,
        "the older login is as it was"
    );
    folder.write_script("bin/docker-credential-failing", KEEPING_HELPER);
    with_path(logout(&folder), &folder)
        .run()
        .code(0)
        .says("logged out of 127.0.0.1:3");
    assert!(folder.json("config.json").get("auths").is_none());
}

#[test]
fn a_helper_that_fails_does_not_keep_others_from_being_logged_out() {
    let folder = Folder::new();
    two_helpers(&folder, KEEPING_HELPER).run().code(0);
    std::fs::remove_file(folder.join("bin/docker-credential-failing")).unwrap();
    assert!(folder.json("config.json")["auths"]["127.0.0.1:3"].is_object());
    with_path(logout(&folder), &folder)
        .run()
        .code(2)
        .says("logged out of 127.0.0.1:3")
        .says("docker-credential-failing is not on PATH");
    assert!(
        folder.json("config.json").get("auths").is_none(),
        "the token in the file is still there"
    );
    // What could not be forgotten is still noted, and is when its helper is back.
    folder.write_script("bin/docker-credential-failing", KEEPING_HELPER);
    with_path(logout(&folder), &folder)
        .run()
        .code(0)
        .says("127.0.0.1:2");
    assert_eq!(
        folder.json("config.json")["credHelpers"]
            .as_object()
            .unwrap()
            .len(),
        2
    );
    assert!(!folder.join("crossdock-logins.json").exists());
}

#[test]
fn a_login_that_moved_to_a_helper_is_forgotten_in_both_places() {
    let folder = Folder::new();
    folder.write_script("bin/docker-credential-keeping", KEEPING_HELPER);
    login(&folder).run().code(0);
    let mut config = folder.json("config.json");
    config["credsStore"] = json!("keeping");
    folder.write("config.json", &config.to_string());
    with_path(login(&folder), &folder).run().code(0);
    with_path(logout(&folder), &folder).run().code(0);
    assert_eq!(folder.json("config.json"), json!({"credsStore": "keeping"}));
    assert!(!folder.join("stored").exists());
}

#[test]
fn a_helper_that_stores_and_then_fails_has_its_login_taken_out() {
    let folder = Folder::new();
    let storing = KEEPING_HELPER.replace(
        "> \"$dir/stored\" ;;",
        "> \"$dir/stored\"; echo late; exit 1 ;;",
    );
    assert_ne!(storing, KEEPING_HELPER);
    folder.write_script("bin/docker-credential-keeping", &storing);
    folder.write("config.json", &json!({"credsStore": "keeping"}).to_string());
    with_path(login(&folder), &folder)
        .run()
        .code(2)
        .says("store failed")
        .says("late");
    assert!(!folder.join("stored").exists(), "the login is still there");
    assert!(!folder.join("crossdock-logins.json").exists());
}

#[test]
fn a_helper_that_only_says_it_erases_is_not_believed() {
    let folder = Folder::new();
    folder.write_script(
        "bin/docker-credential-keeping",
        &KEEPING_HELPER.replace("rm -f \"$dir/stored\"", "true"),
    );
    folder.write("config.json", &json!({"credsStore": "keeping"}).to_string());
    with_path(login(&folder), &folder).run().code(0);
    for _ in 0..2 {
        with_path(logout(&folder), &folder)
            .run()
            .code(2)
            .says("docker-credential-keeping erase failed")
            .says("it reported success and still has the login");
    }
}

#[test]
fn a_logout_in_the_middle_of_a_slow_login_leaves_the_login_noted() {
    let folder = Folder::new();
    let slow = KEEPING_HELPER.replace("  store) ", "  store) touch \"$dir/storing\"; sleep 2; ");
    assert_ne!(slow, KEEPING_HELPER);
    folder.write_script("bin/docker-credential-keeping", &slow);
    folder.write("config.json", &json!({"credsStore": "keeping"}).to_string());
    let mut program = with_path(login(&folder), &folder);
    let mut child = program.spawn();
    while !folder.join("storing").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    with_path(logout(&folder), &folder).run().code(0);
    assert!(child.wait().unwrap().success());
    assert!(folder.join("stored").exists());
    with_path(logout(&folder), &folder)
        .run()
        .code(0)
        .says("logged out of");
    assert!(!folder.join("stored").exists());
}

/// AWS never gives the same token twice, so parallel logins to one registry overwrite each other.
#[test]
fn parallel_logins_and_logouts_leave_nothing_that_is_not_noted() {
    let folder = Folder::new();
    folder.write("config.json", "{}");
    for _ in 0..4 {
        let peers: Vec<_> = (0..6)
            .map(|_| FakeAws::with_password(&unique("password")))
            .collect();
        let mut children: Vec<_> = peers
            .iter()
            .map(|aws| {
                Program::with_fake_aws(&["login", "--verify=never", "-q"], aws)
                    .env("DOCKER_CONFIG", folder.path())
                    .spawn()
            })
            .collect();
        let logouts: Vec<_> = (0..2).map(|_| logout(&folder).spawn()).collect();
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        for mut child in logouts {
            assert!(child.wait().unwrap().success());
        }
        logout(&folder).run().code(0).does_not_say("replaced");
        assert_eq!(folder.json("config.json"), json!({}));
        assert_eq!(folder.names(), ["config.json"]);
    }
}

#[test]
fn a_record_that_cannot_be_read_is_told_before_anybody_is_asked() {
    let folder = Folder::new();
    folder.write("crossdock-logins.json", "{\"logins\": 1}");
    login(&folder)
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .run()
        .code(2)
        .says("crossdock-logins.json is not valid at line 1");
}

#[test]
fn a_slow_helper_at_logout_does_not_hold_up_a_login() {
    let folder = Folder::new();
    folder.write_script("bin/docker-credential-keeping", KEEPING_HELPER);
    folder.write(
        "config.json",
        &json!({"credHelpers": {"127.0.0.1:1": "keeping"}}).to_string(),
    );
    with_path(login(&folder), &folder)
        .arg("--verify=never")
        .arg("--registry=127.0.0.1:1")
        .run()
        .code(0);
    folder.write_script(
        "bin/docker-credential-keeping",
        "#!/bin/sh\nsleep 5\nexit 1\n",
    );
    let mut slow = with_path(logout(&folder), &folder);
    let mut slow = slow.spawn();
    std::thread::sleep(std::time::Duration::from_millis(500));
    login(&folder)
        .arg("--verify=never")
        .arg("--registry=127.0.0.1:2")
        .run()
        .code(0)
        .within(std::time::Duration::from_secs(3));
    assert!(!slow.wait().unwrap().success());
}

#[test]
fn twenty_logins_at_once_lose_nothing() {
    let folder = Folder::new();
    folder.write(
        "config.json",
        &json!({"keep": true, "auths": {"other.example": {"auth": "eDp5"}}}).to_string(),
    );
    // Twenty registries that nobody has to ask: what is stored is what counts.
    let mut children: Vec<_> = (1..=20)
        .map(|port| {
            Program::with_role(&["login", "--verify=never", "-q"])
                .arg(format!("--registry=127.0.0.1:{port}"))
                .env("DOCKER_CONFIG", folder.path())
                .spawn()
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let config = folder.json("config.json");
    assert_eq!(config["keep"], true);
    assert_eq!(config["auths"].as_object().unwrap().len(), 21);
    let record = folder.json("crossdock-logins.json");
    assert_eq!(record["logins"].as_object().unwrap().len(), 20);
    assert_eq!(folder.names(), ["config.json", "crossdock-logins.json"]);
}

/// Killed at the moment when the sibling is there: the file is the old one or the new one, and whole, and the next
/// login clears up what was left.
#[test]
fn kill_9_during_the_write_leaves_the_old_or_the_new_file_whole() {
    let folder = Folder::new();
    // Large, so that writing takes long enough to be hit.
    let padding = "x".repeat(8 << 20);
    let before =
        json!({"padding": padding, "auths": {"other.example": {"auth": "eDp5"}}}).to_string();
    let mut seen_sibling = 0;
    for _ in 0..12 {
        folder.write("config.json", &before);
        let mut child = login(&folder).arg("--verify=never").arg("-q").spawn();
        loop {
            let sibling = folder
                .names()
                .into_iter()
                .any(|name| name.starts_with(".config.json.crossdock-"));
            if sibling {
                seen_sibling += 1;
                child.kill().unwrap();
                break;
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        child.wait().unwrap();
        let config = folder.json("config.json");
        assert_eq!(config["padding"].as_str().unwrap().len(), padding.len());
        assert_eq!(config["auths"]["other.example"]["auth"], "eDp5");
    }
    assert!(seen_sibling > 0, "no write was hit");
    login(&folder).arg("--verify=never").run().code(0);
    assert_eq!(folder.names(), ["config.json", "crossdock-logins.json"]);
}
