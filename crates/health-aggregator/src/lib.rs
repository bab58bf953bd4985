//! Owns the verdict on the whole.

pub mod http;
pub mod monitoring;
pub mod probe;
mod serve;
pub mod settings;
pub mod submit;
mod tell;
pub mod verdict;

pub use serve::{Config, serve};
pub use settings::Thresholds;
