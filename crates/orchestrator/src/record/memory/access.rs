//! Tokens and the audit in memory.

use async_trait::async_trait;
use qflow_model::ids::{RunId, Timestamp};

use super::{
    super::{
        Command, Result,
        access::{Access, AuditFilter, Audited, Entry, Token},
    },
    Memory, Tables,
};

/// The tables.
#[derive(Default)]
pub(super) struct Kept {
    tokens: Vec<Token>,
    audit: Vec<Audited>,
}

impl Kept {
    pub(super) fn note(&mut self, entry: Entry, at: Timestamp) {
        self.audit.push(Audited { id: self.audit.len() as i64 + 1, at, entry });
    }
}

impl Tables {
    /// A command, and that somebody asked for it; neither where the run is gone.
    pub(super) fn ask(&mut self, run: RunId, command: Command, asked: Option<Entry>, now: Timestamp) -> i64 {
        if !self.runs.contains_key(&run) {
            return 0;
        }
        asked.into_iter().for_each(|asked| self.access.note(asked, now));
        self.post(run, command)
    }
}

#[async_trait]
impl Access for Memory {
    async fn keep_token(&self, token: Token, asked: Entry) -> Result<()> {
        let (mut tables, now) = (self.tables(), self.clock.now());
        tables.access.tokens.push(Token { created_at: now, ..token });
        tables.access.note(asked, now);
        Ok(())
    }

    async fn live_token(&self, id: &str) -> Result<Option<Token>> {
        let now = self.clock.now();
        let lives = |token: &&Token| token.revoked_at.is_none() && token.expires_at.is_none_or(|at| at > now);
        Ok(self.tables().access.tokens.iter().filter(lives).find(|token| token.id == id).cloned())
    }

    async fn tokens(&self, tenant: String) -> Result<Vec<Token>> {
        let tables = self.tables();
        Ok(tables.access.tokens.iter().rev().filter(|token| token.tenant == tenant).cloned().collect())
    }

    async fn revoke_token(&self, tenant: String, id: String, asked: Entry) -> Result<bool> {
        let (mut tables, now) = (self.tables(), self.clock.now());
        let Some(token) = tables.access.tokens.iter_mut().find(|token| token.tenant == tenant && token.id == id) else {
            return Ok(false);
        };
        token.revoked_at.get_or_insert(now);
        tables.access.note(asked, now);
        Ok(true)
    }

    async fn note(&self, asked: Entry) -> Result<()> {
        let now = self.clock.now();
        self.tables().access.note(asked, now);
        Ok(())
    }

    async fn audit(&self, filter: AuditFilter) -> Result<Vec<Audited>> {
        let tables = self.tables();
        let wanted =
            |line: &&Audited| line.entry.tenant == filter.tenant && filter.before.is_none_or(|before| line.id < before);
        Ok(tables.access.audit.iter().rev().filter(wanted).take(filter.limit as usize).cloned().collect())
    }
}
