//! A server that asks for certificates as the proxy does: from a runtime of its own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use mastra_router::Certificates;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use crate::certificate::der;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(certificates: Arc<dyn Certificates>) -> Self {
        Self::start_at(certificates, IpAddr::from([127, 0, 0, 1]))
    }

    pub(crate) fn start_at(certificates: Arc<dyn Certificates>, ip: IpAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, certificates) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

async fn accept(listener: TcpListener, certificates: Arc<dyn Certificates>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let certificates = certificates.clone();
        // Clients that refuse a certificate leave.
        tokio::spawn(async move { serve(socket, &*certificates).await });
    }
}

async fn serve(socket: TcpStream, certificates: &dyn Certificates) -> std::io::Result<()> {
    let address = socket.local_addr()?.ip();
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
    let host = start.client_hello().server_name().map_or_else(|| address.to_string(), str::to_ascii_lowercase);
    let config = match certificates.held(&host) {
        Some(config) => Some(config),
        None => certificates.obtain(&host).await,
    };
    let Some(config) = config else { return Ok(()) };
    let mut stream = start.into_stream(config).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n").await?;
    stream.shutdown().await
}

/// One certificate for whoever comes.
pub(crate) struct Always(pub(crate) Arc<ServerConfig>);

impl Certificates for Always {
    fn held(&self, _: &str) -> Option<Arc<ServerConfig>> {
        Some(self.0.clone())
    }

    fn obtain<'a>(
        &'a self,
        host: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = Option<Arc<ServerConfig>>> + Send + 'a>> {
        Box::pin(std::future::ready(self.held(host)))
    }
}

/// A client that trusts this authority and nothing else.
pub(crate) fn client(ca_pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(der(ca_pem)).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

pub(crate) type Connection = tokio_rustls::client::TlsStream<TcpStream>;

pub(crate) async fn connect(client: &TlsConnector, address: SocketAddr, host: &str) -> std::io::Result<Connection> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    client.connect(name, TcpStream::connect(address).await?).await
}
