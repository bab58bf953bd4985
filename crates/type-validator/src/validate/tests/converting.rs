//! What is not assignable: converted where a node takes it, and refused elsewhere with what to write.

use qflow_model::definition::Conversion;

use super::*;

/// `fetch() -> returns`, then `total(rows: takes)`, whose node converts or not: what is told, with its remedy, and what is converted.
fn judged(returns: &str, takes: &str, convert: bool, steps: Vec<Step>) -> (Vec<(String, String)>, Vec<Conversion>) {
    let total = NodeDef { convert, ..node("total", vec![param("rows", takes)], "int") };
    let main = workflow("main", [vec![step("fetch", vec![])], steps].concat());
    let inner = WorkflowDef { params: vec![param("rows", takes)], ..workflow("inner", vec![]) };
    let definition = Definition {
        schedules: BTreeMap::default(),
        nodes: [node("fetch", vec![], returns), total].map(|n| (n.name.clone(), n)).into(),
        workflows: [main, inner].map(|w| (w.name.clone(), w)).into(),
        requires_python: None,
        classes: qflow_model::class::Classes::new(),
    };
    let Inspected { definition, problems, edges } = check(definition);
    // What metrics count is assignability alone.
    assert!(!edges["main"][0].2, "{edges:?}");
    let told = problems.into_iter().map(|p| (p.message, p.remedy.unwrap_or_default())).collect();
    let steps = definition.workflows["main"].steps.iter();
    (told, steps.flat_map(|step| step.conversions.clone()).collect())
}

fn total(argument: Expr) -> Vec<Step> {
    vec![step("total", vec![("rows", argument)])]
}

#[test]
fn what_never_fails_is_converted_and_noted_with_both_ends() {
    let (told, noted) = judged("list[date]", "tuple[str, ...]", false, total(result(vec![])));
    assert_eq!(told, []);
    let ends = "total.rows: tuple[str, ...] ← fetch → list[date] (sales.py:9 → sales.py:15)";
    assert_eq!(noted.iter().map(|one| (one.ends("total"), one.may_fail)).collect::<Vec<_>>(), [(ends.into(), false)]);
    let (_, noted) = judged("list[date]", "str", false, vec![map("total", "rows", result(vec![]))]);
    assert_eq!(noted[0].ends("total"), "total.rows: str ← each of fetch → date (sales.py:9 → sales.py:15)");
    let (_, noted) = judged("int", "tuple[int, ...]", false, total(Expr::Literal(json!([1, 2]))));
    assert_eq!(
        noted[0].ends("total"),
        "total.rows: tuple[int, ...] ← literal [1,2] → list[int] (sales.py:31 → sales.py:15)"
    );
}

#[test]
fn what_may_fail_is_converted_where_the_node_asks_for_it() {
    let (told, noted) = judged("list[str]", "list[int]", false, total(result(vec![])));
    let message = "total.rows: list[int] ← fetch → list[str] (sales.py:9 → sales.py:15): at […]: str is not int";
    let remedy = "write convert=True on node `total`: a value that does not convert then fails it";
    assert_eq!((told, noted.len()), (vec![(message.into(), remedy.into())], 0));
    let (told, noted) = judged("list[str]", "list[int]", true, total(result(vec![])));
    assert_eq!((told.len(), noted.len(), noted[0].may_fail), (0, 1, true));
    let (told, noted) = judged("list[str]", "int", true, vec![map("total", "rows", result(vec![]))]);
    assert_eq!((told.len(), noted[0].source.as_str()), (0, "each of fetch"));
}

#[test]
fn what_has_no_conversion_is_refused_whatever_the_node_asks_for() {
    for (returns, takes) in [("int", "str"), ("set[int]", "list[int]"), ("str", "int | float"), ("str | None", "int")] {
        let (told, noted) = judged(returns, takes, true, total(result(vec![])));
        assert_eq!((told.len(), noted.len()), (1, 0), "{returns} → {takes}");
        assert!(!told[0].1.contains("convert=True"), "{told:?}");
    }
    let (told, _) = judged("int", "Literal[\"a\"]", true, total(Expr::Literal(json!("b"))));
    assert!(told[0].1.starts_with("correct one of the two"), "{told:?}");
}

#[test]
fn a_literal_that_does_not_convert_is_refused_whatever_the_node_asks_for() {
    for (takes, literal, why) in [
        ("int", json!("x"), ": expected int, got 'x'"),
        ("dict[str, list[int]]", json!({"a": ["1", "y"]}), ": at [\"a\"][1]: expected int, got 'y'"),
        ("date", json!("2026-13-24"), ": expected date, got '2026-13-24'"),
        ("tuple[int, int]", json!([1]), ": expected tuple[int, int], got a list of 1"),
        ("set[int]", json!([1, 1]), ": expected set[int], got 1 twice"),
    ] {
        for convert in [false, true] {
            let (told, noted) = judged("int", takes, convert, total(Expr::Literal(literal.clone())));
            assert_eq!((told.len(), noted.len()), (1, 0), "{literal} → {takes}");
            assert!(told[0].0.ends_with(why) && told[0].1.starts_with("correct one of the two"), "{told:?}");
        }
    }
}

