//! The form of a value.
