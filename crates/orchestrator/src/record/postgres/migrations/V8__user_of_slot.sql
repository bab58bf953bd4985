-- Whose attempt holds a slot.
ALTER TABLE pool_slot ADD COLUMN username text NOT NULL DEFAULT 'local';
