//! Who waits for a container: nobody who came later takes what somebody else waits for. One that is passed over again and again would
//! have another container started, in the middle of what is in a hurry.

use std::{collections::VecDeque, sync::Arc};

use qflow_model::environment::ContainerClass;

use super::Pool;
use crate::lifecycle::Owner;

/// Attempts that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Line {
    last: u64,
    waiting: VecDeque<(u64, ContainerClass, Owner)>,
}

impl Line {
    fn join(&mut self, class: &ContainerClass, owner: &Owner) -> u64 {
        self.last += 1;
        self.waiting.push_back((self.last, class.clone(), owner.clone()));
        self.last
    }

    /// Whether it still stood there.
    fn leave(&mut self, number: u64) -> bool {
        let at = self.waiting.iter().position(|(waiting, ..)| *waiting == number);
        at.is_some_and(|at| self.waiting.remove(at).is_some())
    }

    /// How many came before who need the same.
    pub(super) fn before(&self, number: u64, class: &ContainerClass, owner: &Owner) -> usize {
        let before = self.waiting.iter().take_while(|(waiting, ..)| *waiting < number);
        before.filter(|(_, of, whose)| whose == owner && of == class).count()
    }
}

/// A place in the line, until it is left.
pub(super) struct Place {
    pool: Arc<Pool>,
    pub(super) number: u64,
}

impl Place {
    /// Makes way: it has a container, or needs none.
    pub(super) fn leave(&self) {
        if self.pool.inside().line.leave(self.number) {
            self.pool.arrivals.send_modify(|count| *count += 1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Pool {
    /// Goes to the end of the line.
    pub(super) fn line_up(self: &Arc<Self>, class: &ContainerClass, owner: &Owner) -> Place {
        let number = self.inside().line.join(class, owner);
        Place { pool: Arc::clone(self), number }
    }
}

#[cfg(test)]
mod tests {
    use qflow_model::{definition::Resources, ids::Digest};

    use super::*;

    #[test]
    fn only_who_came_before_and_needs_the_same_comes_first() {
        let class = |name: &[u8]| ContainerClass {
            environment: Digest::of(name),
            resources: Resources::default(),
            secrets: Vec::new(),
        };
        let (one, other, mut line) = (class(b"one"), class(b"other"), Line::default());
        let first = line.join(&one, &Owner::Once);
        line.join(&other, &Owner::Once);
        line.join(&one, &Owner::Nobody);
        let last = line.join(&one, &Owner::Once);
        assert_eq!((line.before(first, &one, &Owner::Once), line.before(last, &one, &Owner::Once)), (0, 1));
        assert!(line.leave(first) && !line.leave(first));
        assert_eq!(line.before(last, &one, &Owner::Once), 0);
    }
}
