//! Daemons: a scripted one that replays push streams, and real engines of a test's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::files::Folder;
use super::peer::{Peer, Reply, Request, json as json_reply, reply};
use super::sandbox::sandbox;

/// The id of the image that the scripted daemon has.
pub const IMAGE_ID: &str =
    "sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// A scripted daemon on a unix socket.
pub struct FakeDaemon {
    pub peer: Peer,
    _folder: Folder,
    socket: PathBuf,
}

impl FakeDaemon {
    /// Has an image, tags it, and answers every push with `push`.
    pub fn pushing(push: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::answering(move |request| match request.path.as_str() {
            path if path.contains("/push?") => push(request),
            path => routine(path),
        })
    }

    /// Answers every request as `handler` says.
    pub fn answering(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let folder = Folder::new();
        let socket = folder.join("docker.sock");
        Self {
            peer: Peer::on_socket(&socket, handler),
            _folder: folder,
            socket,
        }
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// What a daemon answers on the way to a push.
pub fn routine(path: &str) -> Reply {
    match path {
        "/version" => json_reply(
            "200 OK",
            &json!({"Components": [{"Name": "Engine", "Version": "0"}]}),
        ),
        "/auth" => json_reply(
            "200 OK",
            &json!({"IdentityToken": "", "Status": "Login Succeeded"}),
        ),
        path if path.starts_with("/images/") && path.ends_with("/json") => json_reply(
            "200 OK",
            &json!({"Id": IMAGE_ID, "RepoDigests": [], "Size": 1}),
        ),
        path if path.contains("/tag?") => reply("201 Created", "text/plain", ""),
        path => json_reply(
            "404 Not Found",
            &json!({"message": format!("the fake daemon has no {path}")}),
        ),
    }
}

/// A free port on loopback.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A real engine of the test's own, without networks; stopped at the end.
pub struct Engine {
    child: Child,
    folder: Folder,
}

impl Engine {
    /// Starts `dockerd` with further `arguments`; it takes a few seconds to be there.
    pub fn start(arguments: &[String]) -> Self {
        let folder = Folder::new();
        let child = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--storage-driver=vfs"])
            .arg(format!("--data-root={}", folder.join("data").display()))
            .arg(format!("--exec-root={}", folder.join("exec").display()))
            .arg(format!("--pidfile={}", folder.join("pid").display()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .expect("a Docker Engine is needed: install docker.io");
        Self { child, folder }
    }
}

impl Engine {
    /// One that wants TLS with a certificate of the sandbox's CA, on `port`.
    pub fn start_with_tls(port: u16) -> Self {
        let tls = sandbox().get("TLS_DIR");
        let mut arguments: Vec<String> = ["ca", "server-cert", "server-key"]
            .iter()
            .zip(["tlscacert", "tlscert", "tlskey"])
            .map(|(file, option)| format!("--{option}={tls}/{file}.pem"))
            .collect();
        arguments.push("--tlsverify".to_owned());
        arguments.push(format!("--host=tcp://127.0.0.1:{port}"));
        Self::start(&arguments)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // Gently, so that it ends its containerd too.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        // One that could not start leaves its data root mounted on itself.
        let _ = Command::new("umount")
            .arg(self.folder.join("data"))
            .output();
    }
}
