-- Who owns which group of runs. Updated by every commit: pages stay nearly empty, so that updates stay on them.
CREATE TABLE shard (
  id smallint PRIMARY KEY, owner text NOT NULL DEFAULT '', epoch bigint NOT NULL DEFAULT 0,
  lease_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO shard (id) SELECT generate_series(0, 63);
-- Orchestrators that live, and where runners reach them.
CREATE TABLE replica (owner text PRIMARY KEY, url text NOT NULL, lease_until timestamptz NOT NULL);

-- What is named by its content belongs to nobody.
CREATE TABLE source (digest bytea PRIMARY KEY, source text NOT NULL, at timestamptz NOT NULL);
CREATE TABLE workflow (name text NOT NULL, digest bytea NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (name, digest));
CREATE TABLE plan (digest bytea PRIMARY KEY, plan text NOT NULL);
CREATE TABLE env_lock (spec bytea NOT NULL, at timestamptz NOT NULL, lock text NOT NULL, PRIMARY KEY (spec, at));

-- The id stands twice: a list that could be walked by the primary key would be, past ever so many runs of others.
CREATE TABLE run (
  id uuid PRIMARY KEY, tenant text NOT NULL, username text NOT NULL, shard smallint NOT NULL, workflow text NOT NULL,
  plan bytea NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL, ended_at timestamptz,
  spec text NOT NULL, head text NOT NULL, listed uuid NOT NULL GENERATED ALWAYS AS (id) STORED
) WITH (fillfactor = 70);
-- Lists, one for each way to filter, and each way by one index only: a page is a walk over its first rows. Names of workflows and
-- states hold no slash, so no two keys meet.
CREATE INDEX run_by_tenant ON run (tenant, listed);
CREATE INDEX run_by_status ON run ((tenant || '/' || status), listed);
CREATE INDEX run_by_workflow ON run ((tenant || '/' || workflow), listed);
CREATE INDEX run_by_workflow_status ON run ((tenant || '/' || workflow || '/' || status), listed);
-- What is under way is found among ever so many that have ended.
CREATE INDEX run_open ON run (shard, id) INCLUDE (status) WHERE status IN ('pending', 'running', 'paused');
CREATE INDEX run_queued ON run (tenant, username) WHERE status = 'pending';
CREATE INDEX run_ended ON run (ended_at) INCLUDE (status) WHERE ended_at IS NOT NULL;

-- A step's own row has element -1.
CREATE TABLE node_run (
  run uuid NOT NULL, frame integer NOT NULL, step integer NOT NULL, element integer NOT NULL,
  tenant text NOT NULL, username text NOT NULL, status text NOT NULL, attempt integer NOT NULL, node text NOT NULL,
  PRIMARY KEY (run, frame, step, element)
) WITH (fillfactor = 70);
CREATE TABLE history (
  run uuid NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, tenant text NOT NULL, username text NOT NULL,
  at timestamptz NOT NULL, event text NOT NULL, PRIMARY KEY (run, id)
);
-- The text is bytes, and so are fields: user code may write what a text of the database cannot hold, a zero byte.
CREATE TABLE log_line (
  run uuid NOT NULL, node_id text NOT NULL, attempt integer NOT NULL, sequence bigint NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY, tenant text NOT NULL, username text NOT NULL,
  at timestamptz NOT NULL, stream text NOT NULL, text bytea NOT NULL, fields bytea,
  PRIMARY KEY (run, node_id, attempt, sequence)
);
CREATE INDEX log_line_by_run ON log_line (run, id);

-- Rows come and go: what is gone is cleared away soon, or the few that are there are far apart.
CREATE TABLE inbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shard smallint NOT NULL, run uuid NOT NULL,
  tenant text NOT NULL, username text NOT NULL, input text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX inbox_by_shard ON inbox (shard, id);
CREATE INDEX inbox_by_run ON inbox (run);
CREATE TABLE idempotency (
  tenant text NOT NULL, key bytea NOT NULL, run uuid NOT NULL, username text NOT NULL, at timestamptz NOT NULL,
  PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_by_time ON idempotency (at);

CREATE TABLE pool (
  tenant text NOT NULL, name text NOT NULL, slots bigint NOT NULL, per_minute bigint, PRIMARY KEY (tenant, name)
);
CREATE TABLE pool_slot (
  node text PRIMARY KEY, tenant text NOT NULL, pool text NOT NULL, node_id text NOT NULL, attempt integer NOT NULL,
  since timestamptz NOT NULL
);
CREATE INDEX pool_slot_by_pool ON pool_slot (tenant, pool, since);
CREATE TABLE pool_start (tenant text NOT NULL, pool text NOT NULL, at timestamptz NOT NULL);
CREATE INDEX pool_start_by_pool ON pool_start (tenant, pool, at);

-- A blob whose entry is 0 has none any more; it is removed where no other entry has it either.
CREATE TABLE cached (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant text NOT NULL, username text NOT NULL, key bytea NOT NULL,
  expires timestamptz NOT NULL, produced text NOT NULL, source text NOT NULL, UNIQUE (tenant, username, key)
);
CREATE INDEX cached_by_end ON cached (expires);
CREATE TABLE cached_blob (digest bytea NOT NULL, entry bigint NOT NULL, PRIMARY KEY (digest, entry));
CREATE INDEX cached_blob_by_entry ON cached_blob (entry);
