//! A daemon behind ssh: a real sshd on loopback, and the sandbox's engine behind it.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::daemon::free_port;
use crate::support::docker::{Image, unique};
use crate::support::files::Folder;
use crate::support::program::{Program, binary};
use crate::support::registry::tags;
use crate::support::sandbox::sandbox;

#[test]
fn an_ssh_that_holds_its_stderr_open_does_not_hold_us() {
    let folder = Folder::new();
    folder.write_script(
        "bin/ssh",
        "#!/bin/sh\nsleep 20 &\necho docker: command not found >&2\nexit 127\n",
    );
    let path = format!(
        "{}:{}",
        folder.join("bin").display(),
        std::env::var("PATH").unwrap()
    );
    Program::with_role(&["login"])
        .env("PATH", path)
        .env("DOCKER_HOST", "ssh://far")
        .run()
        .code(6)
        .says("ssh: docker: command not found")
        .within(Duration::from_secs(10));
}

/// An sshd of the test's own, which lets one key in; stopped at the end.
struct Sshd {
    child: Child,
    folder: Folder,
    port: u16,
}

impl Sshd {
    fn start() -> Self {
        let folder = Folder::new();
        let port = free_port();
        for name in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.join(name))
                .status()
                .unwrap();
            assert!(made.success());
        }
        let dir = folder.path().display();
        folder.write(
            "sshd_config",
            &format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/user.pub\nPidFile none\n\
                 UsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
                 SetEnv DOCKER_HOST={}\n",
                sandbox().get("DOCKER_HOST")
            ),
        );
        let host_key = folder.read("host.pub");
        folder.write("known_hosts", &format!("[127.0.0.1]:{port} {host_key}"));
        // sshd separates its privileges in this folder, which the package makes at boot only.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(folder.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let sshd = Self {
            child,
            folder,
            port,
        };
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return sshd;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("sshd did not come up: {}", sshd.folder.read("log"));
    }

    /// The program with this sshd's key (and known hosts, where `knows_host`) in the user's `.ssh`, which is another
    /// one in a mount namespace of its own: ssh asks the password file for the home, not HOME.
    fn program(&self, arguments: &[&str], knows_host: bool) -> Program {
        std::fs::set_permissions(
            self.folder.join("user"),
            std::fs::Permissions::from_mode(0o600),
        )
        .unwrap();
        let copy_known_hosts = if knows_host {
            "cp \"$keys/known_hosts\" \"$ssh/known_hosts\" &&"
        } else {
            ""
        };
        let script = format!(
            "ssh=$(getent passwd \"$(id -u)\" | cut -d: -f6)/.ssh && mkdir -p \"$ssh\" && \
             mount -t tmpfs -o mode=0700 none \"$ssh\" && cp -p \"$keys/user\" \"$ssh/id_ed25519\" && \
             {copy_known_hosts} exec \"$0\" \"$@\""
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script])
            .arg(binary())
            .args(arguments);
        Program::from_command(command)
            .env("keys", self.folder.path())
            .sandbox_aws()
            .role()
            .env("DOCKER_HOST", format!("ssh://root@127.0.0.1:{}", self.port))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_image_is_pushed_by_a_daemon_behind_ssh() {
    let sshd = Sshd::start();
    let image = Image::new();
    let repository = unique("ssh");
    sshd.program(
        &["push", &image.name, "--to", &repository, "--tag", "1", "-v"],
        true,
    )
    .run()
    .code(0)
    .says(&format!(
        "Docker daemon: ssh://root@127.0.0.1:{} (from DOCKER_HOST)",
        sshd.port
    ));
    assert_eq!(tags(&repository), ["1"]);
    sshd.program(&["login"], true).run().code(0);
}

#[test]
fn what_ssh_says_is_told_at_once() {
    let sshd = Sshd::start();
    sshd.program(&["login"], false)
        .run()
        .code(6)
        .says("ssh: ")
        .says("Host key verification failed.")
        .says("'ssh HOST docker version' must work without a question")
        .within(Duration::from_secs(10));
}
