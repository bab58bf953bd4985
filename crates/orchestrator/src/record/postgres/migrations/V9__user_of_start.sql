-- Whose attempt began.
ALTER TABLE pool_start ADD COLUMN username text NOT NULL DEFAULT 'local';
