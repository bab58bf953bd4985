//! How a process lives: configuration, listeners, authentication, health, drain.

mod admin;
#[cfg(feature = "redis")]
mod at_work;
mod auth;
mod blobs;
mod client;
mod clock;
pub mod database;
mod door;
mod edge;
mod methods;
mod process;
mod ready;
mod red;
#[cfg(feature = "redis")]
mod redis;
mod route;
mod server;
mod shutdown;
pub mod trust;

pub use admin::{Readiness, admin};
#[cfg(feature = "redis")]
pub use at_work::AtWork;
pub use auth::{Auth, SecretError, need_secret, read_secret, same};
pub use blobs::tells_of_blobs;
pub use client::{AuthedChannel, ChannelError, authed_channel, channel, is_address, tls_channel, was_late};
pub use clock::{Clock, ManualClock, SystemClock};
pub use door::{Closed, Door, Knock};
pub use edge::{Edge, TELEMETRY, VERSION, protect};
pub use process::{Listening, init, run};
pub use ready::Ask;
#[cfg(feature = "redis")]
pub use redis::{NotRedis, RedisArgs, RedisPlace, RedisSettings};
pub use server::{ServeError, ServeOptions, bind, serve_grpc, serve_http};
pub use shutdown::Shutdown;
