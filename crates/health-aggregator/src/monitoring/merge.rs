//! The runs that are under way, put together from what orchestrators say of them in any order, more than once and not always.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use qflow_model::{
    ids::{RunId, Shard, Timestamp},
    status::RunStatus,
};

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Its id.
    pub run: RunId,
    /// Its workflow's name.
    pub workflow: String,
    /// Whose it is.
    pub user: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Its trace.
    pub trace_id: String,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its first node was ready.
    pub started_at: Option<Timestamp>,
    /// Node runs that completed, and all that are known.
    pub counts: (u32, u32),
    /// Node runs that wait for a runner.
    pub queued: u32,
    /// Since when something ready waits without being served.
    pub queued_since: Option<Timestamp>,
}

/// Which of two words is newer: the epoch of the shard's owner first, then the owner's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// A shard's next owner has a greater one.
    pub epoch: u64,
    /// Grows with each telling.
    pub sequence: u64,
}

/// What is said of a shard or a run, since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Since when it holds.
    pub version: Version,
    /// What.
    pub what: What,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// These are all active runs of the shard.
    Shard(Shard, Vec<Arc<Active>>),
    /// The run stands so.
    Run(Arc<Active>),
    /// The run has ended.
    Ended(RunId),
}

/// What is known of one shard.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Of the newest word about the shard as a whole: what is older says nothing more.
    whole: Version,
    /// Runs with the version of the newest word about each; nothing where that is its end.
    runs: BTreeMap<RunId, (Version, Option<Arc<Active>>)>,
}

/// All runs that are under way, as far as was heard.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    shards: BTreeMap<Shard, Known>,
}

impl Roster {
    /// Takes in a word; whether anything is otherwise now.
    pub fn hear(&mut self, Word { version, what }: Word) -> bool {
        match what {
            What::Shard(shard, runs) => self.shards.entry(shard).or_default().whole(version, runs),
            What::Run(run) => self.shards.entry(run.run.shard()).or_default().one(version, run.run, Some(run)),
            What::Ended(run) => self.shards.entry(run.shard()).or_default().one(version, run, None),
        }
    }

    /// The runs, oldest first.
    pub fn active(&self) -> Vec<Arc<Active>> {
        let all = self.shards.values().flat_map(|known| known.runs.values());
        let mut active: Vec<Arc<Active>> = all.filter_map(|(_, run)| run.clone()).collect();
        active.sort_by_key(|run| (run.created_at, run.run));
        active
    }
}

impl Known {
    fn one(&mut self, version: Version, id: RunId, run: Option<Arc<Active>>) -> bool {
        if version <= self.whole {
            return false;
        }
        match self.runs.entry(id) {
            Entry::Vacant(place) => {
                let is_news = run.is_some();
                // An end is kept too: an older word about the run may come after it.
                place.insert((version, run));
                is_news
            }
            Entry::Occupied(mut known) => {
                let (before, was) = known.get();
                if *before >= version {
                    return false;
                }
                let is_news = *was != run;
                known.insert((version, run));
                is_news
            }
        }
    }

