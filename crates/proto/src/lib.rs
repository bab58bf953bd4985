//! The wire: code generated from `proto/`, and the structures that travel inside its envelopes.

pub mod line;
pub mod order;

/// Generated messages, clients and servers of `qflow.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]
pub mod v1 {
    tonic::include_proto!("qflow.v1");
}

/// The compiled descriptors, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/qflow_descriptor.bin"));
