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
use tokio::{sync::Semaphore, time::Instant};

use super::table;
use crate::record::{
    Store,
    access::{Entry, Token},
};

/// How a token's text begins: tools that look for secrets in sources find it by that.
pub(super) const PREFIX: &str = "qflow_";
/// Random bytes of a token's id, and of its secret.
pub(super) const ID_BYTES: usize = 6;
pub(super) const SECRET_BYTES: usize = 32;
/// Tokens that are looked up at once: who guesses many waits, and the store serves others meanwhile.
const LOOKS: usize = 4;
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
    looks: Semaphore,
}

impl Doorkeeper {
    /// One who knows the server's own token, and where others are kept.
    pub fn new(own: String, store: Arc<dyn Store>, telemetry: Telemetry) -> Self {
        Self { own, store, telemetry, known: Mutex::default(), looks: Semaphore::new(LOOKS) }
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
        let _turn = self.looks.acquire().await;
        // From before it was asked: what is revoked meanwhile is known for no longer.
        let at = Instant::now();
        let found = self.store.live_token(id).await;
        let found =
            found.map_err(|error| Closed::Unavailable(format!("{error}; who calls cannot be found out, try again")))?;
        let token = found.filter(|token| token.digest == digest).ok_or(Closed::Unknown)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(digest, (at, token.clone()));
        Ok(token)
    }
}

/// The id that a token's text names, where it is of that form: `qflow_ID_SECRET`, hexadecimal.
fn id(shown: &str) -> Option<&str> {
    let (id, secret) = shown.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex =
        |text: &str, bytes: usize| text.len() == 2 * bytes && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    (is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES)).then_some(id)
}

#[async_trait]
impl Door for Doorkeeper {
    async fn open(&self, Knock { shown, route }: Knock<'_>) -> Result<Option<Caller>, Closed> {
        let caller = self.who(shown.ok_or(Closed::Unknown)?).await?;
        let may = match table::least(route) {
            Some(least) => table::has(&caller, least),
            // Whoever is known is told that there is nothing, and goes on as nobody.
            None => return Ok(Some(caller).filter(|_| route.is_empty())),
        };
        if let Err(refused) = may {
            note(&*self.store, &self.telemetry, Entry { refused: refused.clone(), ..Entry::of(&caller, route, "") })
                .await;
            return Err(Closed::Forbidden(refused));
        }
        Ok(Some(caller))
    }
}

/// Writes a refusal to the audit. Where that cannot be done it is told in the log: nobody is let in for it.
pub(super) async fn note(store: &dyn Store, telemetry: &Telemetry, entry: Entry) {
    let told = [
        ("user.name", entry.user.clone()),
        ("organization.id", entry.tenant.clone()),
        ("audit.action", entry.action.clone()),
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
            let id: String = Digest::of(id.as_bytes()).to_string().chars().take(2 * ID_BYTES).collect();
            let text = format!("{PREFIX}{id}_{}", "5".repeat(2 * SECRET_BYTES));
            let token = Token {
                id,
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

        async fn open(&self, shown: &str, route: &str) -> Result<Option<Caller>, Closed> {
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
                    Ok(caller) => assert!(caller.unwrap().role == *role && role >= least, "{role} at {route}"),
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
        let caller = house.open(&text, "GET /api/v1/runs").await.unwrap().unwrap();
        assert_eq!((caller.tenant.as_str(), caller.user.as_str(), caller.is_own()), ("acme", "ada", false));
        assert!(caller.by.starts_with("token:") && text.contains(&caller.by["token:".len()..]), "{}", caller.by);
        assert_eq!(house.open(OWN, "GET /api/v1/audit").await, Ok(Some(Caller::local())));
    }

    #[tokio::test]
    async fn whoever_goes_where_the_table_has_nothing_goes_as_nobody() {
        let house = house();
        let text = house.token("one", "acme", Role::Admin).await;
        for route in ["POST /qflow.v1.AccessService/{*rest}", "api/v1/audit", "qflow.v1.DispatchService/Work", "GET /x"]
        {
            for shown in [text.as_str(), OWN] {
                assert_eq!(house.open(shown, route).await, Ok(None), "{route}");
            }
        }
    }

    #[tokio::test]
    async fn a_token_that_is_not_the_very_one_is_nobodys() {
        let house = house();
        let text = house.token("one", "acme", Role::Admin).await;
        let (id, secret) = text.strip_prefix(PREFIX).unwrap().split_once('_').unwrap();
        let longer = format!("qflow_{id}_{}", "6".repeat(secret.len()));
        let others = ["", "x", "qflow_", "qflow_one", "qflow_one_", "qflow_two_secret", secret, longer.as_str()];
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
        assert!(house.store.revoke_token("acme".into(), id(&text).unwrap().into(), Entry::default()).await.unwrap());
        tokio::time::advance(KNOWN).await;
        assert_eq!(house.open(&text, "GET /api/v1/runs").await, Err(Closed::Unknown));
    }
}
