-- Whose a plan is, as with sources.
ALTER TABLE plan
  ADD COLUMN tenant text NOT NULL DEFAULT 'default', ADD COLUMN username text NOT NULL DEFAULT 'local',
  DROP CONSTRAINT plan_pkey, ADD PRIMARY KEY (digest, tenant);
