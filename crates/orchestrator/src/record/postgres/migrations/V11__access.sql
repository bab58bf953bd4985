-- Tokens by what they name themselves; of their text the digest alone.
CREATE TABLE token (
  id text PRIMARY KEY, tenant text NOT NULL, username text NOT NULL, role text NOT NULL, name text NOT NULL, digest bytea NOT NULL,
  created_at timestamptz NOT NULL, created_by text NOT NULL, expires_at timestamptz, revoked_at timestamptz
);
CREATE INDEX token_by_tenant ON token (tenant, created_at);
-- Who asked for what: rows are added, and none is changed or removed.
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, tenant text NOT NULL, username text NOT NULL,
  by text NOT NULL, action text NOT NULL, target text NOT NULL, refused text NOT NULL, trace_id text NOT NULL
);
CREATE INDEX audit_by_tenant ON audit (tenant, id);
