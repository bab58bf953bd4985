//! Tests of the whole: four services, real backends.
