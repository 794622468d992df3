//! `RiskService`.

use tonic::{Request, Response, Status};

use super::{Door, parse};
use crate::api::pb::manage as pb;
use crate::api::pb::manage::risk_service_server::RiskService;
use crate::model::{RiskFlags, RiskReason};

#[tonic::async_trait]
impl RiskService for Door {
    async fn get_risk(
        &self,
        request: Request<pb::GetRiskRequest>,
    ) -> Result<Response<pb::GetRiskResponse>, Status> {
        let subjects = request.into_inner().subjects;
        let subjects = subjects.iter().map(|subject| parse("subjects", subject));
        let subjects = subjects.collect::<Result<Vec<_>, _>>()?;
        let (risk, revision) = self.management.get_risk(subjects)?;
        Ok(Response::new(pb::GetRiskResponse {
            score: risk.score.into(),
            level: risk.level.number().into(),
            confidence: risk.confidence.into(),
            contributions: risk.reasons.into_iter().map(contribution).collect(),
            stale: risk.stale,
            flags: flags(risk.flags),
            revision: revision.to_string(),
        }))
    }
}

fn contribution(reason: RiskReason) -> pb::RiskContribution {
    pb::RiskContribution { kind: reason.kind, points: reason.points.into(), text: reason.text }
}

fn flags(flags: RiskFlags) -> Vec<String> {
    let RiskFlags { session_revoked, token_revoked, account_disabled, device_lost } = flags;
    let all = [
        (session_revoked, "session_revoked"),
        (token_revoked, "token_revoked"),
        (account_disabled, "account_disabled"),
        (device_lost, "device_lost"),
    ];
    all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned()).collect()
}
