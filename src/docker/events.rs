//! The daemon's push stream, decoded: bytes in, events out. Pure, so that recorded streams can test it.
//!
//! The daemon answers HTTP 200 first, and nearly every failure comes later inside the stream. Lines end in
//! `\n` or `\r\n`, may be split anywhere, and a stream that just ends has failed.
//!
//! Sources: `jsonmessage.JSONMessage` and `types.PushResult` of the Moby project; `auxprogress` for what the
//! containerd image store sends; podman sends the legacy `error` key alone.

use serde::Deserialize;

/// More than any line of a daemon has; beyond it the peer is no daemon.
const LONGEST_MESSAGE: usize = 1 << 20;

/// One message of the stream, reduced to what matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A layer's state; bytes where the daemon tells them.
    Layer {
        /// The layer's short id.
        id: String,
        /// The daemon's word for the state (`Pushing`, `Pushed`, `Layer already exists`, ...).
        status: String,
        /// Bytes sent.
        current: Option<u64>,
        /// Bytes to send.
        total: Option<u64>,
    },
    /// A line about the push as a whole.
    Status(String),
    /// What was pushed.
    Digest {
        /// The manifest's digest.
        digest: String,
        /// The manifest's size in bytes.
        size: Option<u64>,
    },
    /// The image store held other platforms too, and pushed only one.
    Narrowed,
    /// The image store lacks some of the image's content; a failure follows.
    ContentMissing,
    /// The push failed.
    Failed(String),
}

/// Why a stream cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Not JSON, or not an object of the push stream.
    #[error("the daemon sent something that is not of its push stream: {0}")]
    Malformed(String),
    /// No end of the message in sight.
    #[error("the daemon sent a message of more than {LONGEST_MESSAGE} bytes")]
    TooLong,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: String,
    progress_detail: Option<ProgressDetail>,
    error_detail: Option<ErrorDetail>,
    error: Option<String>,
    aux: Option<Aux>,
}

#[derive(Deserialize)]
struct ProgressDetail {
    current: Option<u64>,
    total: Option<u64>,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Aux {
    #[serde(rename = "Digest")]
    digest: Option<String>,
    #[serde(rename = "Size")]
    size: Option<u64>,
    #[serde(rename = "manifestPushedInsteadOfIndex", default)]
    manifest_pushed_instead_of_index: bool,
    #[serde(rename = "contentMissing", default)]
    content_missing: bool,
}

/// A decoder that is fed as bytes arrive.
#[derive(Debug, Default)]
pub struct PushStream {
    pending: Vec<u8>,
}

impl PushStream {
    /// Takes `bytes` in and gives the events that they complete.
    ///
    /// # Errors
    /// [`StreamError`]: the peer does not speak the push stream.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, StreamError> {
        self.pending.extend_from_slice(bytes);
        let mut messages = serde_json::Deserializer::from_slice(&self.pending).into_iter();
        let mut events = Vec::new();
        let mut consumed = 0;
        loop {
            match messages.next() {
                Some(Ok(message)) => {
                    consumed = messages.byte_offset();
                    events.extend(events_of(message));
                }
                Some(Err(error)) if error.is_eof() => break,
                Some(Err(error)) => return Err(StreamError::Malformed(error.to_string())),
                None => {
                    consumed = self.pending.len();
                    break;
                }
            }
        }
        self.pending.drain(..consumed);
        if self.pending.len() > LONGEST_MESSAGE {
            return Err(StreamError::TooLong);
        }
        Ok(events)
    }

    /// Whether the stream ended inside a message.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.pending.iter().any(|byte| !byte.is_ascii_whitespace())
    }
}

/// The failure in `body`, if it is a message of the push stream.
#[must_use]
pub fn failure_in(body: &str) -> Option<String> {
    let events = PushStream::default().feed(body.as_bytes()).ok()?;
    events.into_iter().find_map(|event| match event {
        Event::Failed(message) => Some(message),
        _ => None,
    })
}

