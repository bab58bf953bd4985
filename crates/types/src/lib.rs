//! The type lattice and the form of a value. Pure: nothing here executes, imports or opens user code.

mod assignable;
mod parse;
mod ty;
pub mod value;

pub use assignable::{Reason, assignable};
pub use parse::NotAType;
pub use ty::{Literal, Ty};
