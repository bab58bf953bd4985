//! Definitions by hand: what goes, and what is told of what does not.

mod converting;
mod fields;
mod generics;
mod narrowing;

use super::*;
use qflow_model::{
    definition::{Branch, Guard, NodeDef, Param, ParamDefault, Step, StepKind, TypeText},
    expression::{BranchIx, Condition, Expr, Operator, Segment},
    ids::StepIx,
};
use serde_json::{Value, json};

fn place(line: u32) -> Place {
    Place { file: "sales.py".into(), line, column: 1 }
}

pub(crate) fn param(name: &str, ty: &str) -> Param {
    Param { name: name.into(), ty: TypeText(ty.into()), default: None, place: place(15) }
}

#[expect(clippy::needless_pass_by_value, reason = "read at the call as what it becomes")]
pub(crate) fn workflow(name: &str, steps: Vec<Step>) -> WorkflowDef {
    serde_json::from_value(json!({
        "name": name, "function": name, "params": [], "returns": "Any", "steps": steps, "branches": [],
        "result": {"literal": null}, "on_failure": "finish", "place": place(30),
    }))
    .unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "read at the call as what it becomes")]
fn node(name: &str, params: Vec<Param>, returns: &str) -> NodeDef {
    serde_json::from_value(json!({
        "name": name, "file": "sales.py", "params": params, "returns": returns,
        "retry": qflow_model::definition::Retry::default(), "resources": qflow_model::definition::Resources::default(),
        "convert": false, "idempotent": false, "isolation": "run", "frames": false, "place": place(9),
    }))
    .unwrap()
}

fn step(function: &str, arguments: Vec<(&str, Expr)>) -> Step {
    let arguments = arguments.into_iter().map(|(name, expr)| (name.to_owned(), expr)).collect();
    let kind = StepKind::Node { function: function.into() };
    Step {
        id: function.into(),
        kind,
        over: vec![],
        settled: false,
        arguments,
        guards: vec![],
        after: vec![],
        conversions: vec![],
        returns: None,
        place: place(31),
    }
}

fn calls(workflow: &str) -> Step {
    Step { kind: StepKind::Workflow { workflow: workflow.into() }, ..step(workflow, vec![]) }
}

fn map(function: &str, over: &str, expr: Expr) -> Step {
    Step { over: vec![over.into()], ..step(function, vec![(over, expr)]) }
}

fn result(path: Vec<Segment>) -> Expr {
    Expr::Result { step: StepIx(0), path }
}

/// `fetch() -> returns`, then `total(rows: takes)` as the step says.
fn told_of(returns: &str, takes: &str, then: Vec<Step>) -> Vec<(String, String)> {
    let steps = [vec![step("fetch", vec![])], then].concat();
    problems(returns, takes, workflow("main", steps))
}

fn problems(returns: &str, takes: &str, workflow: WorkflowDef) -> Vec<(String, String)> {
    let nodes = [node("fetch", vec![], returns), node("total", vec![param("rows", takes)], "int")];
    let definition = Definition {
        nodes: nodes.into_iter().map(|n| (n.name.clone(), n)).collect(),
        workflows: [(workflow.name.clone(), workflow)].into(),
        ..Definition::default()
    };
    check(definition).problems.into_iter().map(|p| (p.code, p.message)).collect()
}

fn one(returns: &str, takes: &str, argument: Expr) -> Vec<(String, String)> {
    told_of(returns, takes, vec![step("total", vec![("rows", argument)])])
}

#[test]
fn an_edge_that_does_not_go_names_both_ends() {
    let message = "total.rows: list[X] ← fetch → dict[str, X] (sales.py:9 → sales.py:15)";
    let told = one("dict[str, X]", "list[X]", result(vec![]));
    assert_eq!((told.len(), told[0].0.as_str()), (1, "incompatible-types"));
    assert!(told[0].1.starts_with(message), "{told:?}");
    assert_eq!(one("list[int]", "list[float]", result(vec![])), []);
}

