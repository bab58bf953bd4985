//! The door of clients: who shows which token, and whether they may go where they want to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use qflow_model::{access::Caller, ids::Digest};
use qflow_service::{Closed, Door, Knock, same};
use qflow_telemetry::{Event, Telemetry};
use tokio::time::Instant;

use super::table;
use crate::record::{
    Store,
    access::{Entry, Token},
};

/// How a token's text begins: tools that look for secrets in sources find it by that.
pub(super) const PREFIX: &str = "qflow_";
/// How long a token that was looked up lets in without another look: as long may one that was revoked.
const KNOWN: Duration = Duration::from_secs(5);
/// Tokens that are remembered at once.
const REMEMBERED: usize = 10_000;

/// Lets in whoever has the server's own token, or one that was made.
pub struct Doorkeeper {
    own: String,
    store: Arc<dyn Store>,
    telemetry: Telemetry,
    /// By digest of what was shown.
    known: Mutex<HashMap<Digest, (Instant, Token)>>,
}

impl Doorkeeper {
    /// One who knows the server's own token, and where others are kept.
    pub fn new(own: String, store: Arc<dyn Store>, telemetry: Telemetry) -> Self {
        Self { own, store, telemetry, known: Mutex::default() }
    }

    async fn who(&self, shown: &str) -> Result<Caller, Closed> {
        if same(shown, &self.own) {
            return Ok(Caller::local());
        }
        let Some(id) = id(shown) else { return Err(Closed::Unknown) };
        let digest = Digest::of(shown.as_bytes());
        let token = match self.known(digest) {
            Some(token) => token,
            None => self.look(id, digest).await?,
        };
        Ok(Caller { tenant: token.tenant, user: token.user, role: token.role, by: format!("token:{}", token.id) })
    }

    fn known(&self, digest: Digest) -> Option<Token> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&digest).filter(|(at, _)| at.elapsed() < KNOWN).map(|(_, token)| token.clone())
    }

    /// The token in the store, where its text is what was shown: one that anybody can guess is none.
    async fn look(&self, id: &str, digest: Digest) -> Result<Token, Closed> {
        let found = self.store.live_token(id).await;
        let found =
            found.map_err(|error| Closed::Unavailable(format!("{error}; who calls cannot be found out, try again")))?;
        let token = found.filter(|token| token.digest == digest).ok_or(Closed::Unknown)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(digest, (Instant::now(), token.clone()));
        Ok(token)
    }
}

/// The id that a token's text names: `qflow_ID_SECRET`.
fn id(shown: &str) -> Option<&str> {
    shown.strip_prefix(PREFIX)?.split_once('_').map(|(id, _)| id)
}

#[async_trait]
impl Door for Doorkeeper {
    async fn open(&self, Knock { shown, route }: Knock<'_>) -> Result<Caller, Closed> {
        let caller = self.who(shown.ok_or(Closed::Unknown)?).await?;
        let may = match table::least(route) {
            Some(least) => table::has(&caller, least),
            // Whoever is let in is told that there is nothing; nobody is let further.
            None => Ok(()),
        };
        if let Err(refused) = may {
            note(&*self.store, &self.telemetry, Entry { refused: refused.clone(), ..Entry::of(&caller, route, "") })
                .await;
            return Err(Closed::Forbidden(refused));
        }
        Ok(caller)
    }
}

/// Writes a refusal to the audit. Where that cannot be done it is told in the log: nobody is let in for it.
pub(super) async fn note(store: &dyn Store, telemetry: &Telemetry, entry: Entry) {
    let told = [
        ("user.name", entry.user.clone()),
        ("organization.id", entry.tenant.clone()),
        ("event.action", entry.action.clone()),
    ];
    if let Err(error) = store.note(entry).await {
        let event = Event::warning("audit_not_written", format!("a refusal is not in the audit: {error}"));
        telemetry.emit(told.into_iter().fold(event, |event, (name, value)| event.with(name, value)));
    }
}

#[cfg(test)]
mod tests {
    use qflow_model::{access::Role, ids::Timestamp};
    use qflow_service::ManualClock;

