//! Calls of workflows: frames, what goes into them and comes out, and what their bounds are.

mod settled;

use super::*;

pub(super) fn call(workflow: &str, arguments: Vec<(&str, Expr)>) -> Step {
    Step { kind: StepKind::Workflow { workflow: workflow.into() }, ..step(workflow, arguments) }
}

pub(super) fn each(over: &str, step: Step) -> Step {
    Step { over: vec![over.into()], ..step }
}

fn settled(step: Step) -> Step {
    Step { settled: true, ..step }
}

fn param(name: &str) -> Expr {
    Expr::Param { name: name.into(), path: vec![] }
}

fn part(step: u32, path: Vec<Segment>) -> Expr {
    Expr::Result { step: StepIx(step), path }
}

fn key(name: &str) -> Segment {
    Segment::Key(name.into())
}

fn field(name: &str) -> Segment {
    Segment::Field(name.into())
}

fn takes(name: &str, default: Option<serde_json::Value>) -> Param {
    let default = default.map(ParamDefault::Value);
    Param { name: name.into(), ty: TypeText::any(), default, place: Place::default() }
}

pub(super) fn nodes(names: &[&str]) -> Vec<NodeDef> {
    names.iter().map(|name| node(name, |_| ())).collect()
}

/// `def one(x): r = a(x); return b(r)`
pub(super) fn one(change: impl FnOnce(&mut WorkflowDef)) -> WorkflowDef {
    workflow("one", vec![step("a", vec![("x", param("x"))]), step("b", vec![("x", of(0))])], vec![], |w| {
        w.params = vec![takes("x", None)];
        change(w);
    })
}

fn status(state: &RunState, id: &str) -> NodeStatus {
    state.node(state.find(id).unwrap_or_else(|| panic!("{id} is there"))).unwrap().status
}

pub(super) fn completes(state: RunState, id: &str, text: &str, answers: Vec<Answer>) -> RunState {
    let node = state.find(id).filter(|node| state.ready().any(|ready| ready == *node));
    let node = node.or_else(|| state.ready().find(|key| state.node_id(*key) == id));
    let node = node.unwrap_or_else(|| panic!("{id} is not ready, but {:?}", ids(&state)));
    let (state, _) = state.step(Input::Lease { node, runner: "r".into() }, NOW).unwrap();
    let attempt = AttemptKey { run: state.spec.id, node, attempt: state.node(node).unwrap().attempt };
    end(state, attempt, value(text, answers)).0
}

fn fails(state: RunState, id: &str, error: &str) -> RunState {
    let node = state.ready().find(|key| state.node_id(*key) == id).unwrap_or_else(|| panic!("{id}: {:?}", ids(&state)));
    let (state, _) = state.step(Input::Lease { node, runner: "r".into() }, NOW).unwrap();
    let attempt = AttemptKey { run: state.spec.id, node, attempt: state.node(node).unwrap().attempt };
    end(state, attempt, failure(error)).0
}

pub(super) fn len(len: u64) -> Vec<Answer> {
    vec![Answer { len: Some(len), ..Answer::default() }]
}

fn again(state: &RunState) -> RunState {
    let rows = state.nodes().map(|(key, run)| (key, run.clone())).collect();
    RunState::restore(state.spec.clone(), state.plan.clone(), state.head.clone(), rows)
}

fn argument(state: &RunState, id: &str) -> Argument {
    let node = state.ready().find(|key| state.node_id(*key) == id).or_else(|| state.find(id)).unwrap();
    state.arguments(node)[0].1.clone()
}

fn is_stored(argument: &Argument, text: &str, at: &[Segment]) -> bool {
    matches!(argument, Argument::Value { value, path, .. } if value.inline.as_deref() == Some(text.as_bytes()) && path == at)
}

/// A mapped call, a settled map of calls, a settled call, a sleep and an approval, one after the other.
pub(super) fn everything() -> RunState {
    let mut steps = vec![
        step("a", vec![]),
        each("x", call("one", vec![("x", of(0))])),
        Step { id: "one-2".into(), ..settled(each("x", call("one", vec![("x", of(1))]))) },
        Step { id: "one-3".into(), ..settled(call("one", vec![("x", of(2))])) },
        wait("sleep", StepKind::Sleep, vec![("duration", Expr::Literal(json!("300ms")))]),
        wait("approval", StepKind::Approval { name: "finance".into(), timeout_ms: Some(2000) }, vec![]),
    ];
    for (ix, step) in steps.iter_mut().enumerate().skip(3) {
        step.after = vec![StepIx(ix as u32 - 1)];
    }
    let asks = workflow("w", steps, vec![], |_| ());
    let inner = one(|w| {
        w.max_parallel = Some(1);
        w.timeout_ms = Some(5000);
    });
    let state = run_all(nodes(&["a", "b"]), vec![asks, inner]);
    completes(state, "a", "[1,2,3]", len(3))
}

