-- Whose a workflow is. The version before names the key (name, digest) when it writes, so that key stays where it is, and tenants have a
-- table of their own beside it; `workflow` gets rows of that version only, is read with this one, and goes with a later version.
ALTER TABLE workflow
  ADD COLUMN tenant text NOT NULL DEFAULT 'default', ADD COLUMN username text NOT NULL DEFAULT 'local';
CREATE TABLE registered (
  tenant text NOT NULL, name text NOT NULL, digest bytea NOT NULL, username text NOT NULL, at timestamptz NOT NULL,
  PRIMARY KEY (tenant, name, digest)
);
