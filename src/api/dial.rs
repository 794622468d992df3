//! How Deodar's own clients reach a listener: by plaintext (`http://`) or by TLS (`https://`).
//!
//! Both sides of a mistake get a sentence that says what to do: TLS towards a plaintext listener, plaintext towards one
//! that speaks TLS, an authority that is not known, a certificate that is wanted and was not shown.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pem::{self, PemError};

/// How long it may take until a connection is there, its handshake included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whom a client believes over TLS, and what it shows of itself.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// A PEM file with the authorities that vouch for listeners; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the client's own certificate, and those behind it.
    pub certificate: Option<PathBuf>,
    /// A PEM file with its key.
    pub key: Option<PathBuf>,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("`{url}` is not the URL of a Deodar listener; write http://host:port or https://host:port")]
    InvalidUrl { url: String },
    #[error("the client's certificate and its key are both needed, and one of them is not given")]
    HalfACertificate,
    #[error(transparent)]
    File(#[from] PemError),
    #[error("TLS cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    #[error("cannot connect")]
    Unreachable(#[source] io::Error),
    #[error("no answer within 5 seconds")]
    TimedOut,
    /// The sentence that fits.
    #[error("{0}")]
    Refused(String),
}

/// The way to one listener. Clones share what was read from files.
#[derive(Clone)]
pub struct Dialer {
    host: String,
    port: u16,
    authority: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    fault: Fault,
}

/// What was wrong with the last connection. Those who call over it only learn that it has gone.
#[derive(Clone, Default)]
struct Fault(Arc<Mutex<Option<String>>>);

impl Fault {
    fn set(&self, what: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// The same error, saying what to do, which is kept as well.
    fn note(&self, error: io::Error) -> io::Error {
        let Some(why) = explain(&error) else { return error };
        self.set(Some(why.clone()));
        io::Error::new(ErrorKind::InvalidData, why)
    }
}

impl Dialer {
    /// Reads the URL, and for `https` the files. Connects to nothing yet.
    pub fn new(url: &str, trust: &Trust) -> Result<Self, DialError> {
        let invalid = || DialError::InvalidUrl { url: url.to_owned() };
        let target: Uri = url.parse().map_err(|_| invalid())?;
        let is_secure = match target.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid()),
        };
        let authority =
            target.authority().filter(|authority| !authority.host().is_empty()).ok_or_else(invalid)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let name = || ServerName::try_from(host.clone()).map_err(|_| invalid());
        let tls = if is_secure { Some((connector(trust)?, name()?)) } else { None };
        Ok(Self { authority: authority.to_string(), port, tls, host, fault: Fault::default() })
    }

    /// Why the last connection broke, if TLS was why.
    pub fn fault(&self) -> Option<String> {
        self.fault.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `https` or `http`.
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Connects, within five seconds.
    pub async fn connect(&self) -> Result<Stream, DialError> {
        tokio::time::timeout(PATIENCE, self.reach()).await.unwrap_or(Err(DialError::TimedOut))
    }

    async fn reach(&self) -> Result<Stream, DialError> {
        let socket =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(DialError::Unreachable)?;
        socket.set_nodelay(true).map_err(DialError::Unreachable)?;
        let stream = |transport| Stream { transport, fault: self.fault.clone(), is_good: false };
        let Some((connector, name)) = &self.tls else {
            return Ok(stream(Transport::Plain { socket, seen: false }));
        };
        let secured = connector.connect(name.clone(), socket).await.map_err(|error| self.refused(&error))?;
        Ok(stream(Transport::Tls(Box::new(secured))))
    }

    fn refused(&self, error: &io::Error) -> DialError {
        let told = explain(error).unwrap_or_else(|| {
            if error.kind() == ErrorKind::UnexpectedEof {
                NO_TLS.to_owned()
            } else {
                format!("the TLS handshake failed: {error}")
            }
        });
        DialError::Refused(told)
    }
}

fn connector(trust: &Trust) -> Result<TlsConnector, DialError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &trust.ca_file {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in pem::certificates(path, &pem::read(path)?)? {
                roots.add(authority)?;
            }
            builder.with_root_certificates(roots)
        }
        None => {
            let verifier = rustls_platform_verifier::Verifier::new(provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = match (&trust.certificate, &trust.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = pem::certificates(certificate, &pem::read(certificate)?)?;
            builder.with_client_auth_cert(chain, pem::private_key(key, &pem::read_secret(key)?)?)?
        }
        _ => return Err(DialError::HalfACertificate),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

const NO_TLS: &str = "the listener does not speak TLS; write http:// if that is meant";

/// The listener answered plaintext with a TLS alert.
#[derive(Debug, thiserror::Error)]
#[error("the listener speaks TLS; write https://")]
struct SpeaksTls;

/// What an error of a connection is about, if it is about TLS: looks at its causes too.
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<SpeaksTls>() {
            return Some(error.to_string());
        }
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(told(error));
        }
        // HTTP/2 keeps of an I/O error only what it said; what it said by itself was said here.
        let io = error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
        if let Some(said) = io.and_then(io::Error::get_ref) {
            return Some(said.to_string());
        }
        // The cause of an I/O error is that of the error inside it, so that one would be passed over.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn told(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidMessage(InvalidMessage::InvalidContentType) => NO_TLS.to_owned(),
        Tls::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "no known authority vouches for the listener's certificate; name the file of its authority with --ca-file"
                .to_owned()
        }
        Tls::AlertReceived(AlertDescription::CertificateRequired) => {
            "the listener wants a certificate of the client; name it with --tls-cert and --tls-key".to_owned()
        }
        Tls::AlertReceived(alert) => format!("the listener refuses this client's TLS: {alert:?}"),
        other => format!("the listener's TLS is refused: {other}"),
    }
}