pub(super) fn wait(id: &str, kind: StepKind, arguments: Vec<(&str, Expr)>) -> Step {
    Step { kind, ..step(id, arguments) }
}

#[test]
fn a_called_workflow_takes_arguments_and_gives_its_result() {
    let child = workflow("child", vec![step("a", vec![("x", param("x")), ("y", param("y"))])], vec![], |w| {
        w.params = vec![takes("x", None), takes("y", Some(json!({"k": 7})))];
        w.result = Expr::Dict(vec![("rows".into(), of(0)), ("y".into(), param("y"))]);
    });
    let steps = vec![
        step("b", vec![]),
        call("child", vec![("x", part(0, vec![key("day")]))]),
        step("c", vec![("x", part(1, vec![key("rows"), Segment::Index(0)])), ("y", part(1, vec![key("y"), key("k")]))]),
    ];
    let state = run_all(nodes(&["a", "b", "c"]), vec![workflow("w", steps, vec![], |_| ()), child]);
    assert_eq!(ids(&state), ["b"]);
    let state = completes(state, "b", "{}", vec![]);
    assert_eq!((ids(&state), status(&state, "child")), (vec!["child/a".to_owned()], NodeStatus::Running));
    assert!(is_stored(&argument(&state, "child/a"), "{}", &[key("day")]), "a part of what the caller gave");
    let second = &state.arguments(state.find("child/a").unwrap())[1].1;
    assert_eq!(*second, Argument::Literal(json!({"k": 7})), "its own default");
    let state = completes(again(&state), "child/a", "[5]", vec![]);
    assert_eq!(status(&state, "child"), NodeStatus::Completed);
    assert!(is_stored(&argument(&state, "c"), "[5]", &[Segment::Index(0)]));
    assert_eq!(state.arguments(state.find("c").unwrap())[1].1, Argument::Literal(json!(7)));
    let state = completes(state, "c", "9", vec![]);
    assert_eq!((state.head.status, state.counts()), (RunStatus::Completed, (4, 4)));
}

#[test]
fn a_branch_in_a_called_workflow_asks_what_its_caller_gave() {
    let over = |left| Condition::Compare { left, operator: Operator::Gt, right: Expr::Literal(json!(10)) };
    let side = |id, holds| Step { guards: vec![Guard { branch: BranchIx(0), holds }], ..step(id, vec![]) };
    let ask = Branch {
        condition: over(Expr::Param { name: "user".into(), path: vec![field("age")] }),
        guards: vec![],
        place: Place::default(),
    };
    let child = workflow("child", vec![side("b", true), side("c", false)], vec![ask], |w| {
        w.params = vec![takes("user", None)];
        w.result = param("user");
    });
    let up =
        Branch { condition: Condition::Truth(part(1, vec![field("admin")])), guards: vec![], place: Place::default() };
    let steps = vec![
        step("a", vec![]),
        call("child", vec![("user", part(0, vec![key("user")]))]),
        Step { guards: vec![Guard { branch: BranchIx(0), holds: true }], ..step("d", vec![]) },
    ];
    let root = workflow("w", steps, vec![up], |_| ());
    let state = run_all(nodes(&["a", "b", "c", "d"]), vec![root, child]);
    let asked = &state.plan.root().steps[0].asks;
    assert_eq!(asked.len(), 2, "{asked:?}");
    let answer = |path: &Path| match path.last() {
        Some(Segment::Field(name)) if name == "age" => Answer { scalar: Some(Scalar::Int(12)), ..Answer::default() },
        _ => Answer { truth: Some(false), ..Answer::default() },
    };
    let answers = asked.iter().map(answer).collect();
    let state = completes(state, "a", "{}", answers);
    assert_eq!((ids(&state), status(&state, "child/c")), (vec!["child/b".to_owned()], NodeStatus::Skipped));
    let state = completes(again(&state), "child/b", "1", vec![]);
    assert_eq!((state.head.status, status(&state, "d")), (RunStatus::Completed, NodeStatus::Skipped));
}

