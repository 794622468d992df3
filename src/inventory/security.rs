//! Whether a principal meets the `security` that an endpoint declares: `scopes_met` of the vocabulary.
//!
//! It answers what the document says and no more; policies decide what follows from it.

use std::collections::BTreeSet;

use crate::model::{Endpoint, Principal, Scheme, SecurityAlternative, TokenFacts};

/// True when one alternative of the declared security is fully held.
///
/// A document that says nothing (`None`) is never met; an empty list or an empty alternative (`{}`) declares that
/// anonymous access is meant; a scheme without scopes is met once a token was verified.
pub fn scopes_met(endpoint: &Endpoint, principal: &Principal) -> bool {
    let Some(alternatives) = &endpoint.security else { return false };
    alternatives.is_empty()
        || alternatives.iter().any(|alternative| holds(alternative, principal.token.as_ref()))
}

fn holds(alternative: &SecurityAlternative, token: Option<&TokenFacts>) -> bool {
    alternative.schemes.iter().all(|scheme| match scheme {
        Scheme::Token { scopes } | Scheme::Bearer { scopes } => {
            token.is_some_and(|token| covers(token, scopes))
        }
        Scheme::MutualTls => token.is_some_and(proved_by_certificate),
        Scheme::Unverifiable { .. } => false,
    })
}

fn covers(token: &TokenFacts, scopes: &BTreeSet<String>) -> bool {
    !token.is_certificate() && scopes.is_subset(&token.scopes)
}

/// Nobody gets to see a bound token whose certificate was not shown.
fn proved_by_certificate(token: &TokenFacts) -> bool {
    token.sender_constrained && token.confirmation.x5t_s256.is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::{
        Api, ApiMode, EndpointId, EndpointState, PrincipalId, Sensitivity, Timestamp, TokenKind,
    };

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn oauth(scopes: &[&str]) -> Scheme {
        Scheme::Token { scopes: set(scopes) }
    }

    fn either(alternatives: Vec<Vec<Scheme>>) -> Option<Vec<SecurityAlternative>> {
        Some(alternatives.into_iter().map(|schemes| SecurityAlternative { schemes }).collect())
    }

    fn endpoint(security: Option<Vec<SecurityAlternative>>) -> Endpoint {
        let id = "orders".parse().unwrap();
        Endpoint {
            id: EndpointId::new(&id, "GET", "/orders"),
            api: Arc::new(Api {
                id,
                domain: Default::default(),
                mode: ApiMode::Enforce,
                reuse: Duration::ZERO,
                outside: Default::default(),
            }),
            method: "GET".into(),
            action: "GET".into(),
            template: "/orders".into(),
            operation: None,
            sensitivity: Sensitivity::INTERNAL,
            state: EndpointState::Declared,
            labels: BTreeSet::new(),
            security,
            sender_constrained: false,
            prepared: Default::default(),
        }
    }

    fn holder(scopes: &[&str]) -> Principal {
        let token = TokenFacts {
            issuer: "dev".parse().unwrap(),
            kind: TokenKind::User,
            client_id: None,
            audience: BTreeSet::new(),
            scopes: set(scopes),
            issued_at: Timestamp::from_seconds(0),
            expires_at: Timestamp::from_seconds(300),
            auth_time: None,
            acr: None,
            amr: BTreeSet::new(),
            confirmation: Default::default(),
            sender_constrained: false,
            actor: None,
            token_id: None,
            session_id: None,
            sha256: [0; 32],
        };
        let id: PrincipalId = "User::dev/alice".parse().unwrap();
        Principal { token: Some(token), ..Principal::bare(id) }
    }

    fn met(security: Option<Vec<SecurityAlternative>>, principal: &Principal) -> bool {
        scopes_met(&endpoint(security), principal)
    }

    #[test]
    fn silence_is_never_met() {
        assert!(!met(None, &holder(&["orders:read"])));
    }

    #[test]
    fn every_scope_of_one_alternative_is_needed() {
        let security =
            || either(vec![vec![oauth(&["orders:read", "orders:export"])], vec![oauth(&["admin"])]]);
        assert!(!met(security(), &holder(&["orders:read"])));
        assert!(met(security(), &holder(&["orders:read", "orders:export"])));
        assert!(met(security(), &holder(&["admin"])));
        assert!(!met(security(), &Principal::anonymous()));
    }

    #[test]
    fn a_certificate_is_mutual_tls_and_no_token() {
        let mutual = || either(vec![vec![Scheme::MutualTls]]);
        let bearer = || either(vec![vec![Scheme::Bearer { scopes: set(&[]) }]]);
        let with = |x5t_s256: Option<[u8; 32]>| {
            let mut holder = holder(&[]);
            let token = holder.token.as_mut().unwrap();
            token.confirmation.x5t_s256 = x5t_s256;
            token.sender_constrained = x5t_s256.is_some();
            holder
        };
        // The digest of the holder's token is all zeros: the certificate stands for itself.
        let (bound, certificate) = (with(Some([7; 32])), with(Some([0; 32])));
        assert!(met(mutual(), &bound) && met(bearer(), &bound));
        assert!(met(mutual(), &certificate) && !met(bearer(), &certificate));
        assert!(!met(mutual(), &holder(&[])) && !met(mutual(), &Principal::anonymous()));
    }

    #[test]
    fn every_scheme_of_an_alternative_is_needed() {
        let key = Scheme::Unverifiable { name: "api_key".into() };
        assert!(!met(either(vec![vec![oauth(&[]), key.clone()]]), &holder(&[])));
        assert!(met(either(vec![vec![key], vec![oauth(&[])]]), &holder(&[])));
    }

    #[test]
    fn declared_anonymous_access_is_met_by_anyone() {
        assert!(met(either(vec![]), &Principal::anonymous()));
        assert!(met(either(vec![vec![oauth(&["orders:read"])], vec![]]), &Principal::anonymous()));
    }

    #[test]
    fn a_scheme_without_scopes_needs_a_verified_token() {
        assert!(met(either(vec![vec![Scheme::Bearer { scopes: set(&[]) }]]), &holder(&[])));
        assert!(!met(either(vec![vec![Scheme::Bearer { scopes: set(&[]) }]]), &Principal::anonymous()));
        let asserted = Principal::bare("User::dev/alice".parse().unwrap());
        assert!(!met(either(vec![vec![oauth(&[])]]), &asserted));
    }
}
