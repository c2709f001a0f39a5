//! A scripted HTTP peer on TCP or a unix socket, down to the byte: it can cut a stream, split a line end, be slow
//! or answer nonsense. At its end it fails the test if it was never called, unless that is what was to be shown.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
    /// In bytes, as it came.
    pub body_length: usize,
}

/// What the peer does, piece by piece, before it closes the connection.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    Wait(Duration),
}

/// An answer.
pub type Reply = Vec<Step>;

/// A whole answer with a body.
pub fn reply(status: &str, content_type: &str, body: &str) -> Reply {
    reply_with(status, &[("Content-Type", content_type)], body)
}

/// A whole answer with headers of its own.
pub fn reply_with(status: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.extend(["\r\n", body]);
    vec![Step::Send(text.into_bytes())]
}

/// An answer in JSON.
pub fn json(status: &str, body: &serde_json::Value) -> Reply {
    reply(status, "application/json", &body.to_string())
}

/// A streamed answer: each piece in a chunk of its own.
pub fn stream<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Reply {
    let mut steps = cut_stream(pieces);
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

/// A streamed answer whose end never comes: the connection closes after the last piece.
pub fn cut_stream<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Reply {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let mut steps = vec![Step::Send(head.as_bytes().to_vec())];
    for piece in pieces {
        let piece = piece.as_ref();
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        steps.push(Step::Send(chunk));
        steps.push(Step::Wait(Duration::from_millis(2)));
    }
    steps
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A peer that listens until it is dropped.
pub struct Peer {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
    wake: Box<dyn Fn() + Send>,
    may_be_idle: bool,
}

impl Peer {
    /// Listens on a free port of 127.0.0.1.
    pub fn on_tcp(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = address.clone();
        Self::start(
            address,
            Arc::new(handler),
            move || {
                listener
                    .accept()
                    .ok()
                    .map(|(stream, _)| Connection::Tcp(stream))
            },
            Box::new(move || drop(TcpStream::connect(&target))),
        )
    }

    /// Listens on a unix socket at `path`.
    pub fn on_socket(
        path: &Path,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let target = path.to_owned();
        Self::start(
            path.display().to_string(),
            Arc::new(handler),
            move || {
                listener
                    .accept()
                    .ok()
                    .map(|(stream, _)| Connection::Unix(stream))
            },
            Box::new(move || drop(UnixStream::connect(&target))),
        )
    }

    fn start(
        address: String,
        handler: Arc<Handler>,
        accept: impl Fn() -> Option<Connection> + Send + 'static,
        wake: Box<dyn Fn() + Send>,
    ) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let listener = std::thread::spawn({
            let (requests, stop) = (requests.clone(), stop.clone());
            move || {
                while let Some(connection) = accept() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (requests, handler) = (requests.clone(), handler.clone());
                    std::thread::spawn(move || connection.serve(&*handler, &requests));
                }
            }
        });
        Self {
            address,
            requests,
            stop,
            listener: Some(listener),
            wake,
            may_be_idle: false,
        }
    }

    /// A peer that need not be called, or must not be: the test looks at `requests`.
    pub fn may_be_idle(mut self) -> Self {
        self.may_be_idle = true;
        self
    }

    /// `HOST:PORT`, or the socket's path.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        (self.wake)();
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        if !std::thread::panicking() && !self.may_be_idle {
            assert!(
                !self.requests().is_empty(),
                "{} was never called",
                self.address
            );
        }
    }
}

enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    fn serve(self, handler: &Handler, requests: &Mutex<Vec<Request>>) {
        match self {
            Self::Tcp(stream) => {
                let writer = stream.try_clone().unwrap();
                serve(stream, &writer, handler, requests);
                let _ = writer.shutdown(Shutdown::Both);
            }
            Self::Unix(stream) => {
                let writer = stream.try_clone().unwrap();
                serve(stream, &writer, handler, requests);
                let _ = writer.shutdown(Shutdown::Both);
            }
        }
    }
}

fn serve(
    reader: impl Read,
    mut writer: impl Write,
    handler: &Handler,
    requests: &Mutex<Vec<Request>>,
) {
    let Some(request) = read_request(reader) else {
        return;
    };
    let steps = handler(&request);
    requests.lock().unwrap().push(request);
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if writer
                    .write_all(&bytes)
                    .and_then(|()| writer.flush())
                    .is_err()
                {
                    return;
                }
            }
            Step::Wait(time) => std::thread::sleep(time),
        }
    }
}

fn read_request(reader: impl Read) -> Option<Request> {
    let mut reader = BufReader::new(reader);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            None => break,
        }
    }
    let mut body = Vec::new();
    if headers
        .get("transfer-encoding")
        .is_some_and(|encoding| encoding == "chunked")
    {
        while let Some(chunk) = read_chunk(&mut reader).filter(|chunk| !chunk.is_empty()) {
            body.extend(chunk);
        }
    } else {
        let length = headers
            .get("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
    }
    Some(Request {
        method,
        path,
        headers,
        body_length: body.len(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// One chunk of a chunked body; an empty one is the last.
fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut size = String::new();
    reader.read_line(&mut size).ok()?;
    let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).ok()? + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(chunk.len() - 2);
    Some(chunk)
}
