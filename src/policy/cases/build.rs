//! From the words of a case to the input of an evaluation.
//!
//! Values are parsed by the same types as those of a real call, so that a case cannot describe what could not come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::EntityUid;

use super::format::{
    Case, DeviceWords, EndpointWords, KindWord, PrincipalWords, QuestionWords, RateWords, RatesWords,
    RiskWords, StateWord, TokenWord, TokenWords, WorkloadWords,
};
use crate::model::{
    Api, ApiId, ApiMode, CedarQuestion, DomainId, Endpoint, EndpointId, EndpointState, EntityRef,
    IssuerAlias, Located, Prepared, Principal, PrincipalId, Rate, Rates, Risk, RiskLevel, RiskReason,
    Sensitivity, Timestamp, TokenFacts, TokenKind,
};
use crate::policy::DeviceView;

/// Why a case cannot be run, in words for its author.
type Built<T> = Result<T, String>;

pub(super) fn principal(words: Option<&PrincipalWords>, now: Timestamp) -> Built<Principal> {
    let Some(words) = words else { return Ok(Principal::anonymous()) };
    let kind = match words.kind {
        KindWord::User => "User",
        KindWord::Workload => "Workload",
        KindWord::Anonymous => return Ok(Principal::anonymous()),
    };
    let id: PrincipalId = parse(&format!("{kind}::{}", words.id))?;
    let token = words.token.as_ref().map(|token| self::token(token, &id, now)).transpose()?;
    Ok(Principal {
        tenant: words.tenant.clone(),
        active: words.active,
        roles: words.roles.clone(),
        groups: words.groups.clone(),
        tags: words.tags.clone(),
        token,
        ..Principal::bare(id)
    })
}

pub(super) fn workload(words: Option<&WorkloadWords>) -> Built<Option<Principal>> {
    let Some(words) = words else { return Ok(None) };
    Ok(Some(Principal {
        roles: words.roles.clone(),
        groups: words.groups.clone(),
        tags: words.tags.clone(),
        ..Principal::bare(parse(&format!("Workload::{}", words.id))?)
    }))
}

fn token(words: &TokenWords, id: &PrincipalId, now: Timestamp) -> Built<TokenFacts> {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let issuer: IssuerAlias = parse(id.parts().0)?;
    let issued_at = now.minus(seconds(words.age_s));
    Ok(TokenFacts {
        issuer,
        kind: match words.kind {
            TokenWord::User => TokenKind::User,
            TokenWord::Client => TokenKind::Client,
            TokenWord::Svid => TokenKind::Svid,
        },
        client_id: words.client_id.clone(),
        audience: words.audience.clone(),
        scopes: words.scopes.clone(),
        issued_at,
        expires_at: issued_at.plus(seconds(words.lifetime_s)),
        auth_time: words.auth_age_s.map(|age| now.minus(seconds(age))),
        acr: words.acr.clone(),
        amr: words.amr.clone(),
        confirmation: Default::default(),
        sender_constrained: words.sender_constrained,
        actor: None,
        token_id: None,
        session_id: None,
        sha256: [0; 32],
    })
}

pub(super) fn located(words: &EndpointWords) -> Built<Located> {
    let api_id: ApiId = parse(&words.api)?;
    let (state, usual) = match words.state {
        StateWord::Declared => (EndpointState::Declared, Sensitivity::default()),
        StateWord::Discovered => (EndpointState::Discovered, Sensitivity::RESTRICTED),
    };
    let host = format!("{api_id}.example");
    let api = Api {
        id: api_id.clone(),
        domain: DomainId::default(),
        mode: ApiMode::Enforce,
        reuse: Duration::ZERO,
        outside: Default::default(),
    };
    let endpoint = Endpoint {
        id: EndpointId::new(&api_id, &words.method, &words.template),
        api: Arc::new(api),
        method: words.method.clone(),
        action: words.action.clone().unwrap_or_else(|| words.method.clone()),
        template: words.template.clone(),
        operation: None,
        sensitivity: words.sensitivity.map(Sensitivity::try_from).transpose()?.unwrap_or(usual),
        state,
        labels: words.labels.clone(),
        security: None,
        sender_constrained: false,
        prepared: Prepared::default(),
    };
    Ok(Located {
        endpoint: Arc::new(endpoint),
        path_params: pairs(&words.path_params),
        query_params: pairs(&words.query_params),
        host,
        path: words.template.clone(),
    })
}

pub(super) fn scopes_met(case: &Case, words: &EndpointWords) -> bool {
    case.scopes_met.unwrap_or(matches!(words.state, StateWord::Declared))
}

pub(super) fn pairs(words: &BTreeMap<String, String>) -> Vec<(String, String)> {
    words.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn question(words: &QuestionWords) -> Built<CedarQuestion> {
    Ok(CedarQuestion {
        domain: DomainId::default(),
        principal: words.principal.as_deref().map(reference).transpose()?,
        action: reference(&words.action)?,
        resource: reference(&words.resource)?,
        entities: words.entities.clone(),
        context: words.context.clone(),
    })
}

fn reference(text: &str) -> Built<EntityRef> {
    let uid: EntityUid = text
        .parse()
        .map_err(|error| format!("`{text}` is not a reference such as `Shop::Order::\"o-1\"`: {error}"))?;
    let id: &str = uid.id().as_ref();
    Ok(EntityRef { entity_type: uid.type_name().to_string(), id: id.to_owned() })
}

pub(super) fn risk(words: &RiskWords) -> Built<Risk> {
    let (level, lowest) = match words.level {
        0 => (RiskLevel::None, 0),
        1 => (RiskLevel::Low, 10),
        2 => (RiskLevel::Medium, 30),
        3 => (RiskLevel::High, 60),
        4 => (RiskLevel::Critical, 85),
        other => return Err(format!("risk level {other} is out of range: write 0 to 4")),
    };
    let reason = |kind: &String| RiskReason { kind: kind.clone(), points: 0, text: String::new() };
    Ok(Risk {
        score: words.score.unwrap_or(lowest).min(100),
        level,
        confidence: words.confidence.min(100),
        reasons: words.reasons.iter().map(reason).collect(),
        stale: words.stale,
        learning: words.learning,
        ..Risk::default()
    })
}

pub(super) fn rates(words: RatesWords) -> Rates {
    let rate = |words: RateWords| Rate {
        last_second: words.last_second,
        last_minute: words.last_minute,
        last_hour: words.last_hour,
    };
    Rates {
        principal: rate(words.principal),
        principal_endpoint: rate(words.principal_endpoint),
        network: rate(words.network),
    }
}

pub(super) fn device(words: &DeviceWords) -> DeviceView<'_> {
    DeviceView {
        known: words.known,
        id: words.id.as_deref(),
        compliant: words.compliant,
        posture_age_s: words.posture_age_s,
    }
}

fn parse<T: std::str::FromStr<Err = crate::model::id::InvalidId>>(text: &str) -> Built<T> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
