//! What branches ask: whether the parts that they name are there, and whether Python could order what they compare.

use qflow_model::{
    definition::{Branch, Place},
    expression::{Condition, Expr, Operator},
};
use qflow_types::Ty;

use super::{
    check::Checker,
    narrow::Here,
    tell::{HANDLE_NONE, problem},
};

/// Parts of an `and` or `or` that are known to later ones: bounds what each costs.
const KNOWN_PARTS: usize = 32;

impl<'a> Checker<'a> {
    /// Looks at a branch's condition.
    pub(super) fn branch(&mut self, branch: &'a Branch) {
        let here = self.narrow.behind(&branch.guards);
        self.asks(&branch.condition, &here, &branch.place);
    }

    fn asks(&mut self, condition: &'a Condition, here: &Here<'a>, place: &'a Place) {
        match condition {
            Condition::Not(inner) => self.asks(inner, here, place),
            Condition::And(parts) => self.parts(parts, true, here, place),
            Condition::Or(parts) => self.parts(parts, false, here, place),
            Condition::Truth(value) => drop(self.asked(value, here, place)),
            Condition::Compare { left, operator, right } => {
                let sides = (self.asked(left, here, place), self.asked(right, here, place));
                if let (Operator::Lt | Operator::Le | Operator::Gt | Operator::Ge, (Some(left), Some(right))) =
                    (operator, sides)
                {
                    self.ordered(&left, *operator, &right, place);
                }
            }
        }
    }

    /// The parts of an `and` or `or`: a later one knows how earlier ones came out.
    fn parts(&mut self, parts: &'a [Condition], hold: bool, here: &Here<'a>, place: &'a Place) {
        let mut here = here.clone();
        for (at, part) in parts.iter().enumerate() {
            self.asks(part, &here, place);
            if at < KNOWN_PARTS {
                here = self.narrow.behind_part(&here, part, hold);
            }
        }
    }

    /// The name and type of what is asked for.
    fn asked(&mut self, value: &'a Expr, here: &Here<'a>, place: &'a Place) -> Option<(String, Ty)> {
        if let Expr::Condition(inner) = value {
            self.asks(inner, here, place);
            return None;
        }
        self.type_of(value, here, place).map(|(ty, origin)| (origin.name, ty))
    }

    fn ordered(&mut self, left: &(String, Ty), operator: Operator, right: &(String, Ty), place: &Place) {
        let sign = match operator {
            Operator::Lt => "<",
            Operator::Le => "<=",
            Operator::Gt => ">",
            _ => ">=",
        };
        for (name, ty) in [left, right] {
            if ty.members().contains(&Ty::None) {
                let message = format!("None not accepted by `{sign}`: {name} → {ty}");
                self.problems.push(problem(place, "comparison", message, HANDLE_NONE));
                return;
            }
        }
        let (one, other) = (kinds(&left.1), kinds(&right.1));
        let Some((one, other)) = one.zip(other) else { return };
        if one != other {
            let message = format!("`{sign}` has no order of {} and {}: {} and {}", left.1, right.1, left.0, right.0);
            let told = problem(place, "comparison", message, "compare numbers with numbers, and texts with texts");
            self.problems.push(told);
        }
    }
}

/// What can be ordered with what, of a type whose values are all of one kind.
fn kinds(ty: &Ty) -> Option<&'static str> {
    use qflow_types::Literal;
    let one = |ty: &Ty| match ty {
        Ty::Literal(values) => {
            let texts = values.iter().filter(|value| matches!(value, Literal::Text(_))).count();
            let numbers = values.iter().filter(|value| matches!(value, Literal::Int(_) | Literal::Bool(_))).count();
            match texts {
                0 if numbers == values.len() => Some("number"),
                all if all == values.len() => Some("text"),
                _ => None,
            }
        }
        other => match other.root() {
            "bool" | "int" | "float" => Some("number"),
            "str" => Some("text"),
            _ => None,
        },
    };
    let mut all = ty.members().iter().map(one);
    let first = all.next()??;
    all.all(|kind| kind == Some(first)).then_some(first)
}
