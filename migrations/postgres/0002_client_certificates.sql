-- Which certificate names which live client: one at most. The names are in the client's body too; this table keeps two
-- clients from having the same one.
CREATE TABLE client_certificates (
    name TEXT COLLATE "C" PRIMARY KEY,
    client_id TEXT COLLATE "C" NOT NULL REFERENCES clients (id)
);

CREATE INDEX client_certificates_by_client ON client_certificates (client_id);
