//! How a process lives: configuration, listeners, authentication, health, drain.

mod admin;
mod auth;
mod client;
mod clock;
mod process;
mod red;
mod server;
mod shutdown;

pub use admin::{Readiness, admin};
pub use auth::{Auth, SecretError, read_secret};
pub use client::{AuthedChannel, Bearer, ChannelError, authed_channel, channel};
pub use clock::{Clock, ManualClock, SystemClock};
pub use process::{Listening, init, run};
pub use server::{Edge, ServeError, ServeOptions, bind, protect, serve_grpc, serve_http};
pub use shutdown::Shutdown;
