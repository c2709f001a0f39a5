//! Which daemon is found, how it is waited for, and what is said when there is none.

use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::daemon::{Engine, FakeDaemon, free_port, routine};
use crate::support::files::Folder;
use crate::support::peer::{Peer, json as json_reply, reply};
use crate::support::program::{Program, binary};
use crate::support::sandbox::sandbox;

fn login() -> Program {
    Program::with_role(&["login"])
}

#[test]
fn no_daemon_is_exit_6_with_its_cause() {
    let folder = Folder::new();
    let nobody = format!("tcp://127.0.0.1:{}", free_port());
    let stale = folder.join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    for (host, cause, hint) in [
        (
            nobody.as_str(),
            "connection refused",
            "is 'docker:dind' among the job's services",
        ),
        (
            &format!("unix://{}", stale.display()),
            "connection refused",
            "start the daemon, or mount its socket",
        ),
        (
            "unix:///nowhere/docker.sock",
            "the socket does not exist",
            "start the daemon, or mount its socket",
        ),
        (
            "tcp://no-such-host.invalid:2375",
            "no such host",
            "the host 'docker' exists only in a job with a 'docker:dind' service",
        ),
    ] {
        let run = login()
            .env("DOCKER_HOST", host)
            .env("CROSSDOCK_DAEMON_TIMEOUT", "1")
            .run()
            .code(6)
            .stdout("")
            .says(&format!(
                "no Docker daemon at {host} (from DOCKER_HOST) after "
            ))
            .says(&format!(" s: {cause}"))
            .says(hint)
            .says("waiting up to 1 s for the Docker daemon at");
        assert!(run.took < Duration::from_secs(10), "{:?}", run.took);
    }
}

#[test]
fn a_docker_host_that_cannot_be_one_is_exit_2() {
    login()
        .env("DOCKER_HOST", "ssh://me:pa55word@far")
        .run()
        .code(2)
        .says("'ssh://...@far' from DOCKER_HOST is not a Docker endpoint");
    login()
        .env("DOCKER_HOST", "tcp://me:pa55word@far:2375")
        .secret("pa55word")
        .run()
        .code(2)
        .says("'tcp://...@far:2375' from DOCKER_HOST is not a Docker endpoint");
    login()
        .env("DOCKER_HOST", "https://docker:2376")
        .run()
        .code(2)
        .says("'https://docker:2376' from DOCKER_HOST is not a Docker endpoint")
        .says("give unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST");
}

#[test]
fn push_without_any_daemon_is_exit_6() {
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs none /run && { [ /var/run -ef /run ] || mount -t tmpfs none /var/run; } && exec \"$0\" push app")
        .arg(binary());
    Program::from_command(command)
        .run()
        .code(6)
        .says("no Docker daemon is configured and no socket is there");
}

#[test]
fn a_refusal_of_aws_does_not_wait_for_the_daemon() {
    let start = Instant::now();
    login()
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .env("CROSSDOCK_EXTERNAL_ID", "other_key")
        .run()
        .code(4);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_socket_without_permission_is_told_at_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(binary(), folder.join("crossdock")).unwrap();
    let socket = folder.join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(folder.join("crossdock"))
        .args(["push", "app"]);
    Program::from_command(command)
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .env("DOCKER_CONFIG", folder.join("none"))
        .sandbox_aws()
        .keys_of("PUSHER")
        .run()
        .code(6)
        .says("permission denied on the socket")
        .says("run the job as a user of the socket's group, or as root")
        .within(Duration::from_secs(5));
}

#[test]
fn a_daemon_that_comes_up_late_is_waited_for() {
    let port = free_port();
    let mut program = login()
        .env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"))
        .env("CROSSDOCK_DAEMON_TIMEOUT", "60");
    let child = program.spawn();
    std::thread::sleep(Duration::from_secs(2));
    let _engine = Engine::start(&[
        format!("--host=tcp://127.0.0.1:{port}"),
        "--tls=false".to_owned(),
    ]);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("waiting up to 60 s for the Docker daemon at tcp://127.0.0.1:"),
        "{stderr}"
    );
    assert!(stderr.contains("connection refused"), "{stderr}");
}

