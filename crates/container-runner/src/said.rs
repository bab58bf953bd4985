//! What was last said of each attempt that is under way: whoever takes its run over has not heard it.

use std::collections::BTreeMap;

use qflow_model::ids::{AttemptKey, Shard};

use crate::run::Word;

/// Last words by attempt.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeMap<AttemptKey, Last>);

#[derive(Debug, Default)]
struct Last {
    started: Option<Word>,
    doing: Option<Word>,
}

impl Said {
    /// Notes a word, where it says how things stand.
    pub(crate) fn note(&mut self, key: AttemptKey, word: &Word) {
        match word {
            // What was said of its environment and container is over.
            Word::Started { .. } => {
                self.0.insert(key, Last { started: Some(word.clone()), doing: None });
            }
            Word::Doing { .. } => self.0.entry(key).or_default().doing = Some(word.clone()),
            Word::Ended => drop(self.0.remove(&key)),
            Word::Lines { .. } => {}
        }
    }

    /// What there is to say again of attempts of a shard.
    pub(crate) fn of(&self, shard: Shard) -> Vec<(AttemptKey, Word)> {
        let of_it = self.0.iter().filter(|(key, _)| key.run.shard() == shard);
        of_it
            .flat_map(|(key, last)| [&last.started, &last.doing].into_iter().flatten().map(|word| (*key, word.clone())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::ids::{NodeKey, RunId, StepIx};

    #[test]
    fn only_how_an_attempt_stands_now_is_said_again() {
        let (mut said, run) = (Said::default(), RunId(uuid::Uuid::from_u128(3)));
        let key = AttemptKey { run, node: NodeKey::root(StepIx(0), None), attempt: 1 };
        let doing = |doing: &str| Word::Doing { doing: doing.to_owned(), fraction: -1.0 };
        said.note(key, &doing("environment: installing 5 packages"));
        assert_eq!(said.of(run.shard()).len(), 1);
        assert_eq!(said.of(Shard(9)).len(), 0, "another shard's");
        said.note(key, &Word::Started { container_id: "c".into() });
        said.note(key, &doing("row 3 of 9"));
        said.note(key, &doing("row 4 of 9"));
        let again: Vec<Word> = said.of(run.shard()).into_iter().map(|(_, word)| word).collect();
        assert!(
            matches!(&again[..], [Word::Started { .. }, Word::Doing { doing, .. }] if doing == "row 4 of 9"),
            "{again:?}"
        );
        said.note(key, &Word::Ended);
        assert!(said.of(run.shard()).is_empty());
    }
}
