//! What measuring and soaking share.

pub mod stub;