#[test]
fn tls_on_both_sides_works_and_on_one_side_is_told_at_once() {
    let tls = sandbox().get("TLS_DIR");
    let (secure, plain) = (free_port(), free_port());
    let _secure_engine = Engine::start_with_tls(secure);
    let _plain_engine = Engine::start(&[
        format!("--host=tcp://127.0.0.1:{plain}"),
        "--tls=false".to_owned(),
    ]);
    let at = |port: u16| login().env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"));
    let with_tls = |program: Program, certificates: &str| {
        program
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", certificates)
    };
    let client = format!("{tls}/client");
    with_tls(at(secure), &client).run().code(0);
    at(plain).run().code(0);

    at(secure)
        .run()
        .code(6)
        .says("the daemon wants TLS and was asked without it")
        .says("set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH=/certs/client")
        .within(Duration::from_secs(5));
    with_tls(at(plain), &client)
        .run()
        .code(6)
        .says("the daemon was asked with TLS and speaks plain HTTP")
        .says("blank DOCKER_TLS_VERIFY")
        .within(Duration::from_secs(5));

    // A client whose certificate another CA signed.
    let folder = Folder::new();
    let openssl = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=stranger",
        ])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .unwrap();
    assert!(openssl.status.success());
    std::fs::copy(format!("{tls}/client/ca.pem"), folder.join("ca.pem")).unwrap();
    with_tls(at(secure), folder.path().to_str().unwrap())
        .run()
        .code(6)
        .says("TLS failed: ")
        .says("DOCKER_CERT_PATH must hold the ca.pem, cert.pem and key.pem that belong to this daemon");
    // A daemon that our CA did not sign.
    std::fs::copy(folder.join("cert.pem"), folder.join("ca.pem")).unwrap();
    with_tls(at(secure), folder.path().to_str().unwrap())
        .run()
        .code(6)
        .says("TLS failed: ");
    // Certificates that docker:dind has yet to write.
    with_tls(at(secure), "/nowhere")
        .env("CROSSDOCK_DAEMON_TIMEOUT", "1")
        .run()
        .code(6)
        .says("/nowhere/ca.pem does not exist")
        .says("share the /certs/client volume");
}

#[test]
fn sockets_that_are_there_are_found() {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("podman")).unwrap();
    let _peer = Peer::on_socket(&folder.join("podman/podman.sock"), |request| {
        routine(&request.path)
    });
    // The default sockets are hidden in a namespace of its own.
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs none /run && { [ /var/run -ef /run ] || mount -t tmpfs none /var/run; } && exec \"$0\" login -v")
        .arg(binary());
    Program::from_command(command)
        .sandbox_aws()
        .keys_of("PUSHER")
        .env("XDG_RUNTIME_DIR", folder.path())
        .run()
        .code(0)
        .says("podman/podman.sock (from rootless Podman's socket)");
}

#[test]
fn push_needs_no_config_file_where_docker_host_is_set() {
    let folder = Folder::new();
    folder.write("config.json", "not json");
    Program::with_role(&["push", "no-such-image:1"])
        .env("DOCKER_CONFIG", folder.path())
        .run()
        .code(8);
    Program::with_role(&["push", "no-such-image:1"])
        .without("DOCKER_HOST")
        .env("DOCKER_CONFIG", folder.path())
        .run()
        .code(2)
        .says("is not valid at line 1");
}