/// A connection to a listener.
pub struct Stream {
    transport: Transport,
    fault: Fault,
    /// Something was read. Not before that is it known that the listener takes this connection, and that what was wrong
    /// with the last one is over.
    is_good: bool,
}

enum Transport {
    Plain {
        socket: TcpStream,
        /// Whether the first bytes were looked at.
        seen: bool,
    },
    Tls(Box<TlsStream<TcpStream>>),
}

/// A TLS record that holds an alert begins so. A frame of HTTP/2 begins with its length, and the first one, SETTINGS,
/// is never that long.
const ALERT: u8 = 0x15;

impl Transport {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Plain { socket, seen: true } => Pin::new(socket).poll_read(context, buffer),
            Self::Plain { socket, seen } => {
                let before = buffer.filled().len();
                let read = Pin::new(socket).poll_read(context, buffer);
                match buffer.filled().get(before) {
                    Some(&ALERT) => return Poll::Ready(Err(io::Error::other(SpeaksTls))),
                    Some(_) => *seen = true,
                    None => {}
                }
                read
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.transport.poll_read(context, buffer);
        if !self.is_good && matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() > before {
            self.is_good = true;
            self.fault.set(None);
        }
        read.map_err(|error| self.fault.note(error))
    }
}

impl Transport {
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain { socket, .. } => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain { socket, .. } => Pin::new(socket).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }
}

impl Stream {
    /// An error at writing only says that the listener has gone. Why came before it went, and is to be read; the runtime
    /// may not have heard of it yet.
    fn reason<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(error)) = written else { return written };
        let mut bytes = [0; 256];
        match self.transport.poll_read(context, &mut ReadBuf::new(&mut bytes)) {
            Poll::Ready(Err(reason)) => Poll::Ready(Err(self.fault.note(reason))),
            // Whoever has gone is news at reading too, and then this is asked again.
            Poll::Pending if has_gone(&error) => Poll::Pending,
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Err(error)),
        }
    }
}

fn has_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.transport.poll_write(context, bytes);
        self.reason(written, context)
    }

    /// With it, HTTP/2 writes each question of 256 bytes and more by itself, so as not to copy it. To copy those of up to
    /// 1,024 bytes, and write many at once, is cheaper than to ask the kernel for each.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.transport.poll_flush(context);
        self.reason(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain { socket, .. } => Pin::new(socket).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn urls_say_whether_tls_is_spoken() {
        let dial = |url: &str| Dialer::new(url, &Trust::default());
        assert_eq!(
            dial("http://[::1]:7350").map(|dialer| (dialer.host.clone(), dialer.scheme())).unwrap(),
            ("::1".to_owned(), "http")
        );
        assert_eq!(dial("http://localhost").unwrap().port, 80);
        for wrong in
            ["", "nonsense", "127.0.0.1:7350", "ftp://127.0.0.1:1", "http://a b", "http://", "http://:80"]
        {
            assert!(matches!(dial(wrong), Err(DialError::InvalidUrl { .. })), "{wrong}");
        }
    }

    #[test]
    fn half_a_certificate_is_refused() {
        let trust = Trust { certificate: Some("x.pem".into()), ..Trust::default() };
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, pair.cert.pem()).unwrap();
        let trust = Trust { ca_file: Some(ca_file), ..trust };
        assert!(matches!(Dialer::new("https://localhost:1", &trust), Err(DialError::HalfACertificate)));
        assert!(Dialer::new("http://localhost:1", &trust).is_ok(), "plaintext has no use for it");
    }

    #[tokio::test]
    async fn an_alert_to_plaintext_is_told_as_what_it_is_and_other_bytes_are_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        for (answer, is_tls) in [([ALERT, 3, 3, 0, 2, 2, 50], true), ([0, 0, 0, 4, 0, 0, 0], false)] {
            let mut stream = Dialer::new(&url, &Trust::default()).unwrap().connect().await.unwrap();
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.write_all(&answer).await.unwrap();
            let read = stream.read(&mut [0; 16]).await;
            assert_eq!(read.is_err(), is_tls);
            if let Err(error) = read {
                assert!(error.to_string().contains("https://"));
            }
        }
    }
}
