//! What to do with containers, decided without touching one: which to reuse, which to retire. Pure.

use qflow_model::{
    definition::Isolation,
    environment::{ContainerClass, EnvLock},
    ids::{Digest, RunId},
};
use qflow_proto::order::Order;

/// Attempts after which a container is replaced: bounds what leaks inside it.
pub const ATTEMPTS: u32 = 1_000;

/// Whose attempts may follow one another in a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Nobody's yet: warm.
    Nobody,
    /// One run's.
    Run(RunId),
    /// A workflow version's of one user.
    Shared {
        /// Whose.
        tenant: String,
        /// Who.
        user: String,
        /// The submission's files.
        source: Digest,
    },
    /// One attempt's: never reused.
    Once,
}

impl Owner {
    /// Who will own the container that an order runs in.
    pub fn of(order: &Order) -> Self {
        match order.isolation {
            Isolation::Run => Self::Run(order.key.run),
            Isolation::Node => Self::Once,
            Isolation::Shared => {
                Self::Shared { tenant: order.tenant.clone(), user: order.user.clone(), source: source(order) }
            }
        }
    }
}

/// Names the submission's files.
pub fn source(order: &Order) -> Digest {
    Digest::of_parts(order.files.iter().flat_map(|(path, text)| [path.as_bytes(), text.as_bytes()]))
}

/// Names what a template has imported: the submission, the file, the variables it saw.
pub fn template(order: &Order) -> String {
    let source = source(order);
    let env = order.env.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
    Digest::of_parts([source.0.as_slice(), order.file.as_bytes()].into_iter().chain(env)).to_string()
}

/// Whose an order is, in one text.
pub fn user(order: &Order) -> String {
    format!("{}/{}", order.tenant, order.user)
}

/// What a container must be like for an order.
pub fn class(order: &Order, lock: &EnvLock) -> ContainerClass {
    ContainerClass {
        environment: lock.digest(),
        resources: order.resources.clone(),
        secrets: order.secrets.keys().cloned().collect(),
    }
}

/// An idle container, as far as decisions need it.
#[derive(Clone, Debug)]
pub struct Idle {
    /// What it is like.
    pub class: ContainerClass,
    /// Whose it is.
    pub owner: Owner,
    /// The file its template has imported.
    pub loaded: Option<String>,
}

/// Where an attempt runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// In the idle container at this position.
    Reuse(usize),
    /// In a new one; first the idle one at this position leaves, where the bound is reached.
    Start {
        /// Who leaves.
        evict: Option<usize>,
    },
}

/// Whether a warm container can be made one of a class: memory, processors and pids are set anew, all else by a start alone.
pub fn becomes(warm: &ContainerClass, wanted: &ContainerClass) -> bool {
    warm.environment == wanted.environment
        && warm.resources.network == wanted.resources.network
        && warm.resources.tmp_bytes == wanted.resources.tmp_bytes
}

/// Chooses among idle containers, oldest first, for one before whom so many `others` wait for the same; `busy` containers are at work, and
/// `bound` may be there in all.
pub fn choose(
    idle: &[Idle],
    class: &ContainerClass,
    owner: &Owner,
    file: &str,
    others: usize,
    busy: usize,
    bound: usize,
) -> Choice {
    let is_its = |i: &Idle| *owner != Owner::Once && i.owner == *owner && i.class == *class;
    let is_warm = |i: &Idle| i.owner == Owner::Nobody && becomes(&i.class, class);
    let takes = |i: &Idle| is_its(i) || is_warm(i);
    let position = |test: &dyn Fn(&Idle) -> bool| idle.iter().position(test);
    let best = || {
        let loaded = position(&|i| is_its(i) && i.loaded.as_deref() == Some(file));
        loaded.or_else(|| position(&is_its)).or_else(|| position(&is_warm))
    };
    // What others wait for longer is theirs, and is not made to leave either.
    let left = idle.iter().filter(|i| takes(i)).count() > others;
    if let Some(at) = left.then(best).flatten() {
        return Choice::Reuse(at);
    }
    let is_full = busy + idle.len() >= bound;
    Choice::Start { evict: is_full.then(|| position(&|i| !takes(i))).flatten() }
}

