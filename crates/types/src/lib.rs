//! The type lattice and the form of a value. Pure.
