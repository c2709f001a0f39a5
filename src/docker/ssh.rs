//! A daemon behind ssh, reached as the docker CLI reaches it: `ssh HOST docker system dial-stdio` carries one
//! HTTP connection on its standard input and output.
//!
//! The user's own `ssh` does the rest, so its configuration, agent and known hosts count. A connection is made for
//! each request; there are few.
//!
//! Source: `connhelper` of the docker CLI, for the URL's form and the arguments.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::{BollardRequest, ClientVersion, Docker};
use http::header::{HOST, HeaderValue};
use hyper::Response;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// The longest text of ssh's that is passed on, in bytes.
const LONGEST_COMPLAINT: u64 = 2000;
const COMPLAINT_TIMEOUT: Duration = Duration::from_secs(1);

/// `ssh://[USER@]HOST[:PORT][/SOCKET]`, in the arguments that ssh takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshTarget {
    arguments: Vec<String>,
}

impl SshTarget {
    /// Reads the URL; `None` where it is not of that form.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("ssh://")?;
        let (authority, socket) = match rest.split_once('/') {
            Some((authority, socket)) => (authority, socket),
            None => (rest, ""),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (host, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // What begins with a dash would be an option; a password in a URL would be seen by everybody.
        let is_plain = |text: &str| !text.is_empty() && !text.starts_with('-');
        if !is_plain(host) || !user.is_none_or(|user| is_plain(user) && !user.contains(':')) {
            return None;
        }
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
        if let Some(user) = user {
            add(&["-l", user]);
        }
        if let Some(port) = port {
            port.parse::<u16>().ok()?;
            add(&["-p", port]);
        }
        add(&[
            "-o",
            "ConnectTimeout=30",
            "-o",
            "BatchMode=yes",
            "-T",
            "--",
            host,
            "docker",
        ]);
        if !socket.is_empty() {
            add(&["--host", &format!("unix:///{socket}")]);
        }
        add(&["system", "dial-stdio"]);
        Some(Self { arguments })
    }

    /// A client that reaches the daemon there; `timeout` is in seconds.
    ///
    /// # Errors
    /// bollard's.
    pub fn client(&self, timeout: u64, version: &ClientVersion) -> Result<Docker, BollardError> {
        let target = self.clone();
        Docker::connect_with_custom_transport(
            move |request| exchange(target.clone(), request),
            Some("http://docker"),
            timeout,
            version,
        )
    }
}

async fn exchange(
    target: SshTarget,
    mut request: BollardRequest,
) -> Result<Response<Incoming>, BollardError> {
    let mut child = Command::new("ssh")
        .args(&target.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("could not run ssh: {error}")))?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("ssh has no standard streams").into());
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tokio::io::join(stdout, stdin))).await?;
    let connection = tokio::spawn(connection);
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = path.into();
    }
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("docker"));
    // An ssh that has ended answers no more, even where a child of its own keeps its streams open.
    let answer = tokio::select! {
        biased;
        answer = sender.send_request(request) => answer.map_err(BollardError::from),
        _ = child.wait() => Err(io::Error::other("ssh ended without an answer").into()),
    };
    match answer {
        Ok(response) => {
            // The child lives as long as its connection.
            tokio::spawn(async move {
                let _alive = child;
                connection.await
            });
            Ok(response)
        }
        Err(error) => Err(complaint(stderr, error).await),
    }
}

/// What ssh said when the connection ended without an answer; what the connection says where ssh said nothing.
async fn complaint(stderr: impl AsyncRead + Unpin, error: BollardError) -> BollardError {
    let mut bytes = Vec::new();
    let mut stderr = stderr.take(LONGEST_COMPLAINT);
    // A connection that ssh shares with others may hold its stderr open: what came in time is told, and without ssh's
    // words the connection's own error is.
    let _ = tokio::time::timeout(COMPLAINT_TIMEOUT, stderr.read_to_end(&mut bytes)).await;
    match String::from_utf8_lossy(&bytes).trim() {
        "" => error,
        text => io::Error::other(format!("ssh: {text}")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_the_arguments_of_the_docker_cli() {
        let always = "-o ConnectTimeout=30 -o BatchMode=yes -T --";
        for (url, arguments) in [
            (
                "ssh://far",
                format!("{always} far docker system dial-stdio"),
            ),
            (
                "ssh://me@far:2222",
                format!("-l me -p 2222 {always} far docker system dial-stdio"),
            ),
            (
                "ssh://[::1]:22/run/user/1000/docker.sock",
                format!(
                    "-p 22 {always} ::1 docker --host unix:///run/user/1000/docker.sock system dial-stdio"
                ),
            ),
        ] {
            let target = SshTarget::parse(url).unwrap();
            assert_eq!(target.arguments.join(" "), arguments, "{url}");
        }
        for url in [
            "ssh://",
            "ssh://-oProxyCommand=evil",
            "ssh://-l@far",
            "ssh://me:password@far",
            "ssh://far:port",
            "tcp://far",
        ] {
            assert_eq!(SshTarget::parse(url), None, "{url}");
        }
    }
}