/// Whether a container goes on after an attempt: it answered, has attempts left, and somebody may use it.
pub fn keep(owner: &Owner, attempts: u32, healthy: bool) -> bool {
    healthy && attempts < ATTEMPTS && *owner != Owner::Once
}

/// Whether a container leaves when a run has ended.
pub fn leaves_with(owner: &Owner, run: RunId) -> bool {
    *owner == Owner::Run(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(network: bool) -> ContainerClass {
        let resources = qflow_model::definition::Resources { network, ..Default::default() };
        ContainerClass { environment: Digest::of(b"e"), resources, secrets: vec![] }
    }
    fn run(n: u128) -> Owner {
        Owner::Run(RunId(uuid::Uuid::from_u128(n)))
    }
    fn idle(owner: Owner, file: &str) -> Idle {
        Idle { class: class(false), owner, loaded: Some(file.into()) }
    }

    #[test]
    fn a_run_reuses_its_own_container_and_prefers_the_one_that_loaded_the_file() {
        let there = [idle(run(2), "a.py"), idle(run(1), "b.py"), idle(run(1), "a.py")];
        assert_eq!(choose(&there, &class(false), &run(1), "a.py", 0, 0, 9), Choice::Reuse(2));
        assert_eq!(choose(&there, &class(false), &run(1), "c.py", 0, 0, 9), Choice::Reuse(1));
        assert_eq!(choose(&there, &class(true), &run(1), "a.py", 0, 0, 9), Choice::Start { evict: None });
    }

    #[test]
    fn a_container_is_never_taken_from_another_run() {
        let there = [idle(run(2), "a.py")];
        assert_eq!(choose(&there, &class(false), &run(1), "a.py", 0, 0, 9), Choice::Start { evict: None });
        assert_eq!(choose(&there, &class(false), &run(1), "a.py", 0, 1, 2), Choice::Start { evict: Some(0) });
    }

    #[test]
    fn what_others_wait_for_is_theirs_and_does_not_leave_for_who_came_later() {
        let there = [idle(run(1), "a.py"), idle(run(2), "a.py")];
        let choose = |others, bound| choose(&there, &class(false), &run(1), "a.py", others, 1, bound);
        assert_eq!((choose(0, 9), choose(1, 9)), (Choice::Reuse(0), Choice::Start { evict: None }));
        assert_eq!(choose(1, 3), Choice::Start { evict: Some(1) }, "the bound holds for who waits in line too");
    }

    #[test]
    fn isolation_by_node_takes_a_warm_container_and_never_gives_it_back() {
        let there = [idle(Owner::Once, "a.py"), idle(Owner::Nobody, "")];
        assert_eq!(choose(&there, &class(false), &Owner::Once, "a.py", 0, 0, 9), Choice::Reuse(1));
        assert!(!keep(&Owner::Once, 1, true));
    }

    #[test]
    fn a_warm_container_takes_new_limits_but_no_network_and_no_other_folder_size() {
        let warm = [idle(Owner::Nobody, "")];
        let with = |change: &dyn Fn(&mut qflow_model::definition::Resources)| {
            let mut class = class(false);
            change(&mut class.resources);
            choose(&warm, &class, &run(1), "a.py", 0, 0, 9)
        };
        assert_eq!(with(&|r| (r.memory_bytes, r.cpu_millis, r.pids) = (1 << 20, 1, 1)), Choice::Reuse(0));
        assert_eq!(with(&|r| r.network = true), Choice::Start { evict: None });
        assert_eq!(with(&|r| r.tmp_bytes = 1), Choice::Start { evict: None });
        let other = ContainerClass { environment: Digest::of(b"f"), ..class(false) };
        assert_eq!(choose(&warm, &other, &run(1), "a.py", 0, 0, 9), Choice::Start { evict: None });
    }

    #[test]
    fn a_container_retires_when_it_is_worn_out_or_does_not_answer() {
        assert!(keep(&run(1), 1, true));
        assert!(!keep(&run(1), ATTEMPTS, true));
        assert!(!keep(&run(1), 1, false));
    }
}
