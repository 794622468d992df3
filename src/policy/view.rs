//! What policies would see of a principal and its token, as JSON for people and tools.
//!
//! Made from the same table and the same reading as an evaluation, so that it cannot show anything else.

use serde_json::{Map, Value, json};

use super::facts::{Datum, DeviceView, Facts, Who};
use super::prepared::TokenSets;
use super::reads::Fact;
use crate::model::{Principal, Rate, Rates, Risk, Timestamp, TokenFacts};

/// The principal's entity: its type and id, attributes, tags, and the roles and groups that it is in.
pub fn principal(principal: &Principal) -> Value {
    let attributes =
        Who::ALL.into_iter().filter_map(|(name, who)| Some((name.to_owned(), value(who.of(principal)?))));
    json!({
        "type": format!("api::{}", principal.id.kind.as_str()),
        "id": principal.id.id(),
        "attributes": attributes.collect::<Map<_, _>>(),
        "roles": principal.roles,
        "groups": principal.groups,
        "tags": principal.tags,
    })
}

/// `context.token` at a moment.
pub fn token(token: &TokenFacts, now: Timestamp) -> Value {
    let (token_sets, risk) = (TokenSets::default(), Risk::default());
    let facts = Facts {
        token: Some(token),
        token_sets: &token_sets,
        risk: &risk,
        rates: Rates::default(),
        device: DeviceView::default(),
        network_known: false,
        now,
    };
    let fields =
        Fact::fields("token").filter_map(|(name, fact)| Some((name.to_owned(), value(facts.datum(fact)?))));
    Value::Object(fields.collect())
}

fn value(datum: Datum<'_>) -> Value {
    match datum {
        Datum::Truth(flag) => flag.into(),
        Datum::Long(number) => number.into(),
        Datum::Text(text) => text.into(),
        Datum::Words(texts) => json!(texts),
        Datum::Kinds(reasons) => reasons.iter().map(|reason| reason.kind.as_str()).collect(),
        Datum::Name(kind, id) => format!("{kind}::\"{}\"", id.escape_debug()).into(),
        Datum::Rate(Rate { last_second, last_minute, last_hour }) => {
            json!({ "last_second": last_second, "last_minute": last_minute, "last_hour": last_hour })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TokenKind;

    #[test]
    fn a_token_is_shown_in_the_words_of_the_vocabulary() {
        let facts = crate::policy::support::token(TokenKind::Client);
        let now = Timestamp::from_seconds(facts.issued_at.seconds() + 7);
        let shown = token(&facts, now);
        assert_eq!((&shown["kind"], &shown["age_s"]), (&json!("api::TokenKind::\"client\""), &json!(7)));
        assert_eq!(shown["scopes"], json!(["orders:read"]));
        assert!(shown.get("acr").is_none(), "what the token does not say is absent");
        let alice = principal(&crate::policy::support::alice());
        assert_eq!((&alice["type"], &alice["attributes"]["tenant"]), (&json!("api::User"), &json!("acme")));
    }
}