#[test]
fn a_result_that_no_value_is_of_is_warned_of() {
    let warned = |returns: &str| {
        let nodes = [("fetch".to_owned(), node("fetch", vec![], returns))].into();
        let main = WorkflowDef { returns: TypeText(returns.into()), ..workflow("main", vec![]) };
        let workflows = [("main".to_owned(), main)].into();
        let found = check(Definition { nodes, workflows, ..Definition::default() }).problems;
        let told = found.into_iter().filter(|told| told.code == "no-value" && told.warning);
        told.map(|told| (told.message, told.remedy.unwrap_or_default())).collect::<Vec<_>>()
    };
    let told = warned("list[deque[int]]");
    let message = "fetch → list[deque[int]]: no value is of `deque[int]`: a result of it fails";
    assert_eq!(told[0], (message.into(), "declare list[int], and return that".into()));
    assert_eq!((told.len(), told[1].0.starts_with("main → ")), (2, true));
    assert_eq!(warned("ItemsView[str, int]")[0].1, "declare list[tuple[str, int]], and return that");
    assert_eq!(warned("PosixPath | deque[int]"), []);
}

#[test]
fn a_result_whose_fields_no_value_is_of_is_warned_of() {
    let text = "from collections import deque\nfrom dataclasses import dataclass\nfrom qflow import node, workflow\n\
        @dataclass\nclass Part:\n    waiting: deque[int]\n\
        @dataclass\nclass Order:\n    parts: list[Part]\n\
        @node\ndef fetch() -> list[Order]: ...\n\
        @workflow\ndef w() -> object:\n    return fetch()\n";
    let source = Source { entry: "w.py".into(), files: [("w.py".to_owned(), text.to_owned())].into() };
    let told = inspect(&source).problems;
    let message = "fetch → list[Order]: no value is of `deque[int]`, which `Part.waiting` is: a result of it fails";
    let told: Vec<_> = told.into_iter().map(|told| (told.warning, told.message, told.remedy)).collect();
    assert_eq!(told, [(true, message.to_owned(), Some("declare list[int] there".to_owned()))]);
}

#[test]
fn a_path_is_walked() {
    let path = vec![Segment::Key("a".into()), Segment::Index(-1)];
    assert_eq!(one("dict[str, tuple[int, str]]", "str", result(path.clone())), []);
    let message = "total.rows: int ← fetch[\"a\"][-1] → str (sales.py:9 → sales.py:15)";
    assert_eq!(one("dict[str, tuple[int, str]]", "int", result(path.clone()))[0].1, message);
    assert_eq!(one("Order", "int", result(vec![Segment::Field("rows".into())])), []);
    let told = one("list[int]", "int", result(path));
    assert_eq!(told, [("no-such-part".into(), "fetch[\"a\"][-1]: list[int] has no part [\"a\"]".into())]);
}

#[test]
fn a_map_hands_over_elements_and_gives_a_list() {
    assert_eq!(told_of("list[int]", "int", vec![map("total", "rows", result(vec![]))]), []);
    let told = told_of("list[str]", "int", vec![map("total", "rows", result(vec![]))]);
    assert_eq!(told[0].1, "total.rows: int ← each of fetch → str (sales.py:9 → sales.py:15)");
    let told = told_of("dict[str, int]", "int", vec![map("total", "rows", result(vec![]))]);
    assert_eq!(told[0].0, "not-mappable");

    let steps = vec![step("fetch", vec![]), map("total", "rows", result(vec![]))];
    let results = Expr::Result { step: StepIx(1), path: vec![] };
    let main = WorkflowDef { returns: TypeText("int".into()), result: results, ..workflow("main", steps) };
    assert_eq!(problems("list[int]", "int", main.clone())[0].0, "incompatible-result");
    let main = WorkflowDef { returns: TypeText("list[int]".into()), ..main };
    assert_eq!(problems("list[int]", "int", main), []);
}

