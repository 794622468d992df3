//! `METHOD URL` -> the call that a gateway would have received.
//!
//! The URL is taken apart and not normalised: whether a path is safe is for the server to judge, so it must get the
//! path as it was written. That is why no URL library is used, which would clean it up.

use anyhow::{Context, bail};

use crate::api::pb::decision as pb;

/// Reads the call. A URL without scheme and host (`/orders/7`) has no host.
pub fn parse(method: &str, url: &str) -> anyhow::Result<pb::ApiCall> {
    if url.contains('#') {
        bail!("`{url}` has a fragment, which clients never send; leave out the `#` and what follows");
    }
    let (secure, host, path) = match url.split_once("://") {
        _ if url.starts_with('/') => (true, "", url),
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (is_secure(scheme)?, host, path)
        }
        None => bail!("`{url}` is not a URL: write https://host/path"),
    };
    if host.contains('@') {
        bail!("the URL holds a user name; present a credential with --token, --token-file or --as");
    }
    if host.is_empty() && !url.starts_with('/') {
        bail!("`{url}` has no host: write https://host/path");
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(pb::ApiCall {
        method: method.to_owned(),
        host: host.to_owned(),
        path,
        secure,
        ..pb::ApiCall::default()
    })
}

fn is_secure(scheme: &str) -> anyhow::Result<bool> {
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    };
    secure.with_context(|| format!("the scheme `{scheme}` is neither https nor http"))
}

/// The call with headers and metadata; a name that repeats keeps all its values.
pub fn with_details(
    call: pb::ApiCall,
    headers: Vec<(String, String)>,
    metadata: Vec<(String, String)>,
) -> pb::ApiCall {
    let headers = headers.into_iter().map(|(name, value)| pb::Header { name, value }).collect();
    let mut call = pb::ApiCall { headers, ..call };
    for (name, value) in metadata {
        call.metadata.entry(name).or_default().values.push(value);
    }
    call
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(url: &str) -> (String, String, bool) {
        let call = parse("GET", url).unwrap();
        (call.host, call.path, call.secure)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let host = "orders.example.com".to_owned();
        assert_eq!(
            parts("https://orders.example.com/orders/7?a=1"),
            (host.clone(), "/orders/7?a=1".into(), true)
        );
        assert_eq!(parts("HTTP://orders.example.com"), (host.clone(), "/".into(), false));
        assert_eq!(parts("https://orders.example.com?a=/b"), (host, "/?a=/b".into(), true));
        assert_eq!(parts("http://[::1]:8080/x"), ("[::1]:8080".into(), "/x".into(), false));
        assert_eq!(parts("/orders/7"), (String::new(), "/orders/7".into(), true));
    }

    #[test]
    fn nothing_is_normalised() {
        let path = "/a/../%2e%2E//b;x=1\\c?d=%00";
        assert_eq!(parts(&format!("https://h{path}")).1, path);
        assert_eq!(parse("gEt", "https://h/").unwrap().method, "gEt");
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for wrong in
            ["orders.example.com", "ftp://h/", "https:///x", "https://u:p@h/", "https://h/#x", "", "://h"]
        {
            assert!(parse("GET", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn repeated_metadata_keeps_all_values() {
        let twice = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        let call = with_details(parse("GET", "/x").unwrap(), twice.clone(), twice);
        assert_eq!(call.headers.len(), 2);
        assert_eq!(call.metadata["a"].values, ["1", "2"]);
    }

    proptest! {
        #[test]
        fn a_path_arrives_as_it_was_written(path in "/[ -\"$-~]{0,60}") {
            prop_assert_eq!(parts(&format!("https://h{path}")).1, path);
        }

        #[test]
        fn any_text_is_read_or_refused(url in ".{0,60}") {
            let _ = parse("GET", &url);
        }
    }
}
