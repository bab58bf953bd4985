//! Owns runs: submit, validate, plan, progress, dispatch, record.

pub mod record;
