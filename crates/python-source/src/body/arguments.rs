//! The arguments of a call, matched with the callee's parameters, and the step that it becomes.

use qflow_model::{
    definition::{Step, StepKind},
    expression::Expr as Value,
    ids::StepIx,
    limits,
};
use ruff_python_ast::{Expr, ExprCall, Keyword};
use ruff_text_size::{Ranged, TextRange};

use super::{Body, call::Callee};
use crate::options;

/// Which arguments are lists whose elements go one by one.
pub(super) enum Mapping<'a> {
    None,
    /// Of `map(fn, xs)`: the one behind the function.
    First,
    /// Of a comprehension: its names, with the lists that they run over; nothing where a list was refused.
    Each(Vec<(&'a str, Option<Value>)>),
}

/// A step before it has its id and its place.
pub(super) struct Made {
    pub(super) kind: StepKind,
    pub(super) over: Vec<String>,
    pub(super) settled: bool,
    pub(super) arguments: Vec<Argument>,
}

/// An argument: its parameter's name, where it stands, and what it is.
pub(super) type Argument = (String, TextRange, Value);

/// Arguments so far: by the parameter's name, nothing where one was refused.
#[derive(Default)]
struct Given {
    arguments: Vec<(String, TextRange, Option<Value>)>,
    over: Vec<String>,
    wrong: bool,
}

impl<'a> Body<'_, 'a> {
    /// Reads a call of a node or a workflow into a step.
    pub(super) fn step(&mut self, call: &'a ExprCall, callee: Callee<'_, 'a>, mapping: &Mapping<'a>) -> Option<Value> {
        let mut given = Given::default();
        let skipped = usize::from(matches!(mapping, Mapping::First));
        for (at, argument) in call.arguments.args.iter().skip(skipped).enumerate() {
            self.positional(at, argument, callee, mapping, &mut given);
        }
        for keyword in &call.arguments.keywords {
            self.keyword(keyword, callee, mapping, &mut given);
        }
        let name = callee.name;
        if matches!(mapping, Mapping::First) && call.arguments.args.len() == 1 {
            let message = format!("`map` over `{name}` without a list");
            self.refuse(call.range(), "map", message, &format!("write map({name}, xs)"));
            given.wrong = true;
        }
        for param in callee.params.iter().filter(|param| param.default.is_none()) {
            if !given.wrong && !given.arguments.iter().any(|(name, ..)| *name == param.name) {
                let message = format!("`{name}` needs an argument `{}`: {}", param.name, param.ty.0);
                self.refuse(call.range(), "missing-argument", message, &format!("write {}=…", param.name));
                given.wrong = true;
            }
        }
        self.unused(call, callee, mapping, &mut given.wrong);
        // A call that is told to be wrong is a step all the same, so that what it is given rightly is held to its types in the same answer.
        let is_whole = !given.wrong && given.arguments.iter().all(|(.., value)| value.is_some());
        if !is_whole && !matches!(mapping, Mapping::None) {
            return None;
        }
        let arguments = given.arguments.into_iter().filter_map(|(name, range, value)| Some((name, range, value?)));
        let arguments = arguments.collect();
        let Callee { settled, .. } = callee;
        let step = Made { kind: callee.step(), over: given.over, settled, arguments };
        self.push(call, step)
    }

    /// Writes a step down, where there is room for one.
    pub(super) fn push(&mut self, call: &ExprCall, made: Made) -> Option<Value> {
        if self.workflow.steps.len() >= limits::STEPS {
            let message = format!("more than {} calls", limits::STEPS);
            self.overfull(call.range(), "too-many-steps", message, "write map(fn, xs)");
            return None;
        }
        let Made { kind, over, settled, arguments } = made;
        let ix = StepIx(self.workflow.steps.len() as u32);
        let id = self.ids.next(self.project.id(&kind));
        let (guards, after) = (self.guards.clone(), self.order.barrier.clone());
        let place = self.place(call.range());
        let places = arguments.iter().map(|(name, range, _)| (name.clone(), self.place(*range))).collect();
        self.spans.step(&self.workflow.name, places);
        let arguments = arguments.into_iter().map(|(name, _, value)| (name, value)).collect();
        self.workflow.steps.push(Step {
            id,
            kind,
            over,
            settled,
            arguments,
            conversions: Vec::new(),
            returns: None,
            guards,
            after,
            place,
        });
        self.order.since.push(ix);
        Some(Value::Result { step: ix, path: Vec::new() })
    }

    fn positional(
        &mut self,
        at: usize,
        argument: &'a Expr,
        callee: Callee<'_, 'a>,
        mapping: &Mapping<'a>,
        given: &mut Given,
    ) {
        let wrong = misfit(at, argument, callee, matches!(mapping, Mapping::First));
        if let Some((code, message, remedy)) = wrong {
            self.refuse(argument.range(), code, message, remedy);
            given.wrong = true;
            if !matches!(argument, Expr::Starred(_)) {
                self.argument(argument, mapping);
            }
            return;
        }
        let (value, mapped) = self.argument(argument, mapping);
        // A signature with more parameters than are read was refused.
        let Some(param) = callee.params.get(at) else {
            given.wrong = true;
            return;
        };
        if mapped || matches!(mapping, Mapping::First) {
            given.over.push(param.name.clone());
        }
        given.arguments.push((param.name.clone(), argument.range(), value));
    }

    fn keyword(&mut self, keyword: &'a Keyword, callee: Callee<'_, 'a>, mapping: &Mapping<'a>, given: &mut Given) {
        let (value, mapped) = self.argument(&keyword.value, mapping);
        let Some(name) = keyword.arg.as_ref().map(|name| name.id.as_str()) else {
            self.refuse(keyword.range(), "unpacked-argument", "arguments are written out", "name each argument");
            given.wrong = true;
            return;
        };
        if !callee.params.iter().any(|param| param.name == name) {
            let known = || callee.params.iter().map(|param| param.name.as_str());
            let remedy = match options::nearest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if callee.params.is_empty() => "it takes no arguments".to_owned(),
                None => format!("it takes {}", known().collect::<Vec<_>>().join(", ")),
            };
            let message = format!("`{}` has no parameter `{name}`", callee.name);
            self.refuse(keyword.range(), "unknown-argument", message, &remedy);
            given.wrong = true;
        } else if given.arguments.iter().any(|(known, ..)| known == name) {
            self.refuse(keyword.range(), "repeated-argument", format!("`{name}` is given twice"), "leave one out");
            given.wrong = true;
        } else {
            if mapped {
                given.over.push(name.to_owned());
            }
            given.arguments.push((name.to_owned(), keyword.value.range(), value));
        }
    }

    /// Reads one argument; says whether its elements go one by one.
    fn argument(&mut self, argument: &'a Expr, mapping: &Mapping<'a>) -> (Option<Value>, bool) {
        match mapping {
            Mapping::None | Mapping::First => (self.value(argument), false),
            Mapping::Each(targets) => self.argument_of_each(argument, targets),
        }
    }
}

/// Why an argument does not stand at its position: code, message, remedy.
fn misfit(
    at: usize,
    argument: &Expr,
    callee: Callee<'_, '_>,
    mapped: bool,
) -> Option<(&'static str, String, &'static str)> {
    let parameters = &callee.function.parameters;
    let takes = parameters.posonlyargs.len() + parameters.args.len();
    if argument.is_starred_expr() {
        return Some(("unpacked-argument", "arguments are written out".to_owned(), "name each argument"));
    }
    if mapped && at > 0 {
        let remedy = "write constants by name, or [fn(a, b) for a, b in zip(xs, ys)] for several lists";
        return Some(("map", "`map` takes one list by position".to_owned(), remedy));
    }
    if at >= takes {
        let arguments = if takes == 1 { "argument" } else { "arguments" };
        let message = format!("`{}` takes {takes} {arguments} by position", callee.name);
        return Some(("too-many-arguments", message, "leave it out, or name the parameter it is for"));
    }
    None
}
