//! Owns types: validates workflows at submit.
