//! What branches say of a value where it is read: `is None`, truth, comparisons with literals, an outcome's `.ok`. Pure.

use qflow_model::{
    condition::{Fact, decide, facts},
    definition::{Guard, WorkflowDef},
    expression::{Answer, BranchIx, Condition, Expr, Operator, Segment},
    ids::StepIx,
};
use qflow_types::{Literal, Ty};
use serde_json::Value;

/// Tests that are followed in one workflow: bounds the time of validation.
const TESTS: usize = 2_000_000;
/// Tests of one condition that are looked at for what follows from them.
const FACTS: usize = 32;

/// Where something is read: what was asked on the way there.
#[derive(Clone, Default)]
pub(super) struct Here<'a> {
    /// Sides that were taken: those that are written, and those that follow from what was asked of choices.
    taken: Vec<Guard>,
    asked: Vec<(&'a Condition, bool)>,
    unreachable: bool,
}

impl Here<'_> {
    /// The side of a branch that is known to be taken.
    pub(super) fn side(&self, branch: BranchIx) -> Option<bool> {
        self.taken.iter().find(|guard| guard.branch == branch).map(|guard| guard.holds)
    }

    /// Whether nothing comes here: a choice came out as it could not.
    pub(super) const fn is_unreachable(&self) -> bool {
        self.unreachable
    }
}

/// A parameter or a result, or a part of it.
#[derive(Clone, Copy)]
pub(super) struct Spot<'e> {
    root: Root<'e>,
    path: &'e [Segment],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Root<'e> {
    Param(&'e str),
    Step(StepIx),
}

impl<'e> Spot<'e> {
    pub(super) fn of(expr: &'e Expr) -> Option<Self> {
        match expr {
            Expr::Param { name, path } => Some(Self { root: Root::Param(name), path }),
            Expr::Result { step, path } => Some(Self { root: Root::Step(*step), path }),
            _ => None,
        }
    }

    /// The steps into its whole.
    pub(super) fn path(self) -> &'e [Segment] {
        self.path
    }

    /// The whole up to so many steps into it.
    pub(super) fn up_to(self, len: usize) -> Self {
        Self { path: &self.path[..len], ..self }
    }
}

/// Which part of a spot a test is about.
enum About {
    Itself,
    Ok,
    Error,
    Other,
}

/// What a value may be at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) ty: Ty,
    /// Whether an outcome among it may have a value.
    fine: bool,
    /// Whether an outcome among it may have an error.
    failed: bool,
}

impl Known {
    pub(super) fn of(ty: Ty) -> Self {
        Self { ty, fine: true, failed: true }
    }

    fn nothing() -> Self {
        Self { ty: Ty::Never, fine: false, failed: false }
    }

    fn or(self, other: Self) -> Self {
        Self { ty: Ty::union([self.ty, other.ty]), fine: self.fine || other.fine, failed: self.failed || other.failed }
    }

    fn only(&self, keep: impl Fn(&Ty) -> Option<Ty>) -> Self {
        let ty = Ty::union(self.ty.members().iter().filter_map(keep));
        if ty == Ty::Never { Self::nothing() } else { Self { ty, ..self.clone() } }
    }

    /// Where `.ok` was asked and came out so: it was an outcome, and of this kind.
    fn outcome(&self, fine: bool) -> Self {
        let known = self.only(|member| (*member != Ty::None).then(|| member.clone()));
        let known = Self { fine: known.fine && fine, failed: known.failed && !fine, ..known };
        if known.fine || known.failed { known } else { known.only(|ty| ty.outcome().is_none().then(|| ty.clone())) }
    }

    /// The type of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<Ty> {
        let one = |member: &Ty| match (name, member.outcome()) {
            ("value", Some(value)) if !self.failed => Some(value.clone()),
            ("value", Some(_)) if !self.fine => Some(Ty::None),
            ("error", Some(_)) if !self.failed => Some(Ty::None),
            ("error", Some(_)) if !self.fine => Some(Ty::class("OutcomeError")),
            _ => member.attribute(name),
        };
        self.ty.members().iter().map(one).collect::<Option<Vec<_>>>().map(Ty::union)
    }

    /// Where its truth was asked: what it then is, and what it is else.
    fn truth(&self) -> (Self, Self) {
        let side = |holds: bool| {
            self.only(|member| match member {
                Ty::None => (!holds).then_some(Ty::None),
                Ty::Literal(values) => literals(values, |value| is_true(value).is_none_or(|truth| truth == holds)),
                other if !holds && (other.outcome().is_some() || other.root() == "OutcomeError") => None,
                other => Some(other.clone()),
            })
        };
        (side(true), side(false))
    }

    /// Where it was compared with a literal.
    fn compared(&self, operator: Operator, literal: &Value) -> (Self, Self) {
        let side = |holds: bool| self.only(|member| compared(member, operator, literal, holds));
        (side(true), side(false))
    }
}

