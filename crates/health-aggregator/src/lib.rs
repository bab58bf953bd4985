//! Owns the verdict on the whole.
