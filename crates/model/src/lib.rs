//! Values that every part of Qflow agrees on: ids, a workflow's definition, its plan, its run. No IO, no async, no clock.

pub mod access;
pub mod class;
pub mod condition;
pub mod definition;
pub mod duration;
pub mod environment;
pub mod expression;
pub mod ids;
pub mod instant;
pub mod limits;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod schedule;
pub mod status;
pub mod tagged;
pub mod value;
