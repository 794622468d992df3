//! The way to issuers' servers: the only HTTP client of the program.
//!
//! It is held short. It trusts the certificates of the platform or those of one file, follows no redirect, uses no proxy
//! that the environment names, keeps to a time and a size, and connects to no address that no issuer may have, whatever
//! the name service says. What is fetched and what it means is left to `identity`.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Request, RequestBuilder, Response, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt;

use crate::identity::{FetchConfig, FetchError, FetchRequest, Fetched, Fetcher, Form, may_connect};

/// How long a connection is kept for the next request.
const KEEP_IDLE: Duration = Duration::from_secs(30);

/// Fetches over HTTP.
pub struct HttpFetcher {
    client: Client,
    timeout: Duration,
    max_bytes: usize,
}

impl HttpFetcher {
    /// Relative files are looked for in `base_dir`.
    pub fn new(config: &FetchConfig, base_dir: &Path) -> anyhow::Result<Self> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls(config, base_dir)?)
            .dns_resolver(Names)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .pool_idle_timeout(KEEP_IDLE)
            .user_agent(concat!("deodar/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot make the client that fetches documents of issuers")?;
        Ok(Self { client, timeout: config.timeout, max_bytes: config.max_response_bytes })
    }

    fn request(&self, request: FetchRequest<'_>) -> RequestBuilder {
        let url = request.destination.url().clone();
        let Some(Form { body, authorization }) = request.form else {
            return self.client.get(url).header("accept", "application/json");
        };
        let posted = self
            .client
            .post(url)
            .header("accept", "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.expose().to_owned());
        let secret = authorization.and_then(|value| HeaderValue::from_str(value.expose()).ok());
        match secret {
            None => posted,
            Some(mut value) => {
                value.set_sensitive(true);
                posted.header(AUTHORIZATION, value)
            }
        }
    }

    fn failed(&self, error: reqwest::Error) -> FetchError {
        if error.is_timeout() {
            return FetchError::TimedOut(self.timeout);
        }
        // The URL may hold something that is nobody's business, and the caller knows it.
        FetchError::Unreachable(chain(&error.without_url()))
    }

    async fn read(&self, mut response: Response) -> Result<Fetched, FetchError> {
        let text = |name: HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let mut fetched = Fetched {
            status: response.status().as_u16(),
            content_type: text(CONTENT_TYPE),
            cache_control: text(CACHE_CONTROL),
            age_s: text(AGE).and_then(|age| age.parse().ok()),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            if fetched.body.len().saturating_add(chunk.len()) > self.max_bytes {
                return Err(FetchError::TooLarge(self.max_bytes));
            }
            fetched.body.extend_from_slice(&chunk);
        }
        Ok(fetched)
    }
}

#[async_trait]
impl Fetcher for HttpFetcher {
    async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetched, FetchError> {
        let request: Request = self.request(request).build().map_err(|error| self.failed(error))?;
        let response = self.client.execute(request).await.map_err(|error| self.failed(error))?;
        self.read(response).await
    }
}

/// An error with its causes: what the outermost one says is never what is wrong.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn tls(config: &FetchConfig, base_dir: &Path) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut tls = match &config.ca_file {
        Some(file) => builder.with_root_certificates(roots(&base_dir.join(file))?).with_no_client_auth(),
        None => {
            let trusting = builder.with_platform_verifier().context(
                "the operating system trusts no certificates to verify issuers' servers with; \
                 install its list (Debian: ca-certificates) or set identity.fetch.ca_file",
            )?;
            trusting.with_no_client_auth()
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let shown = file.display();
    let failed = || format!("cannot read the certificates of identity.fetch.ca_file, {shown}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).with_context(failed)? {
        roots.add(certificate.with_context(failed)?).with_context(failed)?;
    }
    ensure!(!roots.is_empty(), "identity.fetch.ca_file, {shown}, holds no certificate (PEM)");
    Ok(roots)
}

/// The name service of the system, without the addresses that no issuer may have: a name can be made to mean them.
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let fit: Vec<SocketAddr> = found.filter(|address| may_connect(address.ip())).collect();
            if fit.is_empty() {
                return Err("the name has no address that an issuer may have".into());
            }
            Ok(Box::new(fit.into_iter()) as Addrs)
        })
    }
}
