-- Whose entry owns a blob, or owned it last: one that several tenants keep has a row for each entry.
ALTER TABLE cached_blob
  ADD COLUMN tenant text NOT NULL DEFAULT 'default', ADD COLUMN username text NOT NULL DEFAULT 'local';
