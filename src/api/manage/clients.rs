//! `ClientService`.

use std::collections::BTreeSet;

use tonic::{Request, Response, Status};

use super::{Door, caller, from_duration, parse, timestamp};
use crate::api::pb::manage as pb;
use crate::api::pb::manage::client_service_server::ClientService;
use crate::api::wire;
use crate::manage::{ManageError, NewClient, into_parts, page_request};
use crate::model::{ApiGrant, Assertion, CertificateName, Client, Grants, Role};

#[tonic::async_trait]
impl ClientService for Door {
    async fn create_client(
        &self,
        request: Request<pb::CreateClientRequest>,
    ) -> Result<Response<pb::CreateClientResponse>, Status> {
        let by = caller(&request)?;
        let pb::CreateClientRequest { client: wanted, without_key } = request.into_inner();
        let new = new_client(wanted.unwrap_or_default(), !without_key)?;
        let created = self.management.create_client(new, &by).await?;
        Ok(Response::new(pb::CreateClientResponse {
            client: Some(client(created.client)),
            key: created.key.map(|key| key.expose().to_owned()).unwrap_or_default(),
            revision: created.revision.to_string(),
        }))
    }

    async fn get_client(
        &self,
        request: Request<pb::GetClientRequest>,
    ) -> Result<Response<pb::GetClientResponse>, Status> {
        let id = parse("client_id", &request.into_inner().client_id)?;
        let found = self.management.get_client(&id).await?;
        Ok(Response::new(pb::GetClientResponse { client: Some(client(found)) }))
    }

    async fn list_clients(
        &self,
        request: Request<pb::ListClientsRequest>,
    ) -> Result<Response<pb::ListClientsResponse>, Status> {
        let request = request.into_inner();
        let page = page_request(request.page_size, &request.page_token)?;
        let listed = self.management.list_clients(&page).await?;
        let (clients, next_page_token) = into_parts(listed);
        let clients = clients.into_iter().map(client).collect();
        Ok(Response::new(pb::ListClientsResponse { clients, next_page_token }))
    }

    async fn set_client_certificates(
        &self,
        request: Request<pb::SetClientCertificatesRequest>,
    ) -> Result<Response<pb::SetClientCertificatesResponse>, Status> {
        let by = caller(&request)?;
        let pb::SetClientCertificatesRequest { client_id, certificates } = request.into_inner();
        let id = parse("client_id", &client_id)?;
        let certificates = names("certificates", &certificates)?;
        let (set, revision) = self.management.set_client_certificates(&id, &certificates, &by).await?;
        let client = Some(client(set));
        Ok(Response::new(pb::SetClientCertificatesResponse { client, revision: revision.to_string() }))
    }

    async fn revoke_client(
        &self,
        request: Request<pb::RevokeClientRequest>,
    ) -> Result<Response<pb::RevokeClientResponse>, Status> {
        let by = caller(&request)?;
        let id = parse("client_id", &request.into_inner().client_id)?;
        let (revoked, revision) = self.management.revoke_client(&id, &by).await?;
        let client = Some(client(revoked));
        Ok(Response::new(pb::RevokeClientResponse { client, revision: revision.to_string() }))
    }
}

fn names(field: &'static str, texts: &[String]) -> Result<BTreeSet<CertificateName>, ManageError> {
    texts.iter().map(|text| parse(field, text)).collect()
}

fn new_client(client: pb::Client, with_key: bool) -> Result<NewClient, ManageError> {
    let pb::Client {
        client_id,
        display_name,
        roles,
        grants,
        created_by,
        create_time,
        revoke_time,
        certificates,
        has_key,
    } = client;
    if !created_by.is_empty() || create_time.is_some() || revoke_time.is_some() || has_key {
        let why =
            "created_by, create_time, revoke_time and has_key are given by the server; leave them empty";
        return Err(ManageError::invalid("client", why));
    }
    let roles = roles.into_iter().map(role).collect::<Result<BTreeSet<_>, _>>()?;
    let grants = grants.map(from_grants).transpose()?.unwrap_or_default();
    Ok(NewClient {
        id: parse("client.client_id", &client_id)?,
        display_name,
        roles,
        grants,
        certificates: names("client.certificates", &certificates)?,
        with_key,
    })
}

