//! Clients that speak TLS, and within it HTTP/1.1 or HTTP/2.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use mastra_router::LocalEdgeRouterConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::edge::Edge;
use crate::wire::{Wire, within};

/// A router that serves TLS, and clients that believe its authority.
pub(crate) struct Secure {
    pub(crate) edge: Edge,
    roots: RootCertStore,
}

/// What a client offers and insists on.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) alpn: &'static [&'static str],
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    /// Whether the name of the host is sent.
    pub(crate) sni: bool,
}

pub(crate) const HTTP1: Offer = Offer { alpn: &["http/1.1"], versions: rustls::ALL_VERSIONS, sni: true };
pub(crate) const HTTP2: Offer = Offer { alpn: &["h2"], versions: rustls::ALL_VERSIONS, sni: true };

impl Secure {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut LocalEdgeRouterConfig)) -> Self {
        let edge = Edge::with(|config| {
            config.enable_tls = true;
            config.tls.cert_dir = config.lease_dir.as_ref().map(|dir| dir.join("certs"));
            change(config);
        })
        .await;
        Self::of(edge)
    }

    pub(crate) fn of(edge: Edge) -> Self {
        let roots = roots(&edge);
        Self { edge, roots }
    }

    /// Makes the clients believe one more certificate.
    pub(crate) fn believe(&mut self, certificate: CertificateDer<'static>) {
        self.roots.add(certificate).unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.edge.address
    }

    /// A client's side of TLS.
    pub(crate) fn connector(&self, offer: &Offer) -> TlsConnector {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(offer.versions).unwrap();
        let mut config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = offer.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.enable_sni = offer.sni;
        TlsConnector::from(Arc::new(config))
    }

    /// A handshake as a client of `https://host`.
    pub(crate) async fn try_tls(&self, host: &str, offer: &Offer) -> io::Result<TlsStream<TcpStream>> {
        let io = within("a connection", TcpStream::connect(self.address())).await?;
        io.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        within("a handshake", self.connector(offer).connect(name, io)).await
    }

    pub(crate) async fn tls(&self, host: &str, offer: &Offer) -> TlsStream<TcpStream> {
        self.try_tls(host, offer).await.unwrap()
    }

    /// HTTP/1.1 over TLS.
    pub(crate) async fn http1(&self, host: &str) -> Wire<TlsStream<TcpStream>> {
        Wire { io: self.tls(host, &HTTP1).await, read: Vec::new() }
    }

    /// HTTP/2.
    pub(crate) async fn http2(&self) -> Http2 {
        self.http2_with(&h2::client::Builder::new()).await
    }

    /// HTTP/2, with the certificate of another host.
    pub(crate) async fn http2_as(&self, host: &str) -> Http2 {
        begun(self.tls(host, &HTTP2).await, &h2::client::Builder::new()).await
    }

    pub(crate) async fn http2_with(&self, builder: &h2::client::Builder) -> Http2 {
        begun(self.tls("app.localhost", &HTTP2).await, builder).await
    }
}

async fn begun(io: TlsStream<TcpStream>, builder: &h2::client::Builder) -> Http2 {
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (requests, connection) = within("a connection", builder.handshake::<_, Bytes>(io)).await.unwrap();
    Http2 { requests, ended: tokio::spawn(connection) }
}

/// The router's authority, as a client believes it.
fn roots(edge: &Edge) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    if let Some(dir) = &edge.router.config().tls.cert_dir
        && let Ok(certificates) = CertificateDer::pem_file_iter(dir.join("ca.pem"))
    {
        roots.add_parsable_certificates(certificates.map(Result::unwrap));
    }
    roots
}

/// A connection in HTTP/2.
pub(crate) struct Http2 {
    pub(crate) requests: SendRequest<Bytes>,
    /// How the connection ended.
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.ended.abort();
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.head.headers().get_all(name).iter().collect();
        assert!(values.len() < 2, "{name} is repeated: {:?}", self.head);
        values.first().map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Http2 {
    /// Begins a request; `ends` says that it has no body.
    pub(crate) async fn begin(&self, request: Request<()>, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = within("room for a stream", self.requests.clone().ready()).await.unwrap();
        requests.send_request(request, ends).unwrap()
    }

    pub(crate) async fn ask(&self, request: Request<()>) -> Answer {
        let (answer, _stream) = self.begin(request, true).await;
        whole(answer).await
    }

    /// Makes sure that the connection serves on: the router answers for a host that nobody has.
    pub(crate) async fn serves(&self) {
        let request = Request::get("https://nobody.localhost/").body(()).unwrap();
        assert_eq!(self.ask(request).await.status(), 404);
    }
}

/// A GET on `app.localhost`.
pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("https://app.localhost{path}")).body(()).unwrap()
}

/// A POST on `app.localhost`.
pub(crate) fn post(path: &str) -> Request<()> {
    Request::post(format!("https://app.localhost{path}")).body(()).unwrap()
}

/// The head of an answer, and its body to be read.
pub(crate) async fn head(answer: ResponseFuture) -> Result<(Response<()>, RecvStream), h2::Error> {
    let (parts, body) = within("an answer", answer).await?.into_parts();
    Ok((Response::from_parts(parts, ()), body))
}

/// An answer to its end.
pub(crate) async fn whole(answer: ResponseFuture) -> Answer {
    let (head, mut body) = head(answer).await.unwrap();
    let (body, trailers) = rest(&mut body).await.unwrap();
    Answer { head, body, trailers }
}

/// What is left of a body.
pub(crate) async fn rest(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = within("data or the end", body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    let trailers = within("trailers or the end", body.trailers()).await?;
    Ok((all, trailers))
}

/// The next `n` bytes of a body; more must not come.
pub(crate) async fn exactly(body: &mut RecvStream, n: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < n {
        let data = within("data", body.data()).await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    assert_eq!(all.len(), n);
    all
}

/// Sends all of `bytes` as the window allows.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, bytes: &[u8], ends: bool) {
    let mut rest = Bytes::copy_from_slice(bytes);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let room = within("room to send", std::future::poll_fn(|cx| stream.poll_capacity(cx))).await.unwrap().unwrap();
        let part = rest.split_to(room.min(rest.len()));
        stream.send_data(part, ends && rest.is_empty()).unwrap();
    }
    if bytes.is_empty() {
        stream.send_data(Bytes::new(), ends).unwrap();
    }
}