#[test]
fn a_mapped_workflow_runs_one_frame_an_element_and_is_a_barrier() {
    let steps = vec![step("a", vec![]), each("x", call("one", vec![("x", of(0))])), step("c", vec![("xs", of(1))])];
    let state = run_all(nodes(&["a", "b", "c"]), vec![workflow("w", steps, vec![], |_| ()), one(|_| ())]);
    let state = completes(state, "a", "[1,2]", len(2));
    assert_eq!(ids(&state), ["one[0]/a", "one[1]/a"]);
    let (first, second) = (argument(&state, "one[0]/a"), argument(&state, "one[1]/a"));
    assert!(matches!(first, Argument::Value { element: Some(0), .. }), "{first:?}");
    assert!(matches!(second, Argument::Value { element: Some(1), .. }), "{second:?}");
    let state = completes(state, "one[1]/a", "20", vec![]);
    let state = completes(again(&state), "one[1]/b", "21", vec![]);
    assert_eq!((status(&state, "one[1]"), status(&state, "one")), (NodeStatus::Completed, NodeStatus::Running));
    let state = completes(completes(state, "one[0]/a", "10", vec![]), "one[0]/b", "11", vec![]);
    assert_eq!(ids(&state), ["c"]);
    let Argument::List(parts) = argument(&state, "c") else { panic!("a list of results") };
    assert!(is_stored(&parts[0], "11", &[]) && is_stored(&parts[1], "21", &[]));
    let state = completes(state, "c", "3", vec![]);
    assert_eq!((state.head.status, state.counts()), (RunStatus::Completed, (8, 8)));
}

#[test]
fn calls_are_opened_a_window_at_a_time() {
    let length = u64::from(limits::OPEN_FRAMES) + 10;
    let steps = vec![step("a", vec![]), each("x", call("one", vec![("x", of(0))]))];
    let state = run_all(nodes(&["a", "b"]), vec![workflow("w", steps, vec![], |_| ()), one(|_| ())]);
    let mut state = completes(state, "a", "[]", len(length));
    assert_eq!(state.ready().count() as u32, limits::OPEN_FRAMES);
    for index in 0..length {
        state = completes(state, &format!("one[{index}]/a"), "1", vec![]);
        state = completes(state, &format!("one[{index}]/b"), "2", vec![]);
    }
    assert_eq!(state.head.status, RunStatus::Completed);
    assert_eq!(state.frames.len() as u64, length + 1);
}

#[test]
fn the_parts_of_what_is_mapped_are_answered_for_each_element() {
    let ask = Branch { condition: Condition::Truth(param("x")), guards: vec![], place: Place::default() };
    let child = workflow("child", vec![step("b", vec![])], vec![ask], |w| {
        w.params = vec![takes("x", None)];
        w.steps[0].guards = vec![Guard { branch: BranchIx(0), holds: true }];
        w.result = Expr::Literal(json!(null));
    });
    let steps = vec![step("a", vec![]), each("x", call("child", vec![("x", of(0))]))];
    let state = run_all(nodes(&["a", "b"]), vec![workflow("w", steps, vec![], |_| ()), child]);
    let asked = state.plan.root().steps[0].asks.clone();
    assert_eq!(asked.len(), 2, "the length, and each element: {asked:?}");
    let list = json!([1, 0]);
    let answers = asked.iter().map(|path| crate::tagged::answer(&list, path)).collect();
    let state = completes(state, "a", "[1,0]", answers);
    assert_eq!(ids(&state), ["child[0]/b"]);
    assert_eq!(status(&state, "child[1]"), NodeStatus::Completed);
}

#[test]
fn a_map_in_a_mapped_workflow_goes_over_the_element() {
    let inner = workflow("inner", vec![each("x", step("b", vec![("x", param("batch"))]))], vec![], |w| {
        w.params = vec![takes("batch", None)];
    });
    let batches = Expr::Literal(json!([[1, 2], [3]]));
    let root = workflow("w", vec![each("batch", call("inner", vec![("batch", batches)]))], vec![], |_| ());
    let state = run_all(nodes(&["b"]), vec![root, inner]);
    assert_eq!(ids(&state), ["inner[0]/b[0]", "inner[1]/b[0]"]);
    assert_eq!(argument(&state, "inner[1]/b[0]"), Argument::Literal(json!(3)));
    let state = completes(completes(state, "inner[0]/b[0]", "1", vec![]), "inner[1]/b[0]", "3", vec![]);
    let state = completes(state, "inner[0]/b[1]", "2", vec![]);
    let Some(Argument::List(parts)) = &state.head.result else { panic!("{:?}", state.head) };
    assert!(matches!(&parts[0], Argument::Gathered { values, .. } if values.len() == 2), "{parts:?}");
}

