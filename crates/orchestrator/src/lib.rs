//! Owns runs. A run passes through the modules in the order of the pipeline:
//! submit → validate → plan → dispatch → (run, elsewhere) → progress → record.

pub mod dispatch;
pub mod plan;
pub mod progress;
pub mod record;
pub mod submit;
pub mod validate;

pub mod active;
pub mod backup;
pub mod bus;
pub mod logs;
mod ready;
pub mod result;
mod retention;
pub mod reuse;
mod serve;
mod shared;

pub use serve::{Config, serve};
