-- Whether attempts wait at a replica that no runner has a stream to: the others tell of it.
ALTER TABLE replica ADD COLUMN stranded boolean NOT NULL DEFAULT false;
