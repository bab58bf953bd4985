//! Owns types: validates workflows at submit. Reads source, never runs it.

#[cfg(feature = "service")]
pub mod cache;
pub mod parameters;
#[cfg(feature = "service")]
mod serve;
#[cfg(feature = "service")]
pub mod submit;
pub mod types;
pub mod validate;

#[cfg(feature = "service")]
pub use serve::{Config, serve};
