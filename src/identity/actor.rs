//! Who acts for the principal: the claim `act` (RFC 8693 section 4.1).
//!
//! A token with an actor is worth less than one without, never more, so an actor that cannot be believed is not passed over: the
//! token is refused. Only the actor at the outside counts; those within tell how the token came to be.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::{MAX_NAME_BYTES, fit, wrong};
use super::issuer::Issuer;
use super::refusal::{IdentityRefusal, excerpt};
use crate::model::{CredentialFault, Principal, PrincipalId, PrincipalKind};

/// The immediate actor, of which nothing but the name is known.
pub(super) fn read(
    claims: &Map<String, Value>,
    issuer: &Issuer,
) -> Result<Option<Arc<Principal>>, IdentityRefusal> {
    let Some(outermost) = claims.get("act") else { return Ok(None) };
    let subject = subject(outermost, issuer)?;
    check_those_within(outermost, issuer)?;
    if !issuer.may_assert.actors.covers(&subject) {
        let detail = format!("the issuer may not name the actor {}", excerpt(&subject));
        return Err(IdentityRefusal::new(CredentialFault::WrongIssuer, detail));
    }
    let id = PrincipalId::new(PrincipalKind::Workload, &issuer.alias, &subject);
    Ok(Some(Arc::new(Principal::bare(id))))
}

/// The name of one actor, among those of the token's own issuer.
fn subject(actor: &Value, issuer: &Issuer) -> Result<String, IdentityRefusal> {
    let members = actor.as_object().ok_or_else(|| wrong("act", "an object"))?;
    let text = |name: &str, claim: &str| match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong(claim, "a string")),
    };
    if let Some(other) = text("iss", "act.iss")?.filter(|named| *named != issuer.issuer) {
        let detail = format!("the actor is one of another issuer, {}", excerpt(&other));
        return Err(IdentityRefusal::new(CredentialFault::WrongIssuer, detail));
    }
    let missing = || IdentityRefusal::malformed("the claim `act.sub` is missing");
    fit("act.sub", &text("sub", "act.sub")?.ok_or_else(missing)?, MAX_NAME_BYTES)
}

/// They decide nothing, but a token in which they are wrong was not made as it should be.
fn check_those_within(outermost: &Value, issuer: &Issuer) -> Result<(), IdentityRefusal> {
    let most = issuer.claims.max_actors;
    let (mut actor, mut count) = (outermost, 1_usize);
    while let Some(within) = actor.get("act") {
        count += 1;
        if count > most {
            return Err(IdentityRefusal::malformed(format!("more than {most} actors, one within another")));
        }
        let members = within.as_object().ok_or_else(|| wrong("act", "an object"))?;
        if !members.get("sub").is_none_or(Value::is_string) {
            return Err(wrong("act.sub", "a string"));
        }
        actor = within;
    }
    Ok(())
}
