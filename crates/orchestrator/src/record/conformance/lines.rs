//! What every store promises of lines that user code wrote.

use super::*;

fn line(node_id: &str, attempt: u32, sequence: u64) -> StoredLine {
    StoredLine {
        node_id: node_id.into(),
        attempt,
        sequence,
        at: Timestamp(1),
        stream: "stdout".into(),
        text: format!("line {sequence}\0"),
        // The second was printed, the others say more.
        fields: (sequence != 2).then(|| ("rows".to_owned(), json!(sequence))).into_iter().collect(),
    }
}

/// A line that arrives twice is there once.
pub(super) async fn lines_are_kept_once_and_in_order(store: &dyn Store) {
    let (run, line) = (submission(1, None), |sequence| line("a[1]", 1, sequence));
    store.submit(run.clone()).await.unwrap();
    store.append_lines(run.spec.id, vec![line(1), line(2)]).await.unwrap();
    store.append_lines(run.spec.id, vec![line(2), line(3)]).await.unwrap();
    let (lines, last) = store.lines(run.spec.id, 0).await.unwrap();
    assert_eq!(lines, [line(1), line(2), line(3)]);
    assert_eq!(store.lines(run.spec.id, last).await.unwrap(), (vec![], last));
}

/// Lines of attempts that lie elsewhere are removed, no others, and a reader's position stays what it is.
pub(super) async fn lines_that_lie_elsewhere_are_removed(store: &dyn Store) {
    for id in [1, 2] {
        let run = submission(id, None);
        store.submit(run.clone()).await.unwrap();
        let lines = [("a", 1), ("a", 2), ("b", 1)].map(|(node, attempt)| line(node, attempt, 0));
        store.append_lines(run.spec.id, lines.into()).await.unwrap();
    }
    let id = |id| submission(id, None).spec.id;
    let (_, last) = store.lines(id(1), 0).await.unwrap();
    store.drop_lines(id(1), vec![("a".into(), 1), ("b".into(), 1), ("c".into(), 1)]).await.unwrap();
    assert_eq!(store.lines(id(1), 0).await.unwrap().0, [line("a", 2, 0)]);
    assert_eq!(store.lines(id(2), 0).await.unwrap().0.len(), 3, "another run's stay");
    store.append_lines(id(1), vec![line("a", 2, 1)]).await.unwrap();
    assert_eq!(store.lines(id(1), last).await.unwrap().0, [line("a", 2, 1)]);
}
