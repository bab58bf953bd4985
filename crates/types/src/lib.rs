//! The type lattice and the form of a value. Pure: nothing here executes, imports or opens user code.

mod assignable;
mod builtin;
mod convertible;
mod dtype;
mod edges;
mod parse;
mod solve;
mod ty;
pub mod value;

pub use assignable::{Reason, assignable, assignable_among};
pub use builtin::{arity, is_builtin};
pub use convertible::{CONTAINERS, Example, REFUSED, Refused, Row, Rule, TABLE, Way, convertible};
pub use edges::{Edges, Number, Roots};
pub use parse::NotAType;
pub use solve::{Solution, Unsolved, Variable, Variables, has_variables, solve};
pub use ty::{Literal, Ty};