    use super::*;
    use crate::record::{
        Memory,
        access::{Access as _, AuditFilter},
    };

    const OWN: &str = "the server's own";

    struct House {
        store: Arc<Memory>,
        door: Doorkeeper,
    }

    fn house() -> House {
        let store = Arc::new(Memory::new(Arc::new(ManualClock::at(Timestamp(1_000_000)))));
        let door = Doorkeeper::new(OWN.into(), Arc::clone(&store) as Arc<dyn Store>, Telemetry::silent());
        House { store, door }
    }

    impl House {
        /// A token of somebody of a tenant; its text.
        async fn token(&self, id: &str, tenant: &str, role: Role) -> String {
            let text = format!("{PREFIX}{id}_secret");
            let token = Token {
                id: id.into(),
                tenant: tenant.into(),
                user: "ada".into(),
                role,
                name: String::new(),
                digest: Digest::of(text.as_bytes()),
                created_at: Timestamp(0),
                created_by: "u".into(),
                expires_at: None,
                revoked_at: None,
            };
            self.store.keep_token(token, Entry::default()).await.unwrap();
            text
        }

        async fn open(&self, shown: &str, route: &str) -> Result<Caller, Closed> {
            self.door.open(Knock { shown: Some(shown), route }).await
        }

        async fn audit(&self, tenant: &str) -> Vec<Entry> {
            let filter = AuditFilter { tenant: tenant.into(), before: None, limit: 500 };
            self.store.audit(filter).await.unwrap().into_iter().map(|line| line.entry).collect()
        }
    }

    #[tokio::test]
    async fn every_route_lets_in_whoever_has_its_role_and_the_audit_has_whoever_has_not() {
        let house = house();
        for role in Role::ALL {
            let text = house.token(role.as_str(), role.as_str(), *role).await;
            let mut refused = Vec::new();
            for (route, least) in table::ROUTES {
                match house.open(&text, route).await {
                    Ok(caller) => assert!(caller.role == *role && role >= least, "{role} at {route}"),
                    Err(closed) => {
                        assert!(
                            matches!(closed, Closed::Forbidden(_)) && role < least,
                            "{role} at {route}: {closed:?}"
                        );
                        refused.push((*route).to_owned());
                    }
                }
            }
            let told: Vec<String> =
                house.audit(role.as_str()).await.into_iter().rev().map(|entry| entry.action).collect();
            assert_eq!(told, refused, "{role}");
        }
    }

    #[tokio::test]
    async fn whoever_is_let_in_is_of_the_tokens_tenant_and_the_servers_own_is_everybodys() {
        let house = house();
        let text = house.token("one", "acme", Role::Viewer).await;
        let caller = house.open(&text, "GET /api/v1/runs").await.unwrap();
        assert_eq!((caller.tenant.as_str(), caller.user.as_str(), caller.by.as_str()), ("acme", "ada", "token:one"));
        assert_eq!(house.open(OWN, "GET /api/v1/audit").await, Ok(Caller::local()));
    }

    #[tokio::test]
    async fn a_token_that_is_not_the_very_one_is_nobodys() {
        let house = house();
        let text = house.token("one", "acme", Role::Admin).await;
        let others = ["", "x", "qflow_", "qflow_one", "qflow_one_", "qflow_two_secret", "one_secret"];
        for other in others.into_iter().map(str::to_owned).chain([format!("{text}x"), text.to_uppercase()]) {
            assert_eq!(house.open(&other, "GET /api/v1/runs").await, Err(Closed::Unknown), "{other}");
        }
        assert_eq!(house.door.open(Knock { shown: None, route: "GET /api/v1/runs" }).await, Err(Closed::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_revoked_lets_in_for_five_seconds_at_most() {
        let house = house();
        let text = house.token("one", "acme", Role::Viewer).await;
        assert!(house.open(&text, "GET /api/v1/runs").await.is_ok());
        assert!(house.store.revoke_token("acme".into(), "one".into(), Entry::default()).await.unwrap());
        tokio::time::advance(KNOWN).await;
        assert_eq!(house.open(&text, "GET /api/v1/runs").await, Err(Closed::Unknown));
    }
}