#[test]
fn a_client_without_a_certificate_is_not_waited_for() {
    let tls = sandbox().get("TLS_DIR");
    let port = free_port();
    let _engine = Engine::start_with_tls(port);
    let folder = Folder::new();
    std::fs::copy(format!("{tls}/client/ca.pem"), folder.join("ca.pem")).unwrap();
    let with = |folder: &Folder| {
        login()
            .env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"))
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", folder.path())
    };
    // The first run also waits for the engine to be there.
    with(&folder).run().code(6).says("TLS failed: ");
    with(&folder)
        .run()
        .code(6)
        .says("TLS failed: ")
        .says("BadCertificate")
        .within(Duration::from_secs(5));
    with(&folder)
        .env("SSL_CERT_FILE", folder.join("none.pem"))
        .run()
        .code(6)
        .says("this machine's root certificates cannot be read")
        .says("mend what SSL_CERT_FILE or SSL_CERT_DIR name");
}

#[test]
fn the_current_context_is_followed() {
    let daemon = FakeDaemon::answering(|request| routine(&request.path));
    let folder = Folder::new();
    let id = hex::encode(Sha256::digest(b"far"));
    folder.write(
        &format!("contexts/meta/{id}/meta.json"),
        &json!({"Name": "far", "Endpoints": {"docker": {"Host": daemon.host()}}}).to_string(),
    );
    folder.write("config.json", &json!({"currentContext": "far"}).to_string());
    login()
        .without("DOCKER_HOST")
        .env("DOCKER_CONFIG", folder.path())
        .arg("-v")
        .run()
        .code(0)
        .says("docker context 'far' of currentContext in config.json");
    assert_eq!(folder.json("config.json")["currentContext"], "far");
    login()
        .without("DOCKER_HOST")
        .env("DOCKER_CONFIG", folder.path())
        .env("DOCKER_CONTEXT", "gone")
        .run()
        .code(2)
        .says("docker context 'gone' from DOCKER_CONTEXT does not exist");
}

#[test]
fn the_daemon_is_given_the_login_and_its_no_is_exit_7() {
    for (status, message, hint) in [
        (
            "500 Internal Server Error",
            "login attempt to https://r/v2/ failed with status: 400 Bad Request",
            "token of another region",
        ),
        (
            "401 Unauthorized",
            "Get \"https://r/v2/\": unauthorized: authentication required",
            "the registry does not accept this token",
        ),
        (
            "500 Internal Server Error",
            "Get \"https://r/v2/\": dial tcp: lookup r: no such host",
            "the daemon cannot reach the registry",
        ),
        (
            "500 Internal Server Error",
            "Get \"https://r/v2/\": x509: certificate signed by unknown authority",
            "the daemon does not trust the registry's certificate",
        ),
    ] {
        let daemon = FakeDaemon::answering(move |request| match request.path.as_str() {
            "/auth" => json_reply(status, &json!({"message": message})),
            path => routine(path),
        });
        let folder = Folder::new();
        login()
            .env("DOCKER_HOST", daemon.host())
            .env("DOCKER_CONFIG", folder.path())
            .run()
            .code(7)
            .says(&format!(
                "{} refused the login, says the Docker daemon: {message}",
                sandbox().get("OURTHING_REGISTRY")
            ))
            .says(hint);
        assert_eq!(folder.names(), [""; 0]);
        let auth = daemon
            .peer
            .requests()
            .into_iter()
            .find(|request| request.path == "/auth")
            .unwrap();
        assert_eq!(auth.method, "POST");
        let body: serde_json::Value = serde_json::from_str(&auth.body).unwrap();
        assert_eq!(body["username"], "AWS");
        assert_eq!(
            body["password"],
            sandbox().get("OURTHING_REGISTRY_PASSWORD")
        );
        assert_eq!(body["serveraddress"], sandbox().get("OURTHING_REGISTRY"));
    }
}

#[test]
fn a_peer_that_is_no_daemon_is_not_taken_for_one() {
    let peer = Peer::on_tcp(|_| reply("502 Bad Gateway", "text/html", "<html>"));
    login()
        .env("DOCKER_HOST", format!("tcp://{}", peer.address()))
        .env("CROSSDOCK_DAEMON_TIMEOUT", "1")
        .run()
        .code(6)
        .says("502");
}
