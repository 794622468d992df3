//! `RevocationService`.

use tonic::{Request, Response, Status};

use super::{Door, caller, from_timestamp, parse, parse_optional, timestamp};
use crate::api::pb::manage as pb;
use crate::api::pb::manage::revocation_service_server::RevocationService;
use crate::manage::{ManageError, NewRevocation, Spread, into_parts, page_request};
use crate::model::{Revocation, RevocationFilter};

#[tonic::async_trait]
impl RevocationService for Door {
    async fn create_revocation(
        &self,
        request: Request<pb::CreateRevocationRequest>,
    ) -> Result<Response<pb::CreateRevocationResponse>, Status> {
        let by = caller(&request)?;
        let new = new_revocation(request.into_inner().revocation.unwrap_or_default())?;
        let created = self.management.create_revocation(new, &by).await?;
        Ok(Response::new(pb::CreateRevocationResponse {
            revocation: Some(revocation(created.revocation)),
            revision: created.revision.to_string(),
            spread: Some(spread(created.spread)),
            warnings: created.warnings,
        }))
    }

    async fn get_revocation(
        &self,
        request: Request<pb::GetRevocationRequest>,
    ) -> Result<Response<pb::GetRevocationResponse>, Status> {
        let id = parse("revocation_id", &request.into_inner().revocation_id)?;
        let found = self.management.get_revocation(id).await?;
        Ok(Response::new(pb::GetRevocationResponse { revocation: Some(revocation(found)) }))
    }

    async fn list_revocations(
        &self,
        request: Request<pb::ListRevocationsRequest>,
    ) -> Result<Response<pb::ListRevocationsResponse>, Status> {
        let request = request.into_inner();
        let page = page_request(request.page_size, &request.page_token)?;
        let target = parse_optional("target", &request.target)?;
        let filter = RevocationFilter { target, include_undone: request.include_undone };
        let listed = self.management.list_revocations(&filter, &page).await?;
        let (revocations, next_page_token) = into_parts(listed);
        let revocations = revocations.into_iter().map(revocation).collect();
        Ok(Response::new(pb::ListRevocationsResponse { revocations, next_page_token }))
    }

    async fn delete_revocation(
        &self,
        request: Request<pb::DeleteRevocationRequest>,
    ) -> Result<Response<pb::DeleteRevocationResponse>, Status> {
        let by = caller(&request)?;
        let request = request.into_inner();
        let id = parse("revocation_id", &request.revocation_id)?;
        let undone = self.management.undo_revocation(id, request.reason, &by).await?;
        Ok(Response::new(pb::DeleteRevocationResponse {
            revocation: Some(revocation(undone.revocation)),
            revision: undone.revision.to_string(),
            spread: Some(spread(undone.spread)),
        }))
    }
}

fn new_revocation(new: pb::Revocation) -> Result<NewRevocation, ManageError> {
    let given = [&new.revocation_id, &new.created_by, &new.undone_by, &new.undo_reason];
    let timed = new.create_time.is_some() || new.expire_time.is_some() || new.undo_time.is_some();
    if timed || given.into_iter().any(|field| !field.is_empty()) {
        let why =
            "its id, its times and who made it or took it back are given by the server; leave them empty";
        return Err(ManageError::invalid("revocation", why));
    }
    let issued_before = new.issued_before.map(|at| from_timestamp("revocation.issued_before", at));
    Ok(NewRevocation {
        target: parse("revocation.target", &new.target)?,
        issued_before: issued_before.transpose()?,
        reason: new.reason,
    })
}

fn revocation(revocation: Revocation) -> pb::Revocation {
    let undone = revocation.undone;
    pb::Revocation {
        revocation_id: revocation.id.to_string(),
        target: revocation.target.to_string(),
        issued_before: revocation.issued_before.map(timestamp),
        reason: revocation.reason,
        created_by: revocation.created_by.to_string(),
        create_time: Some(timestamp(revocation.created_at)),
        expire_time: Some(timestamp(revocation.expires_at)),
        undone_by: undone.as_ref().map(|undone| undone.by.to_string()).unwrap_or_default(),
        undo_time: undone.as_ref().map(|undone| timestamp(undone.at)),
        undo_reason: undone.map(|undone| undone.why).unwrap_or_default(),
    }
}

fn spread(spread: Spread) -> pb::Spread {
    let pending = spread.pending.into_iter();
    pb::Spread {
        acknowledged: i32::try_from(spread.acknowledged).unwrap_or(i32::MAX),
        pending: pending
            .map(|replica| pb::PendingReplica { replica_id: replica.id, address: replica.address })
            .collect(),
        unknown: !spread.known,
    }
}