fn literals(values: &[Literal], keep: impl Fn(&Literal) -> bool) -> Option<Ty> {
    let kept: Vec<_> = values.iter().filter(|value| keep(value)).cloned().collect();
    (!kept.is_empty()).then_some(Ty::Literal(kept))
}

/// Whether a value counts as true; of an enum's member that is its class's to say.
fn is_true(value: &Literal) -> Option<bool> {
    match value {
        Literal::Bool(value) => Some(*value),
        Literal::Int(value) => Some(*value != 0),
        Literal::Text(text) => Some(!text.is_empty()),
        Literal::Bytes(bytes) => Some(!bytes.is_empty()),
        Literal::Member(..) => None,
    }
}

/// Which of a type's values come out one way when compared with a literal.
fn compared(ty: &Ty, operator: Operator, literal: &Value, holds: bool) -> Option<Ty> {
    let comes_out = |value: Value| {
        let (left, right) = (Expr::Literal(value), Expr::Literal(literal.clone()));
        decide(&Condition::Compare { left, operator, right }, &|_| Ok(Answer::default())) == Ok(holds)
    };
    match ty {
        Ty::None => comes_out(Value::Null).then_some(Ty::None),
        // What else equals a member of an enum is that enum's to say.
        other if has_member(literal) => Some(other.clone()),
        Ty::Literal(values) => literals(values, |value| match value {
            Literal::Bool(value) => comes_out(Value::from(*value)),
            Literal::Int(value) => comes_out(Value::from(*value)),
            Literal::Text(text) => comes_out(Value::from(text.as_str())),
            // What these equal is their class's to say.
            Literal::Bytes(_) | Literal::Member(..) => true,
        }),
        Ty::Any => Some(Ty::Any),
        other => {
            let equal = match operator {
                Operator::Eq | Operator::Is | Operator::In => holds,
                Operator::Ne | Operator::IsNot | Operator::NotIn => !holds,
                Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge => return Some(other.clone()),
            };
            if equal { equal_to(other, operator, literal) } else { Some(other.clone()) }
        }
    }
}

/// Whether a literal is a member of an enum, or holds one.
fn has_member(literal: &Value) -> bool {
    match literal {
        Value::Array(items) => items.iter().any(has_member),
        Value::Object(fields) => {
            fields.get("$").is_some_and(|tag| tag == "enum") || fields.get("v").is_some_and(has_member)
        }
        _ => false,
    }
}

/// What of a type equals a literal, or one of those in it.
fn equal_to(ty: &Ty, operator: Operator, literal: &Value) -> Option<Ty> {
    let items = match (operator, literal) {
        (Operator::In | Operator::NotIn, Value::Array(items)) => items.as_slice(),
        (Operator::In | Operator::NotIn, Value::Object(tagged)) => match tagged.get("v") {
            Some(Value::Array(items)) => items.as_slice(),
            _ => return Some(ty.clone()),
        },
        // Within a text: any part of it.
        (Operator::In | Operator::NotIn, _) => return Some(ty.clone()),
        _ => std::slice::from_ref(literal),
    };
    let is_number = |item: &Value| item.is_number() || item.is_boolean() || item.get("$").is_some();
    match ty.root() {
        "str" => {
            let texts = items.iter().filter_map(Value::as_str).map(|text| Literal::Text(text.to_owned()));
            let texts: Vec<_> = texts.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
            (!texts.is_empty()).then_some(Ty::literal(texts))
        }
        "bool" | "int" | "float" | "complex" | "Decimal" => items.iter().any(is_number).then(|| ty.clone()),
        "object" => items.iter().any(|item| !item.is_null()).then(|| ty.clone()),
        _ => None,
    }
}

/// Follows the branches of a workflow, up to a bound.
pub(super) struct Narrow<'a> {
    workflow: &'a WorkflowDef,
    left: usize,
}

impl<'a> Narrow<'a> {
    pub(super) fn new(workflow: &'a WorkflowDef) -> Self {
        Self { workflow, left: TESTS }
    }

    /// Whether more would have to be followed than is.
    pub(super) fn gave_up(&self) -> bool {
        self.left == 0
    }

