//! The one HTTP client: AWS's services and registries are asked over the same connections, TLS stack,
//! trust store and proxy settings (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
//!
//! What is asked, and what an answer means, is left to the rooms. The Docker daemon has a transport of its
//! own (`docker::daemon`).

use std::sync::LazyLock;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

/// How long a connection may take to be there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first byte of an answer may take.
pub const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// What to do on a machine without root certificates.
pub const NO_ROOTS: &str = "this machine has no root certificates: install ca-certificates, or name a file of them in \
                            SSL_CERT_FILE";

/// Whether a failure, by its `message`, comes from there being no root certificate to trust at all.
#[must_use]
pub fn lacks_roots(message: &str) -> bool {
    message.contains("UnknownIssuer") && rustls_native_certs::load_native_certs().certs.is_empty()
}

/// A shared client. Cloning it shares its connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    connector: SharedHttpConnector,
}

impl HttpClient {
    /// A client with the settings of this process's environment.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connector: SharedHttpConnector::new(Connectors {
                with_tls: LazyLock::new(|| connector(has_roots())),
                without_tls: LazyLock::new(|| connector(false)),
            }),
        }
    }

    /// Sends `request`; the future resolves when the answer's headers are there.
    pub fn send(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.connector.call(request)
    }

    /// The same client in the shape that AWS's service clients take.
    #[must_use]
    pub fn for_sdk(&self) -> SharedHttpClient {
        let connector = self.connector.clone();
        http_client_fn(move |_, _| connector.clone())
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

/// Reading the machine's root certificates takes milliseconds and some hundred files: not before something is sent
/// that may need them.
#[derive(Debug)]
struct Connectors {
    with_tls: LazyLock<Connector>,
    without_tls: LazyLock<Connector>,
}

impl HttpConnector for Connectors {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // A proxy may itself be reached by TLS.
        if request.uri().starts_with("http://") && !has_http_proxy() {
            self.without_tls.call(request)
        } else {
            self.with_tls.call(request)
        }
    }
}

fn has_http_proxy() -> bool {
    ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
}

/// Reading all roots takes a millisecond, so it is done twice only where there may be none: where a variable names
/// them, or where the folder that distributions keep them in is missing.
fn has_roots() -> bool {
    let is_named = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    let has_usual =
        || std::fs::read_dir("/etc/ssl/certs").is_ok_and(|mut dir| dir.next().is_some());
    let is_usual = !is_named && has_usual();
    is_usual || !rustls_native_certs::load_native_certs().certs.is_empty()
}

/// An empty trust store is no error before TLS is needed; then `lacks_roots` tells the cause.
fn connector(with_roots: bool) -> Connector {
    let trust_store = TrustStore::default().with_native_roots(with_roots);
    let mut builder = Connector::builder()
        .connector_settings(
            HttpConnectorSettings::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .build(),
        )
        .sleep_impl(TokioSleep::new())
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc));
    if let Ok(context) = TlsContext::builder().with_trust_store(trust_store).build() {
        builder = builder.tls_context(context);
    }
    builder.build()
}
