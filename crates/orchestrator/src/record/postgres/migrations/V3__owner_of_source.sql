-- Whose a source is: each tenant has its own row of the same content. Who wrote rows before knew one tenant and one user; replicas of
-- the version before go on writing theirs by these defaults. By digest first: they look it up by that alone.
ALTER TABLE source
  ADD COLUMN tenant text NOT NULL DEFAULT 'default', ADD COLUMN username text NOT NULL DEFAULT 'local',
  DROP CONSTRAINT source_pkey, ADD PRIMARY KEY (digest, tenant);
