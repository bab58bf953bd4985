//! Who waits for which container.

use qflow_model::definition::Resources;

use super::*;

#[test]
fn an_attempt_waits_only_for_what_can_be_its_own() {
    let class = |network| ContainerClass {
        environment: Digest::of(b"e"),
        resources: Resources { network, ..Resources::default() },
        secrets: vec![],
    };
    let run = RunId(uuid::Uuid::from_u128(1));
    let (id, python) = ("c".to_owned(), "3.12".to_owned());
    let brief = Brief {
        id,
        python,
        status: "running",
        run: Some(run),
        attempt: None,
        cpu_millis: 1000,
        memory_bytes: 1,
        started_at: Timestamp(0),
    };
    let mut inside = Inside::default();
    inside.busy.insert("c".to_owned(), Busy { brief, class: class(false) });
    assert!(inside.works_for(&Owner::Run(run), &class(false)));
    assert!(!inside.works_for(&Owner::Run(run), &class(true)));
    assert!(!inside.works_for(&Owner::Once, &class(false)));
}