#[test]
fn arguments_that_lack_and_arguments_that_are_not_known() {
    let told = told_of("int", "int", vec![step("total", vec![("row", Expr::Literal(json!(1)))])]);
    let codes: Vec<_> = told.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["missing-argument", "unknown-argument"]);
    assert_eq!(told[1].1, "`total` has no parameter `row`; it takes rows");
}

#[test]
fn a_literal_is_checked_as_a_value() {
    assert_eq!(one("int", "Literal[\"a\", \"b\"]", Expr::Literal(json!("a"))), []);
    let told = one("int", "list[int]", Expr::Literal(json!([1, "x"])));
    assert_eq!(
        told[0].1,
        "total.rows: list[int] ← literal [1,\"x\"] → list[int | str] (sales.py:31 → sales.py:15): at [1]: expected int, got 'x'"
    );
    let told = one("int", "int", Expr::Literal(json!([1])));
    assert_eq!(told[0].1, "total.rows: int ← literal [1] → list[int] (sales.py:31 → sales.py:15)");
    assert_eq!(one("int", "list[int]", Expr::List(vec![result(vec![]), Expr::Literal(json!(2))])), []);
}

#[test]
fn a_branch_that_asks_for_none_takes_it_away() {
    let asked = Condition::Compare { left: result(vec![]), operator: Operator::Is, right: Expr::Literal(Value::Null) };
    let main = |holds: bool| {
        let mut total = step("total", vec![("rows", result(vec![]))]);
        total.guards = vec![Guard { branch: BranchIx(0), holds }];
        let branches = vec![Branch { condition: asked.clone(), guards: vec![], place: place(31) }];
        WorkflowDef { branches, ..workflow("main", vec![step("fetch", vec![]), total]) }
    };
    assert_eq!(problems("int | None", "int", main(false)), []);
    let told = problems("int | None", "int", main(true));
    assert!(told[0].1.ends_with("None not accepted; add Optional or handle it"), "{told:?}");
}

#[test]
fn the_workflow_that_no_other_calls_is_chosen() {
    let of = |workflows: Vec<WorkflowDef>| Definition {
        workflows: workflows.into_iter().map(|w| (w.name.clone(), w)).collect(),
        ..Definition::default()
    };
    let definition = of(vec![workflow("inner", vec![]), workflow("outer", vec![calls("inner")])]);
    assert_eq!(choose(&definition, "").unwrap().name, "outer");
    assert_eq!(choose(&definition, "inner").unwrap().name, "inner");
    let known = vec!["inner".to_owned(), "outer".to_owned()];
    assert_eq!(choose(&definition, "x"), Err(Choice::Unknown { name: "x".into(), known: known.clone() }));
    let of_file = |name: &str| WorkflowDef { function: "report".into(), ..workflow(name, vec![]) };
    let one = of(vec![of_file("report"), of_file("sales.report")]);
    assert_eq!(choose(&one, "report").unwrap().name, "report", "the entry's own");
    let two = of(vec![of_file("costs.report"), of_file("sales.report")]);
    assert_eq!(choose(&two, "sales.report").unwrap().name, "sales.report");
    let both = vec!["costs.report".to_owned(), "sales.report".to_owned()];
    assert_eq!(choose(&two, "report"), Err(Choice::Several(both)));
    let definition = of(vec![workflow("inner", vec![]), workflow("outer", vec![])]);
    assert_eq!(choose(&definition, ""), Err(Choice::Several(known)));
    assert_eq!(choose(&Definition::default(), ""), Err(Choice::None));
}

#[test]
fn a_workflows_own_default_must_be_of_its_type() {
    let given = |ty: &str, default: Value| {
        let mut main = workflow("main", vec![]);
        main.params = vec![Param { default: Some(ParamDefault::Value(default)), ..param("n", ty) }];
        problems("Any", "Any", main)
    };
    assert_eq!(given("float", json!(1)), vec![]);
    assert_eq!(given("int | None", json!(null)), vec![]);
    let [(code, message)] = &given("int", json!("x"))[..] else { panic!("one problem") };
    assert_eq!(code, "incompatible-default");
    assert!(message.starts_with("main.n: int ← its default: "), "{message}");
}
