//! Bodies with branches, rebound names and returns anywhere come to the same calls and result as when Python runs them.

use std::fmt::Write as _;

use proptest::prelude::*;
use qflow_model::{
    condition::decide,
    definition::{Guard, WorkflowDef},
    expression::{Answer, BranchIx, Expr, Scalar},
};
use serde_json::{Value, json};

use crate::source;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A statement over the names; every call has a number of its own.
#[derive(Clone, Debug)]
enum Stmt {
    Bind(usize, usize),
    Copy(usize, usize),
    Call(usize),
    If { name: usize, above: i64, then: Vec<Stmt>, otherwise: Vec<Stmt> },
    Return(usize),
}

fn block(depth: u32) -> BoxedStrategy<Vec<Stmt>> {
    let name = 0..NAMES.len();
    let simple = prop_oneof![
        4 => (name.clone(), name.clone()).prop_map(|(to, from)| Stmt::Bind(to, from)),
        1 => (name.clone(), name.clone()).prop_map(|(to, from)| Stmt::Copy(to, from)),
        2 => name.clone().prop_map(Stmt::Call),
        1 => name.clone().prop_map(Stmt::Return),
    ];
    if depth == 0 {
        return prop::collection::vec(simple, 1..3).boxed();
    }
    let branch = (name, 0..8_i64, block(depth - 1), prop_oneof![Just(vec![]), block(depth - 1)])
        .prop_map(|(name, above, then, otherwise)| Stmt::If { name, above, then, otherwise });
    prop::collection::vec(prop_oneof![3 => simple, 2 => branch], 1..5).boxed()
}

/// The statements as Python; calls are numbered in source order.
fn written(stmts: &[Stmt], indent: usize, calls: &mut i64, out: &mut String) {
    let space = " ".repeat(indent);
    for stmt in stmts {
        let _ = match stmt {
            Stmt::Bind(to, from) => {
                *calls += 1;
                writeln!(out, "{space}{} = f({}, {calls})", NAMES[*to], NAMES[*from])
            }
            Stmt::Copy(to, from) => writeln!(out, "{space}{} = {}", NAMES[*to], NAMES[*from]),
            Stmt::Call(from) => {
                *calls += 1;
                writeln!(out, "{space}f({}, {calls})", NAMES[*from])
            }
            Stmt::Return(name) => writeln!(out, "{space}return {}", NAMES[*name]),
            Stmt::If { name, above, then, otherwise } => {
                let _ = writeln!(out, "{space}if {} > {above}:", NAMES[*name]);
                written(then, indent + 4, calls, out);
                if !otherwise.is_empty() {
                    let _ = writeln!(out, "{space}else:");
                    written(otherwise, indent + 4, calls, out);
                }
                Ok(())
            }
        };
    }
}

/// What `f` gives: small, and different for most calls.
fn called(x: i64, number: i64) -> i64 {
    (x * 7 + number * 3) % 11
}

/// What Python does: the calls that are made, and what is returned.
#[derive(Default)]
struct Run {
    names: [i64; 3],
    number: i64,
    made: Vec<(i64, i64)>,
}

impl Run {
    fn call(&mut self, from: usize, runs: bool) -> i64 {
        self.number += 1;
        if runs {
            self.made.push((self.names[from], self.number));
        }
        called(self.names[from], self.number)
    }

    /// Runs a block, or only counts its calls.
    fn block(&mut self, stmts: &[Stmt], runs: bool) -> Option<i64> {
        let mut returned = None;
        for stmt in stmts {
            let runs = runs && returned.is_none();
            match stmt {
                Stmt::Bind(to, from) => {
                    let value = self.call(*from, runs);
                    if runs {
                        self.names[*to] = value;
                    }
                }
                Stmt::Copy(to, from) if runs => self.names[*to] = self.names[*from],
                Stmt::Call(from) => {
                    self.call(*from, runs);
                }
                Stmt::Return(name) if runs => returned = Some(self.names[*name]),
                Stmt::Copy(..) | Stmt::Return(_) => {}
                Stmt::If { name, above, then, otherwise } => {
                    let holds = self.names[*name] > *above;
                    let one = self.block(then, runs && holds);
                    let other = self.block(otherwise, runs && !holds);
                    returned = returned.or(one).or(other);
                }
            }
        }
        returned
    }
}

/// What a definition comes to, by the rules of the model.
struct Reader<'a> {
    workflow: &'a WorkflowDef,
    p: i64,
    results: Vec<Option<i64>>,
}

impl Reader<'_> {
    fn hold(&self, guards: &[Guard]) -> bool {
        guards.iter().all(|guard| self.branch(guard.branch) == guard.holds)
    }

    /// A branch inside a side that is not taken counts as not holding.
    fn branch(&self, ix: BranchIx) -> bool {
        let branch = &self.workflow.branches[ix.0 as usize];
        self.hold(&branch.guards)
            && decide(&branch.condition, &|e| Ok(self.answer(e))).expect("small values are decided")
    }

    fn answer(&self, expr: &Expr) -> Answer {
        let value = self.value(expr);
        let scalar = value.as_i64().map(Scalar::Int);
        Answer { scalar, truth: Some(value != json!(false)), ..Answer::default() }
    }

    fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Literal(value) => value.clone(),
            Expr::Param { .. } => json!(self.p),
            Expr::Result { step, .. } => json!(self.results[step.0 as usize].expect("what is read has run")),
            Expr::Select { branch, then, otherwise } => self.value(if self.branch(*branch) { then } else { otherwise }),
            other => panic!("nothing of the kind was written: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_body_makes_the_calls_and_gives_the_result_that_python_would(stmts in block(3), p in 0..10_i64) {
        let mut text = "from qflow import node, workflow\n\n@node\ndef f(x: int, y: int) -> int: ...\n\n".to_owned();
        text.push_str("@workflow\ndef w(p: int) -> int:\n    a = p\n    b = 0\n    c = 5\n");
        written(&stmts, 4, &mut 0, &mut text);
        let read = qflow_python_source::read(&source("w.py", &text));
        prop_assert!(read.problems.iter().all(|problem| problem.warning), "{text}\n{:?}", read.problems);

        let mut run = Run { names: [p, 0, 5], ..Run::default() };
        let returned = run.block(&stmts, true);
        let workflow = &read.definition.workflows["w"];
        let mut reader = Reader { workflow, p, results: Vec::new() };
        let mut made = Vec::new();
        for step in &workflow.steps {
            let runs = reader.hold(&step.guards);
            let result = runs.then(|| {
                let argument = |at: usize| reader.value(&step.arguments[at].1).as_i64().expect("arguments are numbers");
                made.push((argument(0), argument(1)));
                called(argument(0), argument(1))
            });
            reader.results.push(result);
        }
        prop_assert_eq!(&made, &run.made, "{}", text);
        let expected = returned.map_or(Value::Null, |value| json!(value));
        prop_assert_eq!(reader.value(&workflow.result), expected, "{}", text);
    }
}
