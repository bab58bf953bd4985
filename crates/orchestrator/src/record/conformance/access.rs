//! What every store promises of tokens and of the audit.

use qflow_model::access::{Caller, Role};

use super::{
    super::access::{AuditFilter, Entry, Token},
    *,
};

pub(in crate::record) fn token(id: &str, tenant: &str, expires_at: Option<Timestamp>) -> Token {
    Token {
        id: id.into(),
        tenant: tenant.into(),
        user: "ada".into(),
        role: Role::Operator,
        name: "of a test".into(),
        digest: Digest::of(id.as_bytes()),
        created_at: Timestamp(0),
        created_by: "u".into(),
        expires_at,
        revoked_at: None,
    }
}

pub(in crate::record) fn asked(tenant: &str, action: &str) -> Entry {
    Entry::of(&Caller { tenant: tenant.into(), user: "u".into(), ..Caller::local() }, action, "it")
}

async fn actions(store: &dyn Store, tenant: &str) -> Vec<String> {
    let filter = AuditFilter { tenant: tenant.into(), before: None, limit: 99 };
    store.audit(filter).await.unwrap().into_iter().map(|line| line.entry.action).collect()
}

/// A token lets in until it is revoked, which only its tenant can; each change of one is in the audit.
pub(super) async fn a_token_lets_in_until_it_is_revoked(store: &dyn Store) {
    store.keep_token(token("one", "a", None), asked("a", "token.create")).await.unwrap();
    let now = store.now().await.unwrap();
    let live = store.live_token("one").await.unwrap().unwrap();
    assert!(live.created_at <= now && live.created_at > Timestamp(0), "by the store's clock: {live:?}");
    assert_eq!(live, Token { created_at: live.created_at, ..token("one", "a", None) });
    assert_eq!(store.live_token("two").await.unwrap(), None);
    assert!(!store.revoke_token("b".into(), "one".into(), asked("b", "token.revoke")).await.unwrap());
    assert!(store.live_token("one").await.unwrap().is_some(), "another tenant's wish is nothing");
    for _ in 0..2 {
        assert!(store.revoke_token("a".into(), "one".into(), asked("a", "token.revoke")).await.unwrap());
        assert_eq!(store.live_token("one").await.unwrap(), None);
    }
    let listed = store.tokens("a".into()).await.unwrap();
    assert_eq!(listed.iter().map(|token| token.revoked_at.is_some()).collect::<Vec<_>>(), [true]);
    assert!(store.tokens("b".into()).await.unwrap().is_empty());
    assert_eq!(actions(store, "a").await, ["token.revoke", "token.revoke", "token.create"]);
    assert!(actions(store, "b").await.is_empty());
}

/// A token whose time is over lets nobody in, by the store's clock.
pub(super) async fn a_token_lets_in_until_its_time_is_over(store: &dyn Store) {
    let now = store.now().await.unwrap();
    let hour = 3_600_000;
    store.keep_token(token("later", "a", Some(now.plus_ms(hour))), asked("a", "token.create")).await.unwrap();
    store.keep_token(token("over", "a", Some(Timestamp(now.0 - 1))), asked("a", "token.create")).await.unwrap();
    assert_eq!(store.live_token("later").await.unwrap().unwrap().expires_at, Some(now.plus_ms(hour)));
    assert_eq!(store.live_token("over").await.unwrap(), None);
    assert_eq!(store.tokens("a".into()).await.unwrap().len(), 2, "it is listed all the same");
}

/// What is asked of a run and that it was asked are one write: what was not accepted was not asked, nor is it twice.
pub(super) async fn what_is_asked_of_a_run_is_in_the_audit(store: &dyn Store) {
    let run = submission(1, Some("k"));
    let run = Submission { asked: Some(asked("t", "run.start")), ..run };
    store.submit(run.clone()).await.unwrap();
    let again = Submission { spec: submission(2, None).spec, ..run.clone() };
    assert!(matches!(store.submit(again).await.unwrap(), Submitted::Existing(_)));
    let cancel = || Command::Cancel { by: "u".into() };
    store.post(run.spec.id, cancel(), Some(asked("t", "run.cancel"))).await.unwrap();
    store.post(run.spec.id, cancel(), None).await.unwrap();
    let nowhere = RunId(uuid::Uuid::from_u128(9));
    store.post(nowhere, cancel(), Some(asked("t", "run.cancel"))).await.unwrap();
    assert_eq!(actions(store, "t").await, ["run.cancel", "run.start"]);
    assert_eq!(store.inbox(&all_shards()).await.unwrap().len(), 3);
}

/// The audit is read newest first and page by page, each tenant's by itself, as it was written.
pub(super) async fn the_audit_is_read_page_by_page(store: &dyn Store) {
    let refused = Entry { refused: "a viewer may not".into(), ..asked("a", "three") };
    for entry in [asked("a", "one"), asked("b", "two"), refused.clone()] {
        store.note(entry).await.unwrap();
    }
    let page = async |before| store.audit(AuditFilter { tenant: "a".into(), before, limit: 1 }).await.unwrap();
    let newest = page(None).await;
    assert_eq!(newest.iter().map(|line| &line.entry).collect::<Vec<_>>(), [&refused]);
    let older = page(Some(newest[0].id)).await;
    assert_eq!(older.iter().map(|line| &line.entry).collect::<Vec<_>>(), [&asked("a", "one")]);
    assert!(older[0].at <= newest[0].at);
    assert!(page(Some(older[0].id)).await.is_empty());
}