#[test]
fn a_literal_that_converts_needs_the_node_to_ask_for_it() {
    let remedy = "write convert=True on node `total`: a value that does not convert then fails it";
    for (takes, literal, why) in [
        ("int", json!("1"), "(sales.py:31 → sales.py:15)"),
        ("dict[str, list[int]]", json!({"a": ["1"]}), ": at [\"a\"][0]: expected int, got str"),
        // What only Python makes is not known here.
        ("DataFrame", json!([{"a": 1}, {"b": 1}]), "(sales.py:31 → sales.py:15)"),
    ] {
        let literal = Expr::Literal(literal);
        let (told, noted) = judged("int", takes, false, total(literal.clone()));
        assert_eq!((told.len(), noted.len(), told[0].1.as_str()), (1, 0, remedy), "{takes}");
        assert!(told[0].0.ends_with(why), "{told:?}");
        let (told, noted) = judged("int", takes, true, total(literal));
        assert_eq!((told, noted.len()), (vec![], 1), "{takes}");
    }
}

#[test]
fn what_is_written_down_among_results_is_judged_as_the_value_that_it_is() {
    let text = |text: &str| Expr::Literal(json!(text));
    let dict = |text: Expr| Expr::Dict(vec![("a".into(), text), ("b".into(), result(vec![]))]);
    for (takes, argument, why) in [
        ("list[int]", Expr::List(vec![result(vec![]), text("x")]), ": at [1]: expected int, got 'x'"),
        ("tuple[int, date]", Expr::Tuple(vec![result(vec![]), text("soon")]), ": at [1]: expected date, got 'soon'"),
        ("dict[str, int]", dict(text("x")), ": at [\"a\"]: expected int, got 'x'"),
        ("dict[str, list[int]] | None", dict(text("1")), ""),
        (
            "list[list[int]]",
            Expr::List(vec![Expr::List(vec![result(vec![]), text("x")])]),
            ": at [0][1]: expected int, got 'x'",
        ),
    ] {
        let (told, noted) = judged("str", takes, true, total(argument));
        assert_eq!((told.len(), noted.len()), (1, 0), "{takes}: {noted:?}");
        assert!(told[0].0.ends_with(why) && !told[0].1.contains("convert=True"), "{told:?}");
    }
    for (takes, argument) in [
        ("list[int]", Expr::List(vec![result(vec![]), text("7")])),
        ("dict[str, int]", dict(text("7"))),
        ("list[int] | None", Expr::List(vec![text("7"), result(vec![])])),
    ] {
        let (told, noted) = judged("str", takes, true, total(argument));
        assert_eq!((told, noted.len()), (vec![], 1), "{takes}");
    }
}

#[test]
fn what_is_written_down_and_mapped_over_is_judged_element_by_element() {
    let (told, noted) = judged("str", "int", true, vec![map("total", "rows", Expr::Literal(json!(["1", "x", "y"])))]);
    let message = "total.rows: int ← literal \"x\" → str (sales.py:31 → sales.py:15): expected int, got 'x'";
    assert_eq!(told.iter().map(|(told, _)| told.as_str()).collect::<Vec<_>>(), [message]);
    assert_eq!(noted.len(), 1);
    let (told, noted) = judged("str", "int", true, vec![map("total", "rows", Expr::Literal(json!(["1", "2", "3"])))]);
    assert_eq!((told, noted.len()), (vec![], 1));
    let parts = vec![result(vec![]), Expr::Literal(json!("x"))];
    let (told, noted) = judged("str", "int", true, vec![map("total", "rows", Expr::List(parts))]);
    assert_eq!((told.len(), noted.len()), (1, 1), "{told:?}");
    let (told, _) = judged("str", "int", false, vec![map("total", "rows", Expr::Literal(json!(["1"])))]);
    assert!(told[0].1.contains("convert=True"), "{told:?}");
}

#[test]
fn only_a_node_converts() {
    let called = Step { arguments: vec![("rows".into(), result(vec![]))], ..calls("inner") };
    let sleep = Step {
        id: "sleep".into(),
        kind: StepKind::Sleep,
        arguments: vec![("duration".into(), result(vec![]))],
        ..step("sleep", vec![])
    };
    let remedy = "values are converted only where a node takes them: convert it in a node";
    for (returns, taker, or) in [("list[date]", called, ", or declare list[date] here"), ("UUID", sleep, "")] {
        let (told, noted) = judged(returns, "tuple[date, ...]", true, vec![taker]);
        assert_eq!((told.len(), noted.len()), (1, 0), "{returns}");
        assert_eq!(told[0].1, format!("{remedy}{or}"));
    }
}

#[test]
fn both_sides_of_a_choice_are_converted_each_for_itself() {
    let choice = Expr::Select {
        branch: BranchIx(0),
        then: Box::new(Expr::Literal(json!("x"))),
        otherwise: Box::new(result(vec![])),
    };
    let condition = Condition::Truth(result(vec![]));
    let main = WorkflowDef {
        branches: vec![Branch { condition, guards: vec![], place: place(31) }],
        ..workflow("main", [vec![step("fetch", vec![])], total(choice)].concat())
    };
    let definition = Definition {
        schedules: BTreeMap::default(),
        nodes: [node("fetch", vec![], "date"), node("total", vec![param("rows", "str")], "int")]
            .map(|n| (n.name.clone(), n))
            .into(),
        workflows: [("main".into(), main)].into(),
        requires_python: None,
        classes: qflow_model::class::Classes::new(),
    };
    let Inspected { definition, problems, .. } = check(definition);
    assert_eq!(problems, []);
    let noted = &definition.workflows["main"].steps[1].conversions;
    assert_eq!(noted.iter().map(|one| one.source.as_str()).collect::<Vec<_>>(), ["fetch"]);
}
