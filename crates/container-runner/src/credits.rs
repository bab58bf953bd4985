//! How a runner's free slots are shared among the orchestrators that it takes work from. Pure.

use std::collections::{BTreeMap, BTreeSet};

use qflow_model::ids::AttemptKey;

/// Slots, and who may fill them: what is outstanding over all streams never exceeds what is free.
#[derive(Debug)]
pub struct Credits {
    slots: u32,
    running: u32,
    /// Attempts that were here before any stream was: nobody spent a credit on them.
    adopted: BTreeSet<AttemptKey>,
    streams: BTreeMap<String, Account>,
}

/// One stream's.
#[derive(Debug)]
struct Account {
    outstanding: u32,
    /// Whether it has work for more; so until it gives some back.
    wants: bool,
}

impl Credits {
    /// All slots but those of attempts that are at work already.
    pub fn new(slots: u32, adopted: impl IntoIterator<Item = AttemptKey>) -> Self {
        Self { slots, running: 0, adopted: adopted.into_iter().collect(), streams: BTreeMap::new() }
    }

    /// A stream has opened, or opened anew: it has none.
    pub fn open(&mut self, stream: &str) {
        self.streams.insert(stream.to_owned(), Account { outstanding: 0, wants: true });
    }

    /// A stream has ended; what it had is free.
    pub fn close(&mut self, stream: &str) {
        self.streams.remove(stream);
    }

    /// A stream spent one: an attempt begins.
    pub fn spent(&mut self, stream: &str) {
        if let Some(account) = self.streams.get_mut(stream) {
            account.outstanding = account.outstanding.saturating_sub(1);
        }
        self.running += 1;
    }

    /// An attempt that was begun for a credit has ended.
    pub fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// An attempt that was here before has ended; whether it was one.
    pub fn left(&mut self, attempt: AttemptKey) -> bool {
        self.adopted.remove(&attempt)
    }

    /// A stream gives some back: it has no work for them now.
    pub fn returned(&mut self, stream: &str, count: u32) {
        if let Some(account) = self.streams.get_mut(stream) {
            account.outstanding = account.outstanding.saturating_sub(count);
            account.wants = false;
        }
    }

    /// A stream has work, and no credit for it.
    pub fn wants(&mut self, stream: &str) {
        if let Some(account) = self.streams.get_mut(stream) {
            account.wants = true;
        }
    }

    /// What to give to whom now: all that is free, one by one to who wants some and has fewest.
    pub fn deal(&mut self) -> BTreeMap<String, u32> {
        let outstanding: u32 = self.streams.values().map(|account| account.outstanding).sum();
        let taken = outstanding + self.running + self.adopted.len() as u32;
        let mut dealt = BTreeMap::new();
        for _ in taken..self.slots {
            let wanting = self.streams.iter_mut().filter(|(_, account)| account.wants);
            let Some((stream, account)) = wanting.min_by_key(|(_, account)| account.outstanding) else { break };
            account.outstanding += 1;
            *dealt.entry(stream.clone()).or_default() += 1;
        }
        dealt
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use qflow_model::ids::{NodeKey, RunId, StepIx};

    use super::*;

    fn dealt(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
        pairs.iter().map(|(stream, count)| ((*stream).to_owned(), *count)).collect()
    }

    #[test]
    fn the_only_stream_has_all_and_a_second_one_its_half_as_attempts_end() {
        let mut credits = Credits::new(4, []);
        credits.open("a");
        assert_eq!(credits.deal(), dealt(&[("a", 4)]));
        (0..3).for_each(|_| credits.spent("a"));
        credits.open("b");
        assert_eq!(credits.deal(), dealt(&[]), "one is with a, three are at work");
        credits.ended();
        assert_eq!(credits.deal(), dealt(&[("b", 1)]));
        credits.ended();
        credits.ended();
        assert_eq!(credits.deal(), dealt(&[("a", 1), ("b", 1)]));
    }

    #[test]
    fn what_one_gives_back_goes_to_who_wants_it() {
        let mut credits = Credits::new(4, []);
        credits.open("a");
        credits.open("b");
        assert_eq!(credits.deal(), dealt(&[("a", 2), ("b", 2)]));
        credits.returned("a", 2);
        assert_eq!(credits.deal(), dealt(&[("b", 2)]));
        credits.returned("b", 4);
        assert_eq!(credits.deal(), dealt(&[]), "nobody wants any");
        credits.wants("a");
        assert_eq!(credits.deal(), dealt(&[("a", 4)]));
    }

    #[test]
    fn attempts_that_were_here_before_take_slots_until_they_end() {
        let key = AttemptKey { run: RunId(uuid::Uuid::nil()), node: NodeKey::root(StepIx(0), None), attempt: 1 };
        let mut credits = Credits::new(2, [key]);
        credits.open("a");
        assert_eq!(credits.deal(), dealt(&[("a", 1)]));
        assert!(credits.left(key));
        assert!(!credits.left(key), "once");
        assert_eq!(credits.deal(), dealt(&[("a", 1)]));
    }

    #[test]
    fn a_stream_that_opens_anew_has_lost_what_it_had() {
        let mut credits = Credits::new(3, []);
        credits.open("a");
        credits.deal();
        credits.spent("a");
        credits.close("a");
        credits.open("a");
        assert_eq!(credits.deal(), dealt(&[("a", 2)]));
    }

    proptest! {
        #[test]
        fn never_more_is_outstanding_than_is_free(events in prop::collection::vec((0..6_u8, 0..3_usize), 0..200)) {
            let (mut credits, names) = (Credits::new(5, []), ["a", "b", "c"]);
            for (event, of) in events {
                let stream = names[of];
                let has = credits.streams.get(stream).is_some_and(|account| account.outstanding > 0);
                match event {
                    0 => credits.open(stream),
                    1 => credits.close(stream),
                    2 if has => credits.spent(stream),
                    3 => credits.ended(),
                    4 if has => credits.returned(stream, 1),
                    5 => credits.wants(stream),
                    _ => {}
                }
                credits.deal();
                let outstanding: u32 = credits.streams.values().map(|account| account.outstanding).sum();
                prop_assert!(outstanding + credits.running <= 5);
                let wanted = credits.streams.values().any(|account| account.wants);
                prop_assert!(!wanted || outstanding + credits.running == 5, "nothing lies idle that somebody wants");
            }
        }
    }
}
