//! What is known of values where a condition holds, or does not. Pure.

use serde_json::Value;

use super::decide;
use crate::expression::{Answer, Condition, Expr, Operator};

/// A test of one value that came out one way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fact<'c> {
    /// `Truth` or `Compare`.
    pub test: &'c Condition,
    /// Whether it held.
    pub holds: bool,
}

/// The tests that must have come out one way for a condition to hold, or not; at most so many of them.
pub fn facts(condition: &Condition, holds: bool, most: usize) -> Vec<Fact<'_>> {
    let mut found = Vec::new();
    collect(condition, holds, most, &mut found);
    found
}

fn collect<'c>(condition: &'c Condition, holds: bool, most: usize, into: &mut Vec<Fact<'c>>) {
    match (condition, holds) {
        _ if into.len() >= most => {}
        (Condition::Not(inner), _) => collect(inner, !holds, most, into),
        (Condition::And(parts), true) | (Condition::Or(parts), false) => {
            parts.iter().for_each(|part| collect(part, holds, most, into));
        }
        (Condition::And(_) | Condition::Or(_), _) => {}
        (Condition::Truth(_) | Condition::Compare { .. }, _) => into.push(Fact { test: condition, holds }),
    }
}

impl<'c> Fact<'c> {
    /// The value that is tested, where the test is of one.
    pub fn tested(&self) -> Option<&'c Expr> {
        match self.test {
            Condition::Truth(tested) => Some(tested),
            Condition::Compare { left, right: Expr::Literal(_), .. } => Some(left),
            _ => None,
        }
    }

    /// Whether the tested value cannot be this one. A test that Python cannot make has not come out at all.
    pub fn contradicts(&self, value: &Expr) -> bool {
        let put_together = match value {
            Expr::Literal(_) => false,
            Expr::List(_) | Expr::Tuple(_) | Expr::Dict(_) | Expr::Format(_) | Expr::Condition(_) => true,
            Expr::Param { .. } | Expr::Result { .. } | Expr::Select { .. } => return false,
        };
        let condition = match self.test {
            Condition::Truth(_) if !put_together => Condition::Truth(value.clone()),
            Condition::Compare { operator, right: right @ Expr::Literal(_), .. } if !put_together => {
                Condition::Compare { left: value.clone(), operator: *operator, right: right.clone() }
            }
            // What is put together is not None.
            Condition::Compare { operator: operator @ (Operator::Is | Operator::IsNot), right, .. } => {
                let left = Expr::Literal(Value::Bool(true));
                Condition::Compare { left, operator: *operator, right: right.clone() }
            }
            _ => return false,
        };
        decide(&condition, &|_| Ok(Answer::default())) != Ok(self.holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn param(name: &str) -> Expr {
        Expr::Param { name: name.into(), path: vec![] }
    }

    fn compare(name: &str, operator: Operator, right: Value) -> Condition {
        Condition::Compare { left: param(name), operator, right: Expr::Literal(right) }
    }

    #[test]
    fn all_that_must_have_been_asked_is_found() {
        let (a, b, c) = (Condition::Truth(param("a")), Condition::Truth(param("b")), Condition::Truth(param("c")));
        let either = Condition::Or(vec![a.clone(), Condition::Not(Box::new(b.clone()))]);
        let both = Condition::And(vec![c.clone(), either.clone()]);
        let found = |condition: &Condition, holds| {
            facts(condition, holds, 9).into_iter().map(|f| (f.test.clone(), f.holds)).collect::<Vec<_>>()
        };
        assert_eq!(found(&either, false), [(a, false), (b, true)]);
        assert_eq!(found(&either, true), []);
        assert_eq!(found(&both, true), [(c, true)]);
        assert_eq!(facts(&Condition::And(vec![Condition::Truth(param("a")); 9]), true, 4).len(), 4);
    }

    #[test]
    fn a_value_that_comes_out_otherwise_is_not_the_one_that_was_tested() {
        let contradicts = |condition: &Condition, holds, value: &Expr| facts(condition, holds, 9)[0].contradicts(value);
        let (none, list) = (Expr::Literal(Value::Null), Expr::List(vec![param("x")]));
        let given = compare("x", Operator::IsNot, json!(null));
        assert!(contradicts(&given, true, &none) && !contradicts(&given, false, &none));
        assert!(contradicts(&given, false, &list) && !contradicts(&given, true, &list));
        assert!(!contradicts(&given, true, &param("y")));
        let truth = Condition::Truth(param("x"));
        assert!(contradicts(&truth, true, &none) && !contradicts(&truth, true, &list));
        // `None < 1` raises, so neither side of it is reached with None.
        let less = compare("x", Operator::Lt, json!(1));
        assert!(contradicts(&less, true, &none) && contradicts(&less, false, &none));
    }
}
