//! What an `if` asks: truth and comparisons of small values, joined by `and`, `or` and `not`.

use qflow_model::{
    expression::{Condition, Expr as Value, Operator},
    limits,
};
use qflow_types::{Literal, Ty};
use ruff_python_ast::{
    BoolOp, CmpOp, Expr, ExprCompare, UnaryOp,
    visitor::{Visitor, walk_expr},
};
use ruff_text_size::{Ranged, TextRange};
use serde_json::Value as Json;

use super::{Body, part};
use crate::{classes, constant, refuse};

/// Parts of an `and` or `or` that later ones know of: bounds what each costs.
const ASIDE: usize = 32;
const CODE: &str = "condition";
const SMALL: &str = "only None, bools, numbers and short texts are compared here";

impl<'a> Body<'_, 'a> {
    /// Reads a condition; nothing where it was refused.
    pub(super) fn condition(&mut self, expr: &'a Expr) -> Option<Condition> {
        match expr {
            Expr::BoolOp(both) => {
                let later = &both.values[1..];
                self.calls_behind(later);
                let mark = self.aside.len();
                let mut parts = Vec::with_capacity(both.values.len());
                for value in &both.values {
                    let part = self.condition(value);
                    // A later part is asked only where an earlier one holds, or does not.
                    if let Some(part) = part.as_ref().filter(|_| parts.len() < ASIDE) {
                        self.aside.push((part.clone(), both.op == BoolOp::And));
                    }
                    parts.push(part);
                }
                self.aside.truncate(mark);
                let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
                Some(if both.op == BoolOp::And { Condition::And(parts) } else { Condition::Or(parts) })
            }
            Expr::UnaryOp(not) if not.op == UnaryOp::Not => {
                Some(Condition::Not(Box::new(self.condition(&not.operand)?)))
            }
            Expr::Compare(compare) => self.compare(compare),
            other => {
                let value = self.value(other)?;
                self.truth(other.range(), value)
            }
        }
    }

    /// A condition as a value, where Python would give a bool.
    pub(super) fn truth_value(&mut self, expr: &'a Expr) -> Option<Value> {
        let condition = self.condition(expr)?;
        if self.gives_bool(&condition) {
            return Some(Value::Condition(Box::new(condition)));
        }
        let message = "`and` and `or` give one of their sides, which is no bool here";
        self.refuse(expr.range(), "operator", message, "write if, and a new name on each side");
        None
    }

    fn gives_bool(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Compare { .. } | Condition::Not(_) => true,
            Condition::And(parts) | Condition::Or(parts) => parts.iter().all(|part| self.gives_bool(part)),
            Condition::Truth(Value::Literal(literal)) => literal.is_boolean(),
            Condition::Truth(value) => self.type_of(value) == Some(Ty::class("bool")),
        }
    }

    fn truth(&mut self, range: TextRange, value: Value) -> Option<Condition> {
        let ty = self.type_of(&value);
        if ty.as_ref().is_some_and(|ty| ty.outcome().is_some()) {
            let message = "an outcome is always true, whether the call failed or not";
            self.refuse(range, CODE, message, "ask for its .ok");
            return None;
        }
        if ty.as_ref().is_some_and(part::may_be_frame) {
            let message = "the truth of a frame or an array is ambiguous";
            self.refuse(range, CODE, message, "return a bool from a node");
            return None;
        }
        match value {
            Value::Condition(condition) => Some(*condition),
            Value::Format(_) => {
                self.refuse(range, CODE, "an f-string is not asked for its truth", refuse::IN_A_NODE);
                None
            }
            value => Some(Condition::Truth(value)),
        }
    }

    /// Calls that Python would make only where an earlier part does not decide.
    fn calls_behind(&mut self, later: &'a [Expr]) {
        for expr in later {
            if let Some(range) = call_in(expr) {
                let message = "a call that is made only where what stands before it does not decide";
                self.refuse(range, CODE, message, "call it on a line of its own, or write an if inside the if");
            }
        }
    }

    fn compare(&mut self, compare: &'a ExprCompare) -> Option<Condition> {
        self.calls_behind(compare.comparators.get(1..).unwrap_or_default());
        let sides: Vec<&'a Expr> = std::iter::once(&*compare.left).chain(&compare.comparators).collect();
        let values: Vec<_> = sides.iter().zip(0..).map(|(side, at)| self.side_of(side, at, &compare.ops)).collect();
        let mut parts = Some(Vec::new());
        for (at, op) in compare.ops.iter().enumerate() {
            let (left, right) = (&values[at], &values[at + 1]);
            let part = match (left, right) {
                (Some(left), Some(right)) => self.pair((sides[at], left), *op, (sides[at + 1], right)),
                _ => None,
            };
            parts = parts.zip(part).map(|(mut parts, part)| {
                parts.push(part);
                parts
            });
        }
        let mut parts = parts?;
        Some(if parts.len() == 1 { parts.remove(0) } else { Condition::And(parts) })
    }

    /// A side of a comparison; a set stands only behind `in`.
    fn side_of(&mut self, side: &'a Expr, at: usize, ops: &[CmpOp]) -> Option<Value> {
        let behind_in = at > 0 && matches!(ops[at - 1], CmpOp::In | CmpOp::NotIn);
        match side {
            Expr::Set(set) if behind_in => {
                let items: Vec<_> = set.elts.iter().map(|item| self.value(item)).collect();
                let literals = items.into_iter().map(|item| match item {
                    Some(Value::Literal(literal)) => Some(literal),
                    _ => None,
                });
                let items = literals.collect::<Option<Vec<Json>>>();
                if items.is_none() {
                    self.refuse(side.range(), CODE, "a set that is no literal", refuse::IN_A_NODE);
                }
                let value = Value::Literal(constant::set(items?));
                self.are_known(side.range(), &value).then_some(value)
            }
            other => {
                let value = self.value(other)?;
                self.are_known(other.range(), &value).then_some(value)
            }
        }
    }

    /// Whether members of enums in a literal are known by their names; tells where they are not.
    fn are_known(&mut self, range: TextRange, value: &Value) -> bool {
        let Value::Literal(literal) = value else { return true };
        let mut members = Vec::new();
        members_in(literal, &mut members);
        let known =
            members.len() <= MEMBERS && members.iter().all(|m| classes::is_known_member(&self.project.units, m));
        if !known {
            let message = format!(
                "`{}`: only members of an enum are compared here whose values are written down",
                self.text().written(range)
            );
            self.refuse(range, CODE, message, refuse::IN_A_NODE);
        }
        known
    }

    fn pair(&mut self, left: (&Expr, &Value), op: CmpOp, right: (&Expr, &Value)) -> Option<Condition> {
        let is_none = |value: &Value| matches!(value, Value::Literal(Json::Null));
        let made = |left: &Value, operator, right: &Value| {
            Some(Condition::Compare { left: left.clone(), operator, right: right.clone() })
        };
        let operator = operator(op);
        match op {
            CmpOp::Is | CmpOp::IsNot if is_none(right.1) => made(left.1, operator, right.1),
            CmpOp::Is | CmpOp::IsNot if is_none(left.1) => made(right.1, operator, left.1),
            CmpOp::Is | CmpOp::IsNot => {
                self.refuse(right.0.range(), CODE, "`is` compares with None alone", "write == instead");
                None
            }
            CmpOp::In | CmpOp::NotIn => {
                let of_members = matches!(right.1, Value::Literal(literal) if holds_member(literal));
                let small = if of_members { self.may_be_member(left) } else { self.is_small(left) };
                if !is_container(right.1) {
                    let message = "`in` asks a literal list, tuple, set or text of small values";
                    self.refuse(right.0.range(), CODE, message, refuse::IN_A_NODE);
                    return None;
                }
                if small { made(left.1, operator, right.1) } else { None }
            }
            _ if is_member(left.1) || is_member(right.1) => {
                let same = self.may_be_member(left) && self.may_be_member(right);
                let equal = matches!(op, CmpOp::Eq | CmpOp::NotEq);
                if same && !equal {
                    let message = "members of an enum have no order here";
                    self.refuse(right.0.range(), CODE, message, refuse::IN_A_NODE);
                }
                if same && equal { made(left.1, operator, right.1) } else { None }
            }
            _ => {
                let (one, other) = (self.is_small(left), self.is_small(right));
                if one && other { made(left.1, operator, right.1) } else { None }
            }
        }
    }

    /// Whether a value may be compared with a member of an enum; tells where it is of something else.
    fn may_be_member(&mut self, side: (&Expr, &Value)) -> bool {
        if is_member(side.1) {
            return true;
        }
        let ty = self.type_of(side.1);
        let one_may = |ty: &Ty| match ty {
            Ty::Literal(values) => values.iter().any(|value| matches!(value, Literal::Member(..))),
            other => matches!(other.root(), "Any" | "object"),
        };
        let may = |ty: &Ty| ty.members().iter().any(one_may);
        if askable(side.1) && ty.as_ref().is_none_or(may) {
            return self.is_small(side);
        }
        let of = ty.map_or_else(|| "no enum".to_owned(), |ty| ty.to_string());
        let message = format!("`{}` is {of}, and is compared with a member of an enum", self.written(side.0));
        self.refuse(side.0.range(), CODE, message, "compare it with a value of its own type");
        false
    }

    /// Whether a value may be small enough to travel in a header; tells where it is not.
    fn is_small(&mut self, (at, value): (&Expr, &Value)) -> bool {
        let ty = self.type_of(value);
        let small = askable(value) && ty.as_ref().is_none_or(part::may_be_scalar);
        if !small {
            let message = match ty {
                Some(ty) => format!("`{}` is {ty}; {SMALL}", self.written(at)),
                None => format!("`{}`: {SMALL}", self.written(at)),
            };
            self.refuse(at.range(), CODE, message, refuse::IN_A_NODE);
        }
        small
    }
}