#[test]
fn a_failure_in_a_called_workflow_is_its_callers_and_names_the_node() {
    let steps = vec![call("one", vec![("x", Expr::Literal(json!(1)))]), step("c", vec![("x", of(0))])];
    let state = run_all(nodes(&["a", "b", "c"]), vec![workflow("w", steps, vec![], |_| ()), one(|_| ())]);
    let state = fails(state, "one/a", "KeyError");
    assert_eq!(status(&state, "one/b"), NodeStatus::UpstreamFailed);
    assert_eq!((status(&state, "one"), status(&state, "c")), (NodeStatus::Failed, NodeStatus::UpstreamFailed));
    let error = state.head.error.as_ref().unwrap();
    assert_eq!((error.node_id.as_deref(), error.failure.error_type.as_str()), (Some("one/a"), "KeyError"));
    assert_eq!(state.head.status, RunStatus::Failed);
    let (state, _) = state.step(Input::RetryFailed { by: "u".into() }, NOW).unwrap();
    assert_eq!(ids(&state), ["one/a"]);
    let state = completes(completes(again(&state), "one/a", "1", vec![]), "one/b", "2", vec![]);
    assert_eq!(completes(state, "c", "3", vec![]).head.status, RunStatus::Completed);
}

#[test]
fn a_call_on_the_side_that_is_not_taken_is_skipped_as_a_whole() {
    let guards = vec![Guard { branch: BranchIx(0), holds: true }];
    let no =
        Branch { condition: Condition::Truth(Expr::Literal(json!(false))), guards: vec![], place: Place::default() };
    let skipped = Step { guards, ..call("one", vec![("x", Expr::Literal(json!(1)))]) };
    let root = workflow("w", vec![skipped, step("a", vec![])], vec![no], |_| ());
    let state = run_all(nodes(&["a", "b"]), vec![root, one(|_| ())]);
    assert_eq!((ids(&state), state.frames.len()), (vec!["a".to_owned()], 1));
    assert_eq!(completes(state, "a", "1", vec![]).head.status, RunStatus::Completed);
}

#[test]
fn a_called_workflow_stops_times_out_and_is_limited_by_itself() {
    let wide = |change: fn(&mut WorkflowDef)| {
        let inner = workflow("one", vec![step("a", vec![]), step("b", vec![])], vec![], change);
        let root = workflow("w", vec![call("one", vec![]), step("c", vec![])], vec![], |_| ());
        run_all(nodes(&["a", "b", "c"]), vec![root, inner])
    };
    let limited = wide(|w| w.max_parallel = Some(1));
    assert_eq!(ids(&limited), ["c", "one/a", "one/b"]);
    let node = limited.find("one/a").unwrap();
    let (limited, _) = limited.step(Input::Lease { node, runner: "r".into() }, NOW).unwrap();
    assert_eq!(ids(&limited), ["c"], "the others of its frame wait");

    let stopped = fails(wide(|w| w.on_failure = OnFailure::Stop), "one/a", "E");
    assert_eq!((status(&stopped, "one/b"), status(&stopped, "one")), (NodeStatus::Cancelled, NodeStatus::Failed));
    assert_eq!(ids(&stopped), ["c"], "the caller's own goes on");

    let timed = wide(|w| w.timeout_ms = Some(1000));
    let node = timed.find("one/b").unwrap();
    let (timed, _) = timed.step(Input::Lease { node, runner: "r".into() }, NOW).unwrap();
    assert_eq!(timed.next_wake(), Some(NOW.plus_ms(1000)));
    let (timed, effects) = again(&timed).step(Input::Tick, NOW.plus_ms(1000)).unwrap();
    assert!(
        effects.iter().any(|e| matches!(e, Effect::Kill { reason: KillReason::TimedOut, key, .. } if key.node == node))
    );
    assert_eq!((status(&timed, "one"), status(&timed, "one/a")), (NodeStatus::TimedOut, NodeStatus::Cancelled));
    let done = completes(timed, "c", "1", vec![]);
    assert_eq!(done.head.status, RunStatus::TimedOut);
    assert_eq!(done.head.error.unwrap().node_id.as_deref(), Some("one"));
}

#[test]
fn a_cancelled_run_ends_what_is_in_its_frames() {
    let state = everything();
    let node = state.ready().next().unwrap();
    let (state, _) = state.step(Input::Lease { node, runner: "r".into() }, NOW).unwrap();
    let (state, effects) = state.step(Input::Cancel { by: "u".into() }, NOW).unwrap();
    assert!(effects.iter().any(|e| matches!(e, Effect::Kill { key, .. } if key.node == node)));
    assert!(state.nodes().all(|(_, run)| run.status.is_terminal()));
    assert_eq!((state.next_wake(), state.ready().count()), (None, 0));
}