    /// Behind some branches.
    pub(super) fn behind(&mut self, guards: &[Guard]) -> Here<'a> {
        let mut here = Here::default();
        guards.iter().for_each(|guard| self.enter(&mut here, *guard));
        here
    }

    /// On one side of a choice.
    pub(super) fn on(&mut self, here: &Here<'a>, branch: BranchIx, holds: bool) -> Here<'a> {
        let mut side = here.clone();
        self.enter(&mut side, Guard { branch, holds });
        side
    }

    /// A place where a condition was asked before.
    pub(super) fn behind_part(&mut self, here: &Here<'a>, condition: &'a Condition, holds: bool) -> Here<'a> {
        let mut behind = here.clone();
        behind.asked.push((condition, holds));
        self.follow(&mut behind);
        behind
    }

    fn enter(&mut self, here: &mut Here<'a>, guard: Guard) {
        here.taken.push(guard);
        let branch = self.workflow.branches.get(guard.branch.0 as usize);
        here.asked.extend(branch.map(|branch| (&branch.condition, guard.holds)));
        self.follow(here);
    }

    /// Sides of choices that follow from what was asked of them: what is not None was not the side that is.
    fn follow(&mut self, here: &mut Here<'a>) {
        let asked = here.asked.iter().flat_map(|(condition, holds)| facts(condition, *holds, FACTS));
        let of_choices = asked.filter_map(|fact| Some((fact, fact.tested()?)));
        let of_choices: Vec<_> = of_choices.filter(|(_, tested)| matches!(tested, Expr::Select { .. })).collect();
        for (fact, tested) in of_choices {
            let mut side = self.side_of(tested, here);
            while let Expr::Select { branch, then, otherwise } = side {
                match (self.cannot_be(fact, then), self.cannot_be(fact, otherwise)) {
                    (false, true) => here.taken.push(Guard { branch: *branch, holds: true }),
                    (true, false) => here.taken.push(Guard { branch: *branch, holds: false }),
                    _ => break,
                }
                side = self.side_of(side, here);
            }
            here.unreachable |= self.cannot_be(fact, side);
        }
    }

    fn cannot_be(&mut self, fact: Fact<'_>, side: &Expr) -> bool {
        self.left = self.left.saturating_sub(1);
        match side {
            Expr::Select { then, otherwise, .. } => self.cannot_be(fact, then) && self.cannot_be(fact, otherwise),
            other => fact.contradicts(other),
        }
    }

    /// What a value of a type is at a place.
    pub(super) fn known(&mut self, ty: Ty, spot: Spot<'_>, here: &Here<'a>) -> Known {
        let mut known = Known::of(ty);
        for (condition, holds) in &here.asked {
            let (then, otherwise) = self.split(condition, known, spot, here);
            known = if *holds { then } else { otherwise };
        }
        known
    }

    /// What a choice is at a place, as far as its sides are known.
    fn side_of<'e>(&mut self, expr: &'e Expr, here: &Here<'a>) -> &'e Expr {
        let mut side = expr;
        while let Expr::Select { branch, then, otherwise } = side {
            self.left = self.left.saturating_sub(1 + here.taken.len());
            side = match here.side(*branch) {
                Some(true) => then,
                Some(false) => otherwise,
                None => return side,
            };
        }
        side
    }

    fn about(&mut self, tested: &Expr, spot: Spot<'_>, here: &Here<'a>) -> About {
        self.left = self.left.saturating_sub(1);
        let Some(tested) = Spot::of(self.side_of(tested, here)).filter(|t| t.root == spot.root) else {
            return About::Other;
        };
        match tested.path.split_last() {
            _ if tested.path == spot.path => About::Itself,
            Some((Segment::Field(name), rest)) if rest == spot.path && name == "ok" => About::Ok,
            Some((Segment::Field(name), rest)) if rest == spot.path && name == "error" => About::Error,
            _ => About::Other,
        }
    }

    /// What a value is where a condition holds, and where it does not.
    fn split(&mut self, condition: &Condition, known: Known, spot: Spot<'_>, here: &Here<'a>) -> (Known, Known) {
        if self.left == 0 {
            return (known.clone(), known);
        }
        match condition {
            Condition::Not(inner) => {
                let (then, otherwise) = self.split(inner, known, spot, here);
                (otherwise, then)
            }
            Condition::And(parts) => {
                let (mut all, mut not) = (known, Known::nothing());
                for part in parts {
                    let (then, otherwise) = self.split(part, all, spot, here);
                    (all, not) = (then, not.or(otherwise));
                }
                (all, not)
            }
            Condition::Or(parts) => {
                let (mut any, mut none) = (Known::nothing(), known);
                for part in parts {
                    let (then, otherwise) = self.split(part, none, spot, here);
                    (any, none) = (any.or(then), otherwise);
                }
                (any, none)
            }
            Condition::Truth(tested) => match self.about(tested, spot, here) {
                About::Itself => known.truth(),
                About::Ok => (known.outcome(true), known.outcome(false)),
                About::Error => (known.outcome(false), known.outcome(true)),
                About::Other => (known.clone(), known),
            },
            Condition::Compare { left, operator, right } => {
                let (tested, literal) = match (left, operator, right) {
                    (tested, _, Expr::Literal(literal)) => (tested, literal),
                    (Expr::Literal(literal), Operator::Eq | Operator::Ne, tested) => (tested, literal),
                    _ => return (known.clone(), known),
                };
                let (yes, no) = match (self.about(tested, spot, here), literal) {
                    (About::Itself, _) => return known.compared(*operator, literal),
                    (About::Ok, Value::Bool(ok)) => (known.outcome(*ok), known.outcome(!ok)),
                    (About::Error, Value::Null) => (known.outcome(true), known.outcome(false)),
                    _ => return (known.clone(), known),
                };
                match operator {
                    Operator::Eq | Operator::Is => (yes, no),
                    Operator::Ne | Operator::IsNot => (no, yes),
                    _ => (known.clone(), known),
                }
            }
        }
    }
}
