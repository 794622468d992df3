//! The client's certificate, as whoever ended the client's TLS passed it on. Nothing in it has been believed yet.

use std::fmt;

/// What is known of the certificate that the client showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The client showed none, or nobody passed it on.
    #[default]
    None,
    /// The certificate itself.
    Chain(CertificateChain),
    /// Only the SHA-256 of its DER. It can be compared with what a token is bound to, and proves nobody.
    Digest([u8; 32]),
    /// What was passed on cannot be read as one certificate; the text says why, for the record, and holds nothing of it.
    Malformed(&'static str),
}

impl ClientCertificate {
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// A certificate in DER, with those that came along to lead from it to its authority.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateChain {
    /// The client's own.
    pub leaf: Vec<u8>,
    /// The others, in the order in which they came.
    pub above: Vec<Vec<u8>>,
}

impl CertificateChain {
    /// All of them, the client's own first.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.leaf).chain(&self.above).map(Vec::as_slice)
    }

    /// How many bytes they are together.
    pub fn len(&self) -> usize {
        self.all().map(<[u8]>::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A certificate names people and machines, so it is not printed.
impl fmt::Debug for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateChain({} certificates, {} bytes)", self.all().count(), self.len())
    }
}
