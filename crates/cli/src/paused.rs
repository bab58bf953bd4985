//! What whoever follows a run is told when it comes to stand still, and when it goes on.

use qflow_model::status::RunStatus;

use crate::{render::printable, submit::Run};

/// Why the run stood still when it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Paused(Option<String>);

impl Paused {
    /// What to tell after a look: that it stands still, since when, why and what has it go on, or that it goes on; nothing where that is known.
    pub(crate) fn see(&mut self, run: &Run) -> Option<String> {
        let now = (run.status == RunStatus::Paused).then(|| run.reason.clone());
        let before = std::mem::replace(&mut self.0, now);
        if self.0 == before {
            return None;
        }
        let id = printable(&run.run_id);
        match &self.0 {
            Some(reason) => {
                let since = run.paused_at.as_deref().map_or_else(String::new, |at| format!(" since {at}"));
                Some(format!("run {id} is paused{since}: {}", printable(reason)))
            }
            None => (!run.status.is_terminal()).then(|| format!("run {id} goes on")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::run;

    #[test]
    fn a_run_that_stands_still_and_goes_on_is_told_once_each() {
        let running = run(Vec::new());
        let paused = |reason: &str| Run {
            status: RunStatus::Paused,
            reason: reason.to_owned(),
            paused_at: Some("2026-11-26T10:00:00Z".to_owned()),
            ..running.clone()
        };
        let asked = paused("paused by ada; it goes on with: qflow runs resume r");
        let mut seen = Paused::default();
        assert_eq!(seen.see(&running), None);
        let told = seen.see(&asked);
        assert_eq!(
            told.as_deref(),
            Some("run r is paused since 2026-11-26T10:00:00Z: paused by ada; it goes on with: qflow runs resume r")
        );
        assert_eq!(seen.see(&asked), None, "it is told once");
        assert!(seen.see(&paused("needs_attention: `charge`")).is_some(), "another reason is news");
        assert_eq!(seen.see(&running).as_deref(), Some("run r goes on"));
        assert_eq!(seen.see(&running), None);
        seen.see(&asked);
        assert_eq!(seen.see(&Run { status: RunStatus::Cancelled, ..running }), None, "its end is told by others");
    }
}