/// Members of enums in one literal: each is looked up.
const MEMBERS: usize = 64;

fn is_member(value: &Value) -> bool {
    matches!(value, Value::Literal(literal) if literal["$"] == "enum")
}

fn holds_member(literal: &Json) -> bool {
    let mut found = Vec::new();
    members_in(literal, &mut found);
    !found.is_empty()
}

fn members_in<'j>(literal: &'j Json, into: &mut Vec<&'j Json>) {
    match literal {
        Json::Array(items) => items.iter().for_each(|item| members_in(item, into)),
        Json::Object(fields) if fields.get("$").is_some_and(|tag| tag == "enum") => into.push(literal),
        Json::Object(fields) => fields.values().for_each(|field| members_in(field, into)),
        _ => {}
    }
}

fn call_in(expr: &Expr) -> Option<TextRange> {
    struct Search(Option<TextRange>);
    impl<'v> Visitor<'v> for Search {
        fn visit_expr(&mut self, expr: &'v Expr) {
            if matches!(expr, Expr::Call(_) | Expr::ListComp(_)) {
                self.0 = self.0.or(Some(expr.range()));
            }
            walk_expr(self, expr);
        }
    }
    let mut search = Search(None);
    search.visit_expr(expr);
    search.0
}

/// Whether a header can answer for a value.
fn askable(value: &Value) -> bool {
    match value {
        Value::Literal(literal) => is_scalar(literal),
        Value::Param { .. } | Value::Result { .. } | Value::Condition(_) => true,
        Value::Select { then, otherwise, .. } => askable(then) && askable(otherwise),
        Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Format(_) => false,
    }
}

