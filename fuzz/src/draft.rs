//! A JWT that is signed only when it is judged, so that mutations get past the signature.
//!
//! As text: the line `sign corp`, or another of [`SIGNERS`], a line with the header, and the payload.
//! Anything else is taken for a JWT as it is.

use deodar::identity::SigningKey;

use super::keys;

/// The draft's parts, neither of them well-formed for sure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    pub signer: &'a str,
    pub header: &'a str,
    pub payload: &'a str,
}

/// Who may sign.
pub const SIGNERS: [&str; 6] = ["corp", "shop", "stranger", "client", "prod", "partner"];

impl<'a> Draft<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        let (signer, rest) = text.strip_prefix("sign ")?.split_once('\n')?;
        let (header, payload) = rest.split_once('\n')?;
        SIGNERS.contains(&signer).then_some(Self { signer, header, payload })
    }

    pub fn text(&self) -> String {
        format!("sign {}\n{}\n{}", self.signer, self.header, self.payload)
    }

    pub fn key(&self) -> &'static SigningKey {
        match self.signer {
            "corp" => &keys::CORP,
            "shop" => &keys::SHOP,
            "client" => &keys::CLIENT,
            "prod" => &keys::PROD,
            "partner" => &keys::PARTNER,
            _ => &keys::STRANGER,
        }
    }

    pub fn sign(&self) -> String {
        self.key().sign_text(self.header, self.payload).unwrap()
    }
}

/// The JWT that an input stands for; `None` where the input is not text at all.
pub fn jwt(data: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(data).ok()?;
    Some(Draft::parse(text).map_or_else(|| text.to_owned(), |draft| draft.sign()))
}

/// The same with another letter at one place that `number` chooses, up to `end`; `None` when it has no place.
pub fn changed(jwt: &str, end: usize, number: u64) -> Option<String> {
    let places: Vec<usize> =
        jwt.bytes().take(end).enumerate().filter(|(_, byte)| *byte != b'.').map(|(at, _)| at).collect();
    let at = *places.get(usize::try_from(number).ok()? % places.len().max(1))?;
    let mut bytes = jwt.as_bytes().to_vec();
    // The alphabet is ASCII, and so is what takes the letter's place.
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).ok()
}
