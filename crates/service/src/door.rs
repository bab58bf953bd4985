//! Who is let in where: asked of whoever knows tokens and roles.

use async_trait::async_trait;
use qflow_model::access::Caller;

/// A call that wants in.
#[derive(Clone, Copy, Debug)]
pub struct Knock<'a> {
    /// The bearer token that it shows.
    pub shown: Option<&'a str>,
    /// Where to, by its path and never by what a request says of itself: a method as `package.Service/Method`, else the HTTP method and the
    /// route as it is declared, `GET /api/v1/runs/{run_id}`.
    pub route: &'a str,
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nobody knows who they are.
    Unknown,
    /// They are known, and may not; what they would need.
    Forbidden(String),
    /// It cannot be found out now.
    Unavailable(String),
}

/// Knows who may enter where.
#[async_trait]
pub trait Door: Send + Sync + 'static {
    /// Who it is, where they may enter; nobody where there is no such route: whoever is let in so is served nothing that asks who calls.
    async fn open(&self, knock: Knock<'_>) -> Result<Option<Caller>, Closed>;
}
