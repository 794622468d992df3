//! `PrincipalService`.

use tonic::{Request, Response, Status};

use super::{Door, caller, parse, timestamp};
use crate::api::pb::manage as pb;
use crate::api::pb::manage::principal_service_server::PrincipalService;
use crate::manage::{ManageError, NewEntry, into_parts, page_request};
use crate::model::{DirectoryEntry, Expected};

#[tonic::async_trait]
impl PrincipalService for Door {
    async fn get_principal(
        &self,
        request: Request<pb::GetPrincipalRequest>,
    ) -> Result<Response<pb::GetPrincipalResponse>, Status> {
        let id = parse("principal_id", &request.into_inner().principal_id)?;
        let found = self.management.get_principal(&id).await?;
        Ok(Response::new(pb::GetPrincipalResponse { principal: Some(principal(found)) }))
    }

    async fn list_principals(
        &self,
        request: Request<pb::ListPrincipalsRequest>,
    ) -> Result<Response<pb::ListPrincipalsResponse>, Status> {
        let request = request.into_inner();
        let page = page_request(request.page_size, &request.page_token)?;
        let listed = self.management.list_principals(&page).await?;
        let (entries, next_page_token) = into_parts(listed);
        let principals = entries.into_iter().map(principal).collect();
        Ok(Response::new(pb::ListPrincipalsResponse { principals, next_page_token }))
    }

    async fn put_principal(
        &self,
        request: Request<pb::PutPrincipalRequest>,
    ) -> Result<Response<pb::PutPrincipalResponse>, Status> {
        let by = caller(&request)?;
        let request = request.into_inner();
        let expected = expected(request.etag).unwrap_or(Expected::Absent);
        let new = new_entry(request.principal.unwrap_or_default())?;
        let (entry, revision) = self.management.put_principal(new, &expected, &by).await?;
        let principal = Some(principal(entry));
        Ok(Response::new(pb::PutPrincipalResponse { principal, revision: revision.to_string() }))
    }

    async fn delete_principal(
        &self,
        request: Request<pb::DeletePrincipalRequest>,
    ) -> Result<Response<pb::DeletePrincipalResponse>, Status> {
        let by = caller(&request)?;
        let request = request.into_inner();
        let id = parse("principal_id", &request.principal_id)?;
        let missing = || ManageError::invalid("etag", "give the etag of the entry, or * for whatever it is");
        let expected = expected(request.etag).ok_or_else(missing)?;
        let revision = self.management.delete_principal(&id, &expected, &by).await?;
        Ok(Response::new(pb::DeletePrincipalResponse { revision: revision.to_string() }))
    }
}

fn expected(etag: String) -> Option<Expected> {
    match etag.as_str() {
        "" => None,
        "*" => Some(Expected::Anything),
        _ => Some(Expected::Etag(etag)),
    }
}

fn new_entry(new: pb::Principal) -> Result<NewEntry, ManageError> {
    let pb::Principal { principal_id, active, roles, groups, tags, note, etag, updated_by, update_time } =
        new;
    if !etag.is_empty() || !updated_by.is_empty() || update_time.is_some() {
        let why = "its etag, updated_by and update_time are given by the server; leave them empty";
        return Err(ManageError::invalid("principal", why));
    }
    let values = |(name, values): (String, pb::Values)| (name, values.values.into_iter().collect());
    Ok(NewEntry {
        principal: parse("principal.principal_id", &principal_id)?,
        active: active.unwrap_or(true),
        roles: roles.into_iter().collect(),
        groups: groups.into_iter().collect(),
        tags: tags.into_iter().map(values).collect(),
        note,
    })
}

fn principal(entry: DirectoryEntry) -> pb::Principal {
    let tags = entry.tags.into_iter();
    pb::Principal {
        principal_id: entry.principal.to_string(),
        active: Some(entry.active),
        roles: entry.roles.into_iter().collect(),
        groups: entry.groups.into_iter().collect(),
        tags: tags
            .map(|(name, values)| (name, pb::Values { values: values.into_iter().collect() }))
            .collect(),
        note: entry.note,
        etag: entry.etag,
        updated_by: entry.updated_by.to_string(),
        update_time: Some(timestamp(entry.updated_at)),
    }
}