    fn whole(&mut self, version: Version, runs: Vec<Arc<Active>>) -> bool {
        if version <= self.whole {
            return false;
        }
        self.whole = version;
        let named: BTreeSet<RunId> = runs.iter().map(|run| run.run).collect();
        let mut is_news = false;
        self.runs.retain(|id, (at, run)| {
            let stays = *at > version || named.contains(id);
            is_news |= !stays && run.is_some();
            stays
        });
        for run in runs {
            match self.runs.entry(run.run) {
                Entry::Occupied(known) if known.get().0 > version => {}
                Entry::Occupied(mut known) => {
                    is_news |= known.get().1.as_ref() != Some(&run);
                    known.insert((version, Some(run)));
                }
                Entry::Vacant(place) => {
                    is_news = true;
                    place.insert((version, Some(run)));
                }
            }
        }
        is_news
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn active(id: u128, done: u32) -> Arc<Active> {
        Arc::new(Active {
            run: RunId(uuid::Uuid::from_u128(id)),
            workflow: "daily".to_owned(),
            user: "ada".to_owned(),
            status: RunStatus::Running,
            trace_id: String::new(),
            created_at: Timestamp(id as i64),
            started_at: Some(Timestamp(id as i64)),
            counts: (done, 10),
            queued: 0,
            queued_since: None,
        })
    }

    /// What happens to runs of a shard, and when it is told.
    #[derive(Clone, Debug)]
    enum Step {
        /// A run begins or goes on: it is told.
        Runs(u8, u32),
        /// A run ends: it is told.
        Ends(u8),
        /// A run begins or goes on, and nobody hears of it.
        Silent(u8, u32),
        /// A run ends, and nobody hears of it.
        Lost(u8),
        /// The whole is told.
        Whole,
        /// Another replica takes the shard over, and tells the whole.
        Moves,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let one = prop_oneof![
            4 => (0..6_u8, 0..10_u32).prop_map(|(run, done)| Step::Runs(run, done)),
            2 => (0..6_u8).prop_map(Step::Ends),
            1 => (0..6_u8, 0..10_u32).prop_map(|(run, done)| Step::Silent(run, done)),
            1 => (0..6_u8).prop_map(Step::Lost),
            1 => Just(Step::Whole),
            1 => Just(Step::Moves),
        ];
        proptest::collection::vec(one, 0..40)
    }

    /// What really is, and all that is said on the way there; the whole is said last.
    fn told(steps: &[Step]) -> (BTreeMap<RunId, Arc<Active>>, Vec<Word>) {
        let (mut truth, mut words, mut version) = (BTreeMap::new(), Vec::new(), Version { epoch: 1, sequence: 0 });
        // Runs of the same shard: ids that differ by the number of shards in their last byte.
        let run = |id: u8, done| active(u128::from(id) << 8, done);
        let whole = |truth: &BTreeMap<RunId, Arc<Active>>| What::Shard(Shard(0), truth.values().cloned().collect());
        for step in steps {
            version.sequence += 1;
            let what = match step {
                Step::Runs(id, done) | Step::Silent(id, done) => {
                    let run = run(*id, *done);
                    truth.insert(run.run, Arc::clone(&run));
                    matches!(step, Step::Runs(..)).then(|| What::Run(run))
                }
                Step::Ends(id) | Step::Lost(id) => {
                    let id = run(*id, 0).run;
                    truth.remove(&id);
                    matches!(step, Step::Ends(_)).then_some(What::Ended(id))
                }
                Step::Whole => Some(whole(&truth)),
                Step::Moves => {
                    version = Version { epoch: version.epoch + 1, sequence: 1 };
                    Some(whole(&truth))
                }
            };
            words.extend(what.map(|what| Word { version, what }));
        }
        version.sequence += 1;
        words.push(Word { version, what: whole(&truth) });
        (truth, words)
    }

    fn heard(words: &[Word]) -> Vec<Arc<Active>> {
        let mut roster = Roster::default();
        for word in words {
            roster.hear(word.clone());
        }
        roster.active()
    }

    proptest! {
        #[test]
        fn any_order_of_words_some_twice_ends_in_the_truth(
            steps in steps(),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 0..80),
            seed in any::<u64>(),
        ) {
            let (truth, words) = told(&steps);
            // Some are heard twice, and all in an order of chance.
            let twice = order.iter().map(|index| words[index.index(words.len())].clone());
            let mut all: Vec<Word> = words.iter().cloned().chain(twice).collect();
            let mut state = seed | 1;
            for at in (1..all.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                all.swap(at, (state >> 33) as usize % (at + 1));
            }
            prop_assert_eq!(heard(&all), truth.into_values().collect::<Vec<_>>());
        }

        #[test]
        fn whatever_is_lost_the_last_whole_mends_it(steps in steps(), kept in proptest::collection::vec(any::<bool>(), 41)) {
            let (truth, words) = told(&steps);
            let last = words.len() - 1;
            let heard_of = words.iter().enumerate().filter(|(at, _)| *at == last || kept[*at]).map(|(_, word)| word.clone());
            prop_assert_eq!(heard(&heard_of.collect::<Vec<_>>()), truth.into_values().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_an_owner_of_before_says_counts_no_more() {
        let mut roster = Roster::default();
        let word = |epoch, sequence, what| Word { version: Version { epoch, sequence }, what };
        assert!(roster.hear(word(1, 5, What::Run(active(256, 1)))));
        assert!(roster.hear(word(2, 1, What::Shard(Shard(0), vec![active(256, 3)]))));
        assert!(!roster.hear(word(1, 99, What::Run(active(256, 2)))), "it does not know that it is fenced");
        assert!(!roster.hear(word(1, 99, What::Ended(active(256, 0).run))));
        assert_eq!(roster.active(), [active(256, 3)]);
        assert!(roster.hear(word(2, 2, What::Ended(active(256, 0).run))));
        assert!(!roster.hear(word(2, 1, What::Run(active(256, 3)))), "a late word");
        assert_eq!(roster.active(), []);
    }
}
