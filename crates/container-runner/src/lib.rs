//! Owns containers: environments, pool, attempts.
