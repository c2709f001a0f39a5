//! The way to AWS: proxies, endpoints, root certificates.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::daemon::free_port;
use crate::support::fake_aws::FakeAws;
use crate::support::files::Folder;
use crate::support::peer::{Peer, reply};
use crate::support::program::Program;
use crate::support::sandbox::sandbox;

#[test]
fn a_proxy_is_used_unless_the_host_is_excepted() {
    // The scripted AWS is a good enough proxy for plain HTTP: it answers whatever the address is.
    let proxy = FakeAws::working("http://127.0.0.1:1").serve();
    let login = |no_proxy: &str| {
        Program::with_fake_aws(&["login", "--verify", "never"], &proxy)
            .env("AWS_ENDPOINT_URL", "http://aws.example.invalid")
            .env("HTTP_PROXY", proxy.url())
            .env("NO_PROXY", no_proxy)
            .run()
    };
    login("").code(0);
    assert_eq!(proxy.requests().len(), 2);
    assert!(
        proxy.requests()[0]
            .path
            .starts_with("http://aws.example.invalid/")
    );
    login("example.invalid").code(5).says("could not ask STS");
    assert_eq!(proxy.requests().len(), 2);
}

#[test]
fn the_endpoints_are_those_of_the_region_and_its_kind() {
    for (variable, region, host) in [
        (
            "UNUSED",
            "eu-central-1",
            "sts.eu-central-1.amazonaws.com:443",
        ),
        (
            "UNUSED",
            "cn-north-1",
            "sts.cn-north-1.amazonaws.com.cn:443",
        ),
        (
            "AWS_USE_FIPS_ENDPOINT",
            "us-east-1",
            "sts-fips.us-east-1.amazonaws.com:443",
        ),
        (
            "AWS_USE_DUALSTACK_ENDPOINT",
            "eu-central-1",
            "sts.eu-central-1.api.aws:443",
        ),
    ] {
        // A proxy that lets nobody through sees where one wanted to go.
        let proxy = Peer::on_tcp(|_| reply("403 Forbidden", "text/plain", ""));
        Program::with_fake_aws(&["login", "--verify", "never"], &proxy)
            .without("AWS_ENDPOINT_URL")
            .env("AWS_REGION", region)
            .env("HTTPS_PROXY", proxy.url())
            .env(variable, "true")
            .run()
            .code(5);
        let request = &proxy.requests()[0];
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("CONNECT", host)
        );
    }
}

#[test]
fn a_machine_without_root_certificates_is_told_so() {
    // A TLS server that nobody trusts: any certificate does.
    let folder = Folder::new();
    let tls = sandbox().get("TLS_DIR");
    let port = free_port();
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ])
        .args([
            "-cert",
            &format!("{tls}/server-cert.pem"),
            "-key",
            &format!("{tls}/server-key.pem"),
        ])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let url = format!("https://127.0.0.1:{port}");
    let aws = FakeAws::working(&url).serve().may_be_idle();
    let with_roots = |file: PathBuf| {
        Program::with_fake_aws(&["login", "--verify=never"], &aws)
            .env("AWS_ENDPOINT_URL", &url)
            .env("SSL_CERT_FILE", file)
            .env("AWS_CA_BUNDLE", "/some/bundle.pem")
            .env("DOCKER_CONFIG", folder.path())
            .run()
    };
    let without = with_roots(folder.join("none.pem"));
    let strangers = with_roots(format!("{tls}/client/cert.pem").into());
    server.kill().unwrap();
    server.wait().unwrap();
    without
        .code(5)
        .says("UnknownIssuer")
        .says("warning: AWS_CA_BUNDLE is not read by crossdock")
        .says("this machine has no root certificates: install ca-certificates");
    strangers
        .code(5)
        .says("UnknownIssuer")
        .says("check that this machine reaches STS");
}
