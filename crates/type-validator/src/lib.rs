//! Owns types: validates workflows at submit. Reads source, never runs it.

pub mod cache;
pub mod parameters;
mod serve;
pub mod submit;
pub mod types;
pub mod validate;

pub use serve::{Config, serve};