fn role(number: i32) -> Result<Role, ManageError> {
    match pb::Role::try_from(number) {
        Ok(pb::Role::Gateway) => Ok(Role::Gateway),
        Ok(pb::Role::Sensor) => Ok(Role::Sensor),
        Ok(pb::Role::Analyst) => Ok(Role::Analyst),
        Ok(pb::Role::Auditor) => Ok(Role::Auditor),
        Ok(pb::Role::Author) => Ok(Role::Author),
        Ok(pb::Role::Administrator) => Ok(Role::Administrator),
        Ok(pb::Role::Unspecified) | Err(_) => {
            Err(ManageError::invalid("client.roles", format!("{number} is not a role")))
        }
    }
}

const fn to_role(role: Role) -> pb::Role {
    match role {
        Role::Gateway => pb::Role::Gateway,
        Role::Sensor => pb::Role::Sensor,
        Role::Analyst => pb::Role::Analyst,
        Role::Auditor => pb::Role::Auditor,
        Role::Author => pb::Role::Author,
        Role::Administrator => pb::Role::Administrator,
    }
}

fn assertion(number: i32) -> Result<Assertion, ManageError> {
    match pb::Assertion::try_from(number) {
        Ok(pb::Assertion::Principal) => Ok(Assertion::Principal),
        Ok(pb::Assertion::SourceAddress) => Ok(Assertion::SourceAddress),
        Ok(pb::Assertion::Device) => Ok(Assertion::Device),
        Ok(pb::Assertion::ClientCertificate) => Ok(Assertion::ClientCertificate),
        Ok(pb::Assertion::Unspecified) | Err(_) => {
            Err(ManageError::invalid("client.grants.assertions", format!("{number} is not an assertion")))
        }
    }
}

const fn to_assertion(assertion: Assertion) -> pb::Assertion {
    match assertion {
        Assertion::Principal => pb::Assertion::Principal,
        Assertion::SourceAddress => pb::Assertion::SourceAddress,
        Assertion::Device => pb::Assertion::Device,
        Assertion::ClientCertificate => pb::Assertion::ClientCertificate,
    }
}

fn from_grants(grants: pb::Grants) -> Result<Grants, ManageError> {
    let pb::Grants { all_apis, apis, domains, assertions, explain, max_reuse } = grants;
    if all_apis && !apis.is_empty() {
        let why = "all_apis and a list of apis exclude each other";
        return Err(ManageError::invalid("client.grants.apis", why));
    }
    let listed = apis.iter().map(|api| parse("client.grants.apis", api)).collect::<Result<_, _>>()?;
    Ok(Grants {
        apis: if all_apis { ApiGrant::All } else { ApiGrant::Only(listed) },
        domains: domains.iter().map(|name| parse("client.grants.domains", name)).collect::<Result<_, _>>()?,
        assertions: assertions.into_iter().map(assertion).collect::<Result<_, _>>()?,
        explain,
        max_reuse: max_reuse
            .map(|span| from_duration("client.grants.max_reuse", span))
            .transpose()?
            .unwrap_or_default(),
    })
}

fn client(client: Client) -> pb::Client {
    let Client {
        id,
        display_name,
        roles,
        grants,
        key_sha256,
        certificates,
        created_by,
        created_at,
        revoked_at,
    } = client;
    pb::Client {
        client_id: id.to_string(),
        display_name,
        roles: roles.into_iter().map(|role| to_role(role).into()).collect(),
        grants: Some(to_grants(grants)),
        created_by: created_by.to_string(),
        create_time: Some(timestamp(created_at)),
        revoke_time: revoked_at.map(timestamp),
        certificates: certificates.into_iter().map(String::from).collect(),
        has_key: key_sha256.is_some(),
    }
}

fn to_grants(grants: Grants) -> pb::Grants {
    let (all_apis, apis) = match grants.apis {
        ApiGrant::All => (true, Vec::new()),
        ApiGrant::Only(apis) => (false, apis.iter().map(ToString::to_string).collect()),
    };
    pb::Grants {
        all_apis,
        apis,
        domains: grants.domains.iter().map(ToString::to_string).collect(),
        assertions: grants.assertions.into_iter().map(|known| to_assertion(known).into()).collect(),
        explain: grants.explain,
        max_reuse: Some(wire::duration(grants.max_reuse)),
    }
}
