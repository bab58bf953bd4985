-- Who set a pool last.
ALTER TABLE pool ADD COLUMN username text NOT NULL DEFAULT 'local';
