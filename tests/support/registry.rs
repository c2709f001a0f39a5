//! Registries: what the real ones hold, and a scripted one behind a real daemon.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::peer::{Peer, Reply, Request, json as json_reply, reply, reply_with};
use super::sandbox::sandbox;

/// The tags of a repository in OURTHING's registry; none where the repository does not exist.
pub fn tags(repository: &str) -> Vec<String> {
    let host = sandbox().get("OURTHING_REGISTRY");
    let login = STANDARD.encode(format!(
        "AWS:{}",
        sandbox().get("OURTHING_REGISTRY_PASSWORD")
    ));
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /v2/{repository}/tags/list HTTP/1.0\r\nHost: {host}\r\nAuthorization: Basic {login}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let document: serde_json::Value = serde_json::from_str(body).unwrap();
    let mut tags: Vec<String> =
        serde_json::from_value(document["tags"].clone()).unwrap_or_default();
    tags.sort();
    tags
}

/// A registry that takes every layer, and answers requests for manifests as `manifests` says.
pub fn scripted(manifests: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Peer {
    let uploaded = Mutex::new(HashSet::new());
    Peer::on_tcp(move |request| {
        if request.path == "/v2/" {
            return json_reply("200 OK", &serde_json::json!({}));
        }
        if !request.path.contains("/blobs/") {
            return manifests(request);
        }
        let range = format!("0-{}", request.body_length.saturating_sub(1));
        let upload = [
            ("Location", "/v2/demo/r/blobs/uploads/1"),
            ("Docker-Upload-UUID", "1"),
            ("Range", range.as_str()),
        ];
        match request.method.as_str() {
            "POST" | "PATCH" => reply_with("202 Accepted", &upload, ""),
            "PUT" => {
                let digest = request
                    .path
                    .split_once("digest=")
                    .map_or("", |(_, digest)| digest);
                let digest = digest.replace("%3A", ":");
                uploaded.lock().unwrap().insert(digest.clone());
                reply_with(
                    "201 Created",
                    &[("Docker-Content-Digest", digest.as_str())],
                    "",
                )
            }
            _ if uploaded
                .lock()
                .unwrap()
                .iter()
                .any(|digest| request.path.ends_with(digest)) =>
            {
                reply("200 OK", "application/octet-stream", "")
            }
            _ => reply("404 Not Found", "text/plain", ""),
        }
    })
}

/// A registry's error document.
pub fn error(status: &str, code: &str, message: &str) -> Reply {
    json_reply(
        status,
        &serde_json::json!({"errors": [{"code": code, "message": message}]}),
    )
}

/// What ECR answers to a manifest for a tag that is immutable and taken.
pub fn tag_taken() -> Reply {
    error(
        "400 Bad Request",
        "TAG_INVALID",
        "The image tag '1' already exists in the 'demo/r' repository and cannot be overwritten because the repository \
         is immutable.",
    )
}

/// A manifest with `config` as its config, under `digest`.
pub fn manifest(config: &str, digest: &str) -> Reply {
    let body = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": config},
        "layers": [],
    })
    .to_string();
    let headers = [
        (
            "Content-Type",
            "application/vnd.docker.distribution.manifest.v2+json",
        ),
        ("Docker-Content-Digest", digest),
    ];
    reply_with("200 OK", &headers, &body)
}
