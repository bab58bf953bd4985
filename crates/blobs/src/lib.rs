//! Large values, by reference.
