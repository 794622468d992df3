//! Clients in Postgres.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::feed::snapshot;
use super::write::Write;
use super::{PostgresStore, failed};
use crate::model::{CertificateName, ChangeBody, Client, ClientId, Page, PageRequest, Revision, Timestamp};
use crate::store::cursor::{self, Cursor};
use crate::store::{Clients, StoreError, body};

#[async_trait]
impl Clients for PostgresStore {
    async fn create_client(&self, client: &Client) -> Result<Revision, StoreError> {
        const ACTION: &str = "create a client";
        let mut write = Write::begin(self, ACTION).await?;
        let created = sqlx::query(
            "INSERT INTO clients (id, revoked_at, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        )
        .bind(client.id.as_str())
        .bind(client.revoked_at.map(Timestamp::micros))
        .bind(body::encode("client", client)?)
        .execute(write.connection())
        .await
        .map_err(failed(ACTION))?;
        if created.rows_affected() == 0 {
            return Err(StoreError::AlreadyExists { what: "client", name: client.id.to_string() });
        }
        keep_certificates(&mut write, ACTION, client).await?;
        write.record(&ChangeBody::Client(client.clone()))?;
        write.commit().await
    }

    async fn get_client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT body FROM clients WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a client"))?;
        row.map(|(text,)| body::decode("client", &text)).transpose()
    }

    async fn list_clients(&self, page: &PageRequest) -> Result<Page<Client>, StoreError> {
        let after: Option<String> = Cursor::clients().key(page)?;
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, body FROM clients WHERE id > $1 ORDER BY id LIMIT $2")
                // No id is empty, so that all come after this one.
                .bind(after.unwrap_or_default())
                .bind(cursor::limit(page))
                .fetch_all(&self.pool)
                .await
                .map_err(failed("list the clients"))?;
        let read = |(id, text): (String, String)| Ok((id, body::decode("client", &text)?));
        let rows: Result<Vec<_>, StoreError> = rows.into_iter().map(read).collect();
        Cursor::clients().page(rows?, page)
    }

    async fn set_client_certificates(
        &self,
        id: &ClientId,
        certificates: &BTreeSet<CertificateName>,
    ) -> Result<Option<(Client, Revision)>, StoreError> {
        const ACTION: &str = "set the certificates of a client";
        let mut write = Write::begin(self, ACTION).await?;
        let row: Option<(String,)> = sqlx::query_as("SELECT body FROM clients WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(write.connection())
            .await
            .map_err(failed(ACTION))?;
        let Some((text,)) = row else { return Ok(None) };
        let mut client: Client = body::decode("client", &text)?;
        if !client.is_live() {
            return Err(StoreError::Conflict { what: "client", name: id.to_string() });
        }
        if client.certificates == *certificates {
            return Ok(Some((client, write.commit().await?)));
        }
        client.certificates.clone_from(certificates);
        keep_certificates(&mut write, ACTION, &client).await?;
        sqlx::query("UPDATE clients SET body = $1 WHERE id = $2")
            .bind(body::encode("client", &client)?)
            .bind(id.as_str())
            .execute(write.connection())
            .await
            .map_err(failed(ACTION))?;
        write.record(&ChangeBody::Client(client.clone()))?;
        Ok(Some((client, write.commit().await?)))
    }

    async fn revoke_client(
        &self,
        id: &ClientId,
        at: Timestamp,
    ) -> Result<Option<(Client, Revision)>, StoreError> {
        const ACTION: &str = "revoke a client";
        let mut write = Write::begin(self, ACTION).await?;
        let row: Option<(String,)> = sqlx::query_as("SELECT body FROM clients WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(write.connection())
            .await
            .map_err(failed(ACTION))?;
        let Some((text,)) = row else { return Ok(None) };
        let mut client: Client = body::decode("client", &text)?;
        if client.revoked_at.is_some() {
            return Ok(Some((client, write.commit().await?)));
        }
        client.revoked_at = Some(at);
        keep_certificates(&mut write, ACTION, &client).await?;
        sqlx::query("UPDATE clients SET revoked_at = $1, body = $2 WHERE id = $3")
            .bind(at.micros())
            .bind(body::encode("client", &client)?)
            .bind(id.as_str())
            .execute(write.connection())
            .await
            .map_err(failed(ACTION))?;
        write.record(&ChangeBody::Client(client.clone()))?;
        Ok(Some((client, write.commit().await?)))
    }

    async fn all_clients(&self) -> Result<(Vec<Client>, Revision), StoreError> {
        const ACTION: &str = "load the clients";
        let (mut tx, revision) = snapshot(self, ACTION).await?;
        let rows: Vec<(String,)> = sqlx::query_as("SELECT body FROM clients ORDER BY id")
            .fetch_all(&mut *tx)
            .await
            .map_err(failed(ACTION))?;
        let clients: Result<_, _> = rows.iter().map(|(text,)| body::decode("client", text)).collect();
        Ok((clients?, revision))
    }
}

/// Keeps what the client's certificates are known by, in place of what they were known by before; nothing of one that is
/// revoked.
async fn keep_certificates(
    write: &mut Write,
    action: &'static str,
    client: &Client,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM client_certificates WHERE client_id = $1")
        .bind(client.id.as_str())
        .execute(write.connection())
        .await
        .map_err(failed(action))?;
    for name in client.certificates.iter().filter(|_| client.is_live()) {
        let kept = sqlx::query(
            "INSERT INTO client_certificates (name, client_id) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.to_string())
        .bind(client.id.as_str())
        .execute(write.connection())
        .await
        .map_err(failed(action))?;
        if kept.rows_affected() == 0 {
            let what = "a client with the certificate";
            return Err(StoreError::AlreadyExists { what, name: name.to_string() });
        }
    }
    Ok(())
}
