//! Owns containers: takes orders, makes environments, runs attempts, keeps outcomes until they are recorded.

pub mod adopt;
mod config;
pub mod content;
pub mod credits;
pub mod declared;
mod ending;
pub mod environment;
mod fence;
pub mod harness;
pub mod headers;
pub mod held;
pub mod lifecycle;
pub mod look;
pub mod pool;
pub mod python;
pub mod resolve;
pub mod result;
pub mod run;
pub mod runtime;
mod said;
pub mod sample;
pub mod secrets;
mod serve;
pub mod spool;
pub mod submit;
pub mod unpack;

pub use config::{Config, RuntimeKind};
pub use serve::serve;