fn events_of(message: Message) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(failure) = message
        .error_detail
        .map(|detail| detail.message)
        .filter(|text| !text.is_empty())
        .or(message.error)
    {
        return vec![Event::Failed(failure)];
    }
    if let Some(aux) = message.aux {
        if let Some(digest) = aux.digest.filter(|digest| is_digest(digest)) {
            events.push(Event::Digest {
                digest,
                size: aux.size,
            });
        }
        if aux.manifest_pushed_instead_of_index {
            events.push(Event::Narrowed);
        }
        if aux.content_missing {
            events.push(Event::ContentMissing);
        }
    }
    if let Some(digest) = digest_line(&message.status) {
        events.push(digest);
    } else if !message.id.is_empty() && !message.status.is_empty() {
        let detail = message.progress_detail;
        events.push(Event::Layer {
            id: message.id,
            status: message.status,
            current: detail.as_ref().and_then(|detail| detail.current),
            total: detail.as_ref().and_then(|detail| detail.total),
        });
    } else if !message.status.is_empty() {
        events.push(Event::Status(message.status));
    }
    events
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `TAG: digest: sha256:... size: N`
fn digest_line(status: &str) -> Option<Event> {
    let (_, rest) = status.split_once("digest: sha256:")?;
    let mut words = rest.split_whitespace();
    let digest = format!("sha256:{}", words.next()?);
    is_digest(&digest).then(|| Event::Digest {
        digest,
        size: words
            .next()
            .filter(|word| *word == "size:")
            .and_then(|_| words.next()?.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:abababababababababababababababababababababababababababababababab";

    fn all_at_once(text: &str) -> Vec<Event> {
        PushStream::default().feed(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_stream_means_the_same_however_it_is_cut() {
        let text = format!(
            "{{\"status\":\"The push refers to repository [r]\"}}\r\n\
             {{\"status\":\"Pushing\",\"progressDetail\":{{\"current\":1,\"total\":2}},\"id\":\"a\"}}\r\n\
             {{\"status\":\"1: digest: {DIGEST} size: 528\"}}\r\n\
             {{\"progressDetail\":{{}},\"aux\":{{\"Tag\":\"1\",\"Digest\":\"{DIGEST}\",\"Size\":528}}}}\r\n"
        );
        let whole = all_at_once(&text);
        assert_eq!(whole.len(), 4);
        for cut in 0..text.len() {
            let mut stream = PushStream::default();
            let mut events = stream.feed(&text.as_bytes()[..cut]).unwrap();
            events.extend(stream.feed(&text.as_bytes()[cut..]).unwrap());
            assert_eq!(events, whole, "cut at {cut}");
            assert!(!stream.is_cut(), "cut at {cut}");
        }
        let mut stream = PushStream::default();
        let mut events = Vec::new();
        for byte in text.as_bytes() {
            events.extend(stream.feed(std::slice::from_ref(byte)).unwrap());
        }
        assert_eq!(events, whole);
    }

    #[test]
    fn failures_in_every_form() {
        for text in [
            r#"{"errorDetail":{"message":"denied"},"error":"denied"}"#,
            r#"{"errorDetail":{"code":1,"message":"denied"}}"#,
            r#"{"error":"denied"}"#,
            r#"{"errorDetail":{},"error":"denied"}"#,
        ] {
            assert_eq!(
                all_at_once(text),
                [Event::Failed("denied".to_owned())],
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_containerd_store_adds() {
        assert_eq!(
            all_at_once(r#"{"aux":{"manifestPushedInsteadOfIndex":true,"originalIndex":{}}}"#),
            [Event::Narrowed]
        );
        assert_eq!(
            all_at_once(r#"{"aux":{"contentMissing":true}}"#),
            [Event::ContentMissing]
        );
    }

    #[test]
    fn a_status_that_only_looks_like_a_digest_is_a_status() {
        assert_eq!(
            all_at_once(r#"{"status":"1: digest: sha256:12 size: 1"}"#),
            [Event::Status("1: digest: sha256:12 size: 1".to_owned())]
        );
    }

    #[test]
    fn garbage_and_endless_messages_are_errors() {
        assert!(matches!(
            PushStream::default().feed(b"<html>"),
            Err(StreamError::Malformed(_))
        ));
        let mut stream = PushStream::default();
        let endless = format!("{{\"status\":\"{}", "x".repeat(LONGEST_MESSAGE));
        assert_eq!(stream.feed(endless.as_bytes()), Err(StreamError::TooLong));
        let mut stream = PushStream::default();
        assert_eq!(stream.feed(b"{\"status\":\"Pushi"), Ok(Vec::new()));
        assert!(stream.is_cut());
    }
}
