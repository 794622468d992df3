//! The client's certificate: passed on by whoever ended the client's TLS, or that of the connection to Deodar itself.
//! Nothing in it has been believed yet.

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
    /// Whoever asks means the certificate of its connection, which showed none.
    NotShown,
}

impl ClientCertificate {
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Why there is something that cannot be used; holds nothing of it.
    pub const fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(why) => Some(why),
            Self::NotShown => Some("whoever asks showed no certificate when it connected"),
            Self::None | Self::Chain(_) | Self::Digest(_) => None,
        }
    }

    /// Whether somebody says of another that they showed this.
    pub const fn is_forwarded(&self) -> bool {
        match self {
            Self::None | Self::NotShown => false,
            Self::Chain(chain) => !chain.own,
            Self::Digest(_) | Self::Malformed(_) => true,
        }
    }
}

/// A certificate in DER, with those that came along to lead from it to its authority.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateChain {
    /// The client's own.
    pub leaf: Vec<u8>,
    /// The others, in the order in which they came.
    pub above: Vec<Vec<u8>>,
    /// Whoever asks showed it in the handshake of this very connection, so nobody has to be believed that it was shown.
    pub own: bool,
}

impl CertificateChain {
    /// Passed on by whoever asks, who says that the client showed it.
    pub const fn forwarded(leaf: Vec<u8>, above: Vec<Vec<u8>>) -> Self {
        Self { leaf, above, own: false }
    }

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