fn is_scalar(literal: &Json) -> bool {
    match literal {
        Json::Null | Json::Bool(_) | Json::Number(_) => true,
        Json::String(text) => text.len() <= limits::SCALAR_TEXT_BYTES,
        Json::Object(fields) => fields.get("$").is_some_and(|tag| tag == "float" || tag == "enum"),
        Json::Array(_) => false,
    }
}

fn is_container(value: &Value) -> bool {
    let Value::Literal(literal) = value else { return false };
    match literal {
        Json::String(_) => true,
        Json::Array(items) => items.iter().all(is_scalar),
        Json::Object(fields) => {
            let tagged = fields.get("$").is_some_and(|tag| tag == "tuple" || tag == "set");
            tagged && fields.get("v").and_then(Json::as_array).is_some_and(|items| items.iter().all(is_scalar))
        }
        _ => false,
    }
}

fn operator(op: CmpOp) -> Operator {
    match op {
        CmpOp::Eq => Operator::Eq,
        CmpOp::NotEq => Operator::Ne,
        CmpOp::Lt => Operator::Lt,
        CmpOp::LtE => Operator::Le,
        CmpOp::Gt => Operator::Gt,
        CmpOp::GtE => Operator::Ge,
        CmpOp::Is => Operator::Is,
        CmpOp::IsNot => Operator::IsNot,
        CmpOp::In => Operator::In,
        CmpOp::NotIn => Operator::NotIn,
    }
}
