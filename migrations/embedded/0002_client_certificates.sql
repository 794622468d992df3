-- Which certificate names which live client: one at most. The names are in the client's body too; this table keeps two
-- clients from having the same one.
CREATE TABLE client_certificates (
    name TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX client_certificates_by_client ON client_certificates (client_id);
