//! No secret of a run is in its output, at the loudest, whatever happens. The harness searches every run for the
//! sandbox's secrets; here also for those that only AWS's answers hold.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::docker::{Image, unique};
use crate::support::files::Folder;
use crate::support::program::Program;
use crate::support::sandbox::sandbox;

/// A proxy in front of the sandbox's AWS that keeps what goes through it.
struct Tee {
    address: String,
    answers: Arc<Mutex<String>>,
}

impl Tee {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = Arc::new(Mutex::new(String::new()));
        let kept = answers.clone();
        let target = sandbox()
            .get("AWS_ENDPOINT")
            .trim_start_matches("http://")
            .to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&target).unwrap());
                let (mut from_client, mut to_server) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
                let kept = kept.clone();
                std::thread::spawn(move || copy(server, client, &kept));
            }
        });
        Self { address, answers }
    }

    /// What stands between `before` and `after` in the answers, if they have it.
    fn between(&self, before: &str, after: &str) -> Option<String> {
        let answers = self.answers.lock().unwrap();
        let (_, rest) = answers.split_once(before)?;
        Some(rest.split_once(after)?.0.to_owned())
    }
}

fn copy(mut server: TcpStream, mut client: TcpStream, kept: &Mutex<String>) {
    let mut buffer = [0; 8192];
    while let Ok(count) = server.read(&mut buffer) {
        if count == 0 {
            break;
        }
        kept.lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(&buffer[..count]));
        if client.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
}

#[test]
fn no_secret_of_a_run_is_in_its_output_at_the_loudest() {
    let image = Image::new();
    let repository = unique("secrets");
    let missing_host = "127.0.0.1:1";
    for (arguments, code) in [
        (vec!["login", "-vv"], 0),
        (vec!["login", "-vv", "--output", "json"], 0),
        (
            vec![
                "push",
                "-vv",
                &image.name,
                "--to",
                &repository,
                "--output",
                "json",
            ],
            0,
        ),
        (
            vec!["push", "-vv", &image.name, "--to", &repository, "--dry-run"],
            0,
        ),
        (vec!["push", "-vv", "no-such-image"], 8),
        (
            vec![
                "login",
                "-vv",
                "--registry",
                sandbox().get("BUILD_REGISTRY"),
            ],
            7,
        ),
        (
            vec!["push", "-vv", &image.name, "--registry", missing_host],
            8,
        ),
    ] {
        let tee = Tee::start();
        let folder = Folder::new();
        let run = Program::with_role(&arguments)
            .env("AWS_ENDPOINT_URL", format!("http://{}", tee.address))
            .env("DOCKER_CONFIG", folder.path())
            // The usual levers of Rust programs move nothing here.
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .run();
        let secrets: Vec<String> = [
            tee.between("<SecretAccessKey>", "</SecretAccessKey>"),
            tee.between("<SessionToken>", "</SessionToken>"),
            tee.between("\"authorizationToken\": \"", "\""),
        ]
        .into_iter()
        .flatten()
        .collect();
        // A missing image may end the run before AWS has answered.
        let expected = if arguments.contains(&"no-such-image") {
            0
        } else {
            3
        };
        assert!(
            secrets.len() >= expected,
            "{arguments:?}: AWS's answers had {} secrets",
            secrets.len()
        );
        assert!(
            secrets.iter().all(|secret| secret.len() > 20),
            "{secrets:?}"
        );
        run.assert_free_of(&secrets);
        let run = run.code(code);
        assert!(
            run.stderr
                .contains("assuming arn:aws:iam::022222222222:role/OurThingBuildRole"),
            "{}",
            run.stderr
        );
    }
}
