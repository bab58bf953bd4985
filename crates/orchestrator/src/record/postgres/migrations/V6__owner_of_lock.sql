-- Whose a lock is. The key stays what the version before names when it writes: locks of several tenants are some microseconds apart.
ALTER TABLE env_lock
  ADD COLUMN tenant text NOT NULL DEFAULT 'default', ADD COLUMN username text NOT NULL DEFAULT 'local';
