//! Tokens that are bound to their sender (RFC 7800 `cnf`), and how they may be presented.
//!
//! A bound token without proof is worth nothing: to take it as a bearer token would undo the binding (RFC 9449 section
//! 7.2, RFC 8705 section 3). A binding of a kind that is not known cannot be checked, so its token is refused.

use serde_json::{Map, Value};

use super::dpop_config::SenderConstrained;
use super::json::decode_base64url;
use super::refusal::{IdentityRefusal, ProofFault, excerpt};
use crate::model::{Confirmation, CredentialFault};

/// What the claims bind the token to.
pub(super) fn confirmation(claims: &Map<String, Value>) -> Result<Confirmation, IdentityRefusal> {
    let members = match claims.get("cnf") {
        None => return Ok(Confirmation::default()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(IdentityRefusal::malformed("the claim `cnf` must be an object")),
    };
    if members.is_empty() {
        return Err(failed("the token is bound by nothing (`cnf` is empty)"));
    }
    let mut confirmation = Confirmation::default();
    for (name, value) in members {
        let place = match name.as_str() {
            "jkt" => &mut confirmation.jkt,
            "x5t#S256" => &mut confirmation.x5t_s256,
            _ => return Err(failed(format!("the token is bound by {}, which is unknown", excerpt(name)))),
        };
        let digest = value.as_str().and_then(decode_base64url).and_then(|bytes| bytes.try_into().ok());
        let wrong = || failed(format!("the token is bound by a `{name}` that is no SHA-256"));
        *place = Some(digest.ok_or_else(wrong)?);
    }
    Ok(confirmation)
}

/// Some issuers bind every token they give out; one of theirs that is not bound is not to be trusted.
pub(super) fn check_required(
    confirmation: &Confirmation,
    wanted: SenderConstrained,
) -> Result<(), IdentityRefusal> {
    match wanted {
        SenderConstrained::Required if !confirmation.is_bound() => {
            Err(failed("the token is not bound to its sender, and its issuer's must be"))
        }
        SenderConstrained::Required | SenderConstrained::Optional => Ok(()),
    }
}

/// The scheme must fit the token. The thumbprint of the key whose proof is to be checked; `None`: there is none to check.
pub(super) fn key_to_prove(
    confirmation: &Confirmation,
    proof: Option<&str>,
) -> Result<Option<[u8; 32]>, IdentityRefusal> {
    match (confirmation.jkt, proof) {
        (None, None) => Ok(None),
        (Some(jkt), Some(_)) => Ok(Some(jkt)),
        (Some(_), None) => {
            Err(failed("the token is bound to a key (`cnf`) and came as a bearer token, without proof of it"))
        }
        (None, Some(_)) => {
            Err(failed("the token is bound to no key, so it cannot come with the scheme DPoP"))
        }
    }
}

/// A token that does not go with what came beside it.
pub(super) fn failed(detail: impl Into<String>) -> IdentityRefusal {
    IdentityRefusal::new(CredentialFault::BindingFailed, detail).about_proof(ProofFault::Binding)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::json::encode_base64url;
    use super::*;
    use crate::model::Reason;

    fn read(cnf: &Value) -> Result<Confirmation, Reason> {
        let claims = Map::from_iter([("cnf".to_owned(), cnf.clone())]);
        confirmation(&claims).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn known_bindings_are_read_and_others_refused() {
        let digest = encode_base64url([7; 32]);
        let both = read(&json!({ "jkt": digest, "x5t#S256": digest })).unwrap();
        assert_eq!((both.jkt, both.x5t_s256), (Some([7; 32]), Some([7; 32])));
        let failed = Err(Reason::CredentialInvalid(CredentialFault::BindingFailed));
        let padded = format!("{digest}=");
        for unknown in [
            json!({}),
            json!({ "kid": "k" }),
            json!({ "jkt": digest, "jwk": {} }),
            json!({ "JKT": digest }),
            json!({ "jkt": 7 }),
            json!({ "jkt": "AA" }),
            json!({ "jkt": padded }),
            json!({ "x5t#S256": null }),
        ] {
            assert_eq!(read(&unknown), failed, "{unknown}");
        }
        let malformed = Err(Reason::CredentialInvalid(CredentialFault::Malformed));
        for wrong in [json!([]), json!("x"), json!(null)] {
            assert_eq!(read(&wrong), malformed, "{wrong}");
        }
    }

    #[test]
    fn a_certificate_takes_the_place_of_no_proof() {
        let both = Confirmation { jkt: Some([1; 32]), x5t_s256: Some([2; 32]) };
        assert_eq!(key_to_prove(&both, Some("proof")), Ok(Some([1; 32])));
        assert!(key_to_prove(&both, None).is_err());
        let certificate = Confirmation { x5t_s256: Some([2; 32]), ..Confirmation::default() };
        assert_eq!(key_to_prove(&certificate, None), Ok(None));
        assert!(key_to_prove(&certificate, Some("proof")).is_err());
    }
}
