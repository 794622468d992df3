//! `DecisionRecordService`.

use std::borrow::Cow;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::{Door, from_timestamp, parse, parse_optional, timestamp};
use crate::api::pb::decision as decision_pb;
use crate::api::pb::manage as pb;
use crate::api::pb::manage::decision_record_service_server::DecisionRecordService;
use crate::api::{status, wire};
use crate::manage::{ManageError, into_parts, page_request};
use crate::model::{Effect, Reason, Record, RecordFilter, Refusals};

#[tonic::async_trait]
impl DecisionRecordService for Door {
    async fn get_decision_record(
        &self,
        request: Request<pb::GetDecisionRecordRequest>,
    ) -> Result<Response<pb::GetDecisionRecordResponse>, Status> {
        let id = parse("decision_id", &request.into_inner().decision_id)?;
        let found = self.management.get_record(id).await?;
        Ok(Response::new(pb::GetDecisionRecordResponse { record: Some(record(found)) }))
    }

    async fn list_decision_records(
        &self,
        request: Request<pb::ListDecisionRecordsRequest>,
    ) -> Result<Response<pb::ListDecisionRecordsResponse>, Status> {
        let request = request.into_inner();
        let page = page_request(request.page_size, &request.page_token)?;
        let filter = filter(request)?;
        let listed = self.management.list_records(&filter, &page).await?;
        let (records, next_page_token) = into_parts(listed);
        let records = records.into_iter().map(record).collect();
        Ok(Response::new(pb::ListDecisionRecordsResponse { records, next_page_token }))
    }

    async fn list_refusals(
        &self,
        request: Request<pb::ListRefusalsRequest>,
    ) -> Result<Response<pb::ListRefusalsResponse>, Status> {
        let request = request.into_inner();
        let page = page_request(request.page_size, &request.page_token)?;
        let listed = self.management.list_refusals(&page).await?;
        let (rows, next_page_token) = into_parts(listed);
        let refusals = rows.into_iter().map(refusals).collect();
        Ok(Response::new(pb::ListRefusalsResponse { refusals, next_page_token }))
    }
}

fn filter(request: pb::ListDecisionRecordsRequest) -> Result<RecordFilter, ManageError> {
    let effect = match decision_pb::Effect::try_from(request.effect) {
        Ok(decision_pb::Effect::Unspecified) => None,
        Ok(decision_pb::Effect::Allow) => Some(Effect::Allow),
        Ok(decision_pb::Effect::Deny) => Some(Effect::Deny),
        Err(_) => return Err(ManageError::invalid("effect", format!("{} is not one", request.effect))),
    };
    Ok(RecordFilter {
        principal: (!request.principal.is_empty()).then_some(request.principal),
        resource: (!request.resource.is_empty()).then_some(request.resource),
        effect,
        reason: reason(request.reason)?,
        pep: parse_optional("pep", &request.pep)?,
        from: request.from_time.map(|at| from_timestamp("from_time", at)).transpose()?,
        until: request.until_time.map(|at| from_timestamp("until_time", at)).transpose()?,
    })
}

fn reason(number: i32) -> Result<Option<Reason>, ManageError> {
    if number == decision_pb::Reason::Unspecified as i32 {
        return Ok(None);
    }
    let known = Reason::ALL.into_iter().find(|known| status::reason(*known) as i32 == number);
    known.map(Some).ok_or_else(|| ManageError::invalid("reason", format!("{number} is not a reason")))
}

fn record(record: Record<'_>) -> pb::DecisionRecord {
    pb::DecisionRecord {
        decision_id: record.id.to_string(),
        decide_time: Some(timestamp(record.at)),
        replica: record.replica.into_owned(),
        pep: record.pep.to_string(),
        domain: record.domain.to_string(),
        principal: text(record.principal),
        issuer: text(record.issuer),
        token_sha256: record.token_sha256.map(hex::encode).unwrap_or_default(),
        session: text(record.session),
        oauth_client: text(record.oauth_client),
        action: record.action.into_owned(),
        resource: record.resource.into_owned(),
        path: text(record.path),
        source_ip: text(record.source_ip),
        payload_sha256: hex::encode(record.payload_sha256),
        effect: status::effect(record.effect).into(),
        enforced: record.enforced,
        reason: status::reason(record.reason).into(),
        refusals: record.refusals.into_iter().map(|refusal| status::reason(refusal).into()).collect(),
        policy_ids: texts(record.policies),
        policy_errors: texts(record.policy_errors),
        detail: text(record.detail),
        bundle_digest: text(record.bundle),
        revision: record.revision.into_owned(),
        risk_score: record.risk_score.into(),
        risk_level: record.risk_level.into(),
        risk_reasons: texts(record.risk_reasons),
        duration: Some(wire::duration(Duration::from_micros(record.duration_us.into()))),
        trace_id: text(record.trace_id),
    }
}

fn text(text: Option<Cow<'_, str>>) -> String {
    text.map(Cow::into_owned).unwrap_or_default()
}

fn texts(texts: Vec<Cow<'_, str>>) -> Vec<String> {
    texts.into_iter().map(Cow::into_owned).collect()
}

fn refusals(refusals: Refusals) -> pb::Refusals {
    pb::Refusals {
        replica: refusals.replica,
        minute: Some(timestamp(refusals.minute)),
        kind: refusals.kind,
        peer: refusals.peer,
        count: refusals.count,
        first_time: Some(timestamp(refusals.first)),
        last_time: Some(timestamp(refusals.last)),
        sample: refusals.sample,
    }
}
