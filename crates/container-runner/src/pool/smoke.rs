//! Whether containers of a Python come up: noted of every start, and tried where there was none for long.

use std::{collections::BTreeMap, sync::Arc};

use qflow_model::{definition::PythonVersion, environment::EnvLock};
use tokio::time::Instant;

use super::{Pool, RETIRED, warm::default_class};
use crate::runtime;

/// The last start of a container of a version.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// When it had come up, or had not.
    pub at: Instant,
    /// Why it had not, as a code.
    pub error: Option<&'static str>,
}

impl Pool {
    /// The last start of each version.
    pub fn tried(&self) -> BTreeMap<PythonVersion, Tried> {
        self.inside().tried.clone()
    }

    pub(super) fn note_start(&self, python: PythonVersion, error: Option<&runtime::Error>) {
        let tried = Tried { at: Instant::now(), error: error.map(runtime::Error::code) };
        self.inside().tried.insert(python, tried);
    }

    /// Starts a container of an environment and lets it go once its harness has said hello.
    pub async fn smoke(self: &Arc<Self>, lock: &EnvLock) -> Result<(), runtime::Error> {
        let has_room = {
            let inside = self.inside();
            !inside.closed && inside.idle.len() + inside.busy.len() + inside.coming.len() < self.bound
        };
        // A runner that is full starts containers of its own.
        if has_room {
            let container = self.start(default_class(lock.digest()), lock).await?;
            self.let_go(container, RETIRED);
        }
        Ok(())
    }
}
