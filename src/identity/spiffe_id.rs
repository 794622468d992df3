//! SPIFFE IDs: `spiffe://<trust domain>/<path>`, in the one spelling that the standard allows.

/// The longest SPIFFE ID, in bytes.
const MAX_BYTES: usize = 2_048;
const MAX_TRUST_DOMAIN_BYTES: usize = 255;
const SCHEME: &str = "spiffe://";

/// The name of a workload, borrowed from what says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpiffeId<'a> {
    pub trust_domain: &'a str,
    /// Without the first slash; empty for the trust domain itself.
    pub path: &'a str,
}

impl<'a> SpiffeId<'a> {
    /// Whether a text means to be one.
    pub(super) fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
    }

    /// Nothing is normalised: a second spelling of a name would be a second name.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > MAX_BYTES {
            return Err("the SPIFFE ID is longer than 2048 bytes");
        }
        let rest = text.strip_prefix(SCHEME).ok_or("a SPIFFE ID begins with `spiffe://`")?;
        let (trust_domain, path) = match rest.split_once('/') {
            Some(_) if rest.ends_with('/') => return Err("the SPIFFE ID ends with a slash"),
            Some((trust_domain, path)) => (trust_domain, path),
            None => (rest, ""),
        };
        if !is_trust_domain(trust_domain) {
            return Err("the trust domain of the SPIFFE ID is not one");
        }
        if !path.is_empty() && !path.split('/').all(is_segment) {
            return Err(
                "the path of the SPIFFE ID has a segment that is empty, relative or of other characters",
            );
        }
        Ok(Self { trust_domain, path })
    }
}

/// 1 to 255 of `[a-z0-9._-]`, so that no port, user or percent sign fits in.
pub(super) fn is_trust_domain(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=MAX_TRUST_DOMAIN_BYTES).contains(&name.len()) && name.bytes().all(fine)
}

fn is_segment(segment: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let id = SpiffeId::parse("spiffe://prod.example.com/ns/shop/sa/Web_1").unwrap();
        assert_eq!((id.trust_domain, id.path), ("prod.example.com", "ns/shop/sa/Web_1"));
        assert_eq!(SpiffeId::parse("spiffe://prod").unwrap().path, "");
        let long = format!("spiffe://{}", "a".repeat(256));
        let longer = format!("spiffe://a/{}", "b".repeat(2_048));
        for wrong in [
            "",
            "prod/x",
            "spiffe:/prod/x",
            "SPIFFE://prod/x",
            "https://prod/x",
            "spiffe://",
            "spiffe:///x",
            "spiffe://Prod/x",
            "spiffe://prod:443/x",
            "spiffe://a@prod/x",
            "spiffe://prod/",
            "spiffe://prod/x/",
            "spiffe://prod//x",
            "spiffe://prod/./x",
            "spiffe://prod/../x",
            "spiffe://prod/x%2fy",
            "spiffe://prod/x?y",
            "spiffe://prod/x#y",
            "spiffe://prod?x",
            "spiffe://prod/é",
            " spiffe://prod/x",
            "spiffe://prod/x\0",
            &long,
            &longer,
        ] {
            assert!(SpiffeId::parse(wrong).is_err(), "{wrong}");
        }
        assert!(
            SpiffeId::is_meant("SPIFFE://x")
                && !SpiffeId::is_meant("spiff")
                && !SpiffeId::is_meant("spiffé://")
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in "(spiffe://|[a-z.:/@%]|.){0,20}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                let slash = if id.path.is_empty() { "" } else { "/" };
                prop_assert_eq!(format!("spiffe://{}{slash}{}", id.trust_domain, id.path), text);
            }
        }
    }
}
