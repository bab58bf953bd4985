//! What a branch's condition comes to, from what outcomes' headers answer. Pure.

mod facts;

use std::cmp::Ordering;

use serde_json::Value;

use crate::{
    expression::{Answer, Condition, Expr, Operator, Scalar},
    tagged::{tag, whole},
};

pub use facts::{Fact, facts};

/// A condition that Python would not decide either; the text is Python's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {message}")]
pub struct Undecided {
    /// `TypeError`, `KeyError`, …
    pub error_type: String,
    /// What went wrong.
    pub message: String,
}

impl Undecided {
    fn type_error(message: impl Into<String>) -> Self {
        Self { error_type: "TypeError".into(), message: message.into() }
    }
}

/// Decides `condition`; `answer` says what is known of an expression that is not a literal.
pub fn decide(condition: &Condition, answer: &dyn Fn(&Expr) -> Result<Answer, Undecided>) -> Result<bool, Undecided> {
    match condition {
        Condition::Truth(expr) => {
            let known = known(expr, answer)?;
            known
                .truth
                .ok_or_else(|| Undecided::type_error("the truth of this value is ambiguous; put the test in a node"))
        }
        Condition::Not(inner) => Ok(!decide(inner, answer)?),
        Condition::And(parts) => {
            for part in parts {
                if !decide(part, answer)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Condition::Or(parts) => {
            for part in parts {
                if decide(part, answer)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Condition::Compare { left, operator, right } => compare(left, *operator, right, answer),
    }
}

fn known(expr: &Expr, answer: &dyn Fn(&Expr) -> Result<Answer, Undecided>) -> Result<Answer, Undecided> {
    let known = match expr {
        Expr::Literal(value) => of_literal(value),
        other => answer(other)?,
    };
    match known.missing {
        Some(text) => {
            let (error_type, message) = text.split_once(": ").unwrap_or(("LookupError", &text));
            Err(Undecided { error_type: error_type.to_owned(), message: message.to_owned() })
        }
        None => Ok(known),
    }
}

fn compare(
    left: &Expr,
    operator: Operator,
    right: &Expr,
    answer: &dyn Fn(&Expr) -> Result<Answer, Undecided>,
) -> Result<bool, Undecided> {
    let left = known(left, answer)?;
    if matches!(operator, Operator::In | Operator::NotIn) {
        let Expr::Literal(container) = right else {
            return Err(Undecided::type_error("the right side of `in` is a literal; put the test in a node"));
        };
        let found = contains(container, &scalar(&left)?)?;
        return Ok(found == (operator == Operator::In));
    }
    let right = known(right, answer)?;
    if matches!(operator, Operator::Is | Operator::IsNot) {
        // Only None is compared by identity: a value too large for the header is not None.
        let is_none = left.scalar == Some(Scalar::None);
        return Ok(is_none == (operator == Operator::Is));
    }
    let (left, right) = (scalar(&left)?, scalar(&right)?);
    comparable_members(&left, &right)?;
    let order = order(&left, &right);
    match operator {
        Operator::Eq => Ok(order == Some(Ordering::Equal)),
        Operator::Ne => Ok(order != Some(Ordering::Equal)),
        _ => {
            let comparable = (number(&left).is_some() && number(&right).is_some())
                || matches!(
                    (&left, &right),
                    (Scalar::Text(_), Scalar::Text(_))
                        | (Scalar::Instant(_), Scalar::Instant(_))
                        | (Scalar::Duration(_), Scalar::Duration(_))
                );
            if !comparable {
                let (left, right) = (type_name(&left), type_name(&right));
                return Err(Undecided::type_error(format!("no order between instances of '{left}' and '{right}'")));
            }
            Ok(match operator {
                Operator::Lt => order == Some(Ordering::Less),
                Operator::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                Operator::Gt => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            })
        }
    }
}

fn scalar(answer: &Answer) -> Result<Scalar, Undecided> {
    answer.scalar.clone().ok_or_else(|| {
        Undecided::type_error(
            "only None, bools, numbers and short texts are compared here; put the comparison in a node",
        )
    })
}

fn contains(container: &Value, item: &Scalar) -> Result<bool, Undecided> {
    let items = match container {
        Value::String(text) => {
            let Scalar::Text(part) = item else {
                return Err(Undecided::type_error(format!(
                    "'in <string>' requires string as left operand, not {}",
                    type_name(item)
                )));
            };
            return Ok(text.contains(part.as_str()));
        }
        Value::Object(tagged) => tagged.get("v").unwrap_or(container),
        other => other,
    };
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    for literal in items.iter().filter_map(|literal| of_literal(literal).scalar) {
        comparable_members(&literal, item)?;
        if order(&literal, item) == Some(Ordering::Equal) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A member of an enum that is a text or a number too equals such a one: that is not ours to say.
fn comparable_members(left: &Scalar, right: &Scalar) -> Result<(), Undecided> {
    let class = |member: &str| member.rsplit_once('.').map(|(class, _)| class.to_owned());
    match (left, right) {
        (Scalar::Member(left), Scalar::Member(right)) if class(left) == class(right) => Ok(()),
        (Scalar::Member(_), Scalar::None) | (Scalar::None, Scalar::Member(_)) => Ok(()),
        (Scalar::Member(_), _) | (_, Scalar::Member(_)) => Err(Undecided::type_error(
            "a member of an enum is compared with members of the same enum here; put the comparison in a node",
        )),
        _ => Ok(()),
    }
}

/// Python's order of two scalars: bools are numbers, None equals itself, unlike kinds are unequal, NaN equals nothing.
fn order(left: &Scalar, right: &Scalar) -> Option<Ordering> {
    match (left, right) {
        (Scalar::None, Scalar::None) => Some(Ordering::Equal),
        (Scalar::Text(left), Scalar::Text(right)) => Some(left.cmp(right)),
        (Scalar::Member(left), Scalar::Member(right)) => (left == right).then_some(Ordering::Equal),
        (Scalar::Int(left), Scalar::Int(right))
        | (Scalar::Instant(left), Scalar::Instant(right))
        | (Scalar::Duration(left), Scalar::Duration(right)) => Some(left.cmp(right)),
        _ => number(left)?.partial_cmp(&number(right)?),
    }
}

fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::Bool(value) => Some(f64::from(u8::from(*value))),
        Scalar::Int(value) => Some(*value as f64),
        Scalar::Float(value) => Some(*value),
        Scalar::None | Scalar::Text(_) | Scalar::Instant(_) | Scalar::Duration(_) | Scalar::Member(_) => None,
    }
}

fn type_name(scalar: &Scalar) -> &'static str {
    match scalar {
        Scalar::None => "NoneType",
        Scalar::Bool(_) => "bool",
        Scalar::Int(_) => "int",
        Scalar::Float(_) => "float",
        Scalar::Text(_) => "str",
        Scalar::Instant(_) => "datetime",
        Scalar::Duration(_) => "timedelta",
        Scalar::Member(_) => "Enum",
    }
}

/// What is known of a literal in the tagged form: of a long text too, since it is here.
pub fn of_literal(value: &Value) -> Answer {
    let known = whole(value);
    match value {
        Value::String(text) => Answer { scalar: Some(Scalar::Text(text.clone())), ..known },
        _ => Answer { truth: known.truth.or_else(|| tag(value).map(|_| true)), ..known },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(left: Value, operator: Operator, right: Value) -> Result<bool, Undecided> {
        let condition = Condition::Compare { left: Expr::Literal(left), operator, right: Expr::Literal(right) };
        decide(&condition, &|_| unreachable!("there are only literals"))
    }

    #[test]
    fn comparisons_are_pythons() {
        for (left, operator, right, expected) in [
            (json!(1), Operator::Eq, json!(1.0), true),
            (json!(true), Operator::Eq, json!(1), true),
            (json!("1"), Operator::Eq, json!(1), false),
            (json!(null), Operator::Is, json!(null), true),
            (json!(0), Operator::IsNot, json!(null), true),
            (json!(2), Operator::Gt, json!(1.5), true),
            (json!("b"), Operator::Le, json!("a"), false),
            (json!("x"), Operator::In, json!(["x", "y"]), true),
            (json!("x"), Operator::NotIn, json!({"$": "tuple", "v": ["y"]}), true),
            (json!("ell"), Operator::In, json!("hello"), true),
            (json!({"$": "float", "v": "nan"}), Operator::Ne, json!({"$": "float", "v": "nan"}), true),
        ] {
            assert_eq!(holds(left.clone(), operator, right.clone()), Ok(expected), "{left} {operator:?} {right}");
        }
    }

    #[test]
    fn members_of_an_enum_are_compared_with_each_other() {
        let member = |of: &str, name: &str| json!({"$": "enum", "t": format!("pkg.w.{of}"), "v": name});
        let day = member("Unit", "DAY");
        assert_eq!(holds(day.clone(), Operator::Eq, day.clone()), Ok(true));
        assert_eq!(holds(day.clone(), Operator::Ne, member("Unit", "HOUR")), Ok(true));
        assert_eq!(holds(day.clone(), Operator::In, json!([member("Unit", "HOUR"), day])), Ok(true));
        assert_eq!(holds(json!(null), Operator::Eq, day.clone()), Ok(false));
        for other in [json!("day"), json!(1), member("Other", "DAY")] {
            assert!(holds(day.clone(), Operator::Eq, other.clone()).is_err(), "{other}");
            assert!(holds(day.clone(), Operator::In, json!([other])).is_err());
        }
        assert!(holds(day.clone(), Operator::Lt, day.clone()).is_err());
    }

    #[test]
    fn unlike_kinds_have_no_order() {
        let error = holds(json!("a"), Operator::Lt, json!(1)).unwrap_err();
        assert_eq!(error.to_string(), "TypeError: no order between instances of 'str' and 'int'");
    }

    #[test]
    fn the_right_side_is_not_asked_where_the_left_decides() {
        let unknown = Condition::Truth(Expr::Param { name: "x".into(), path: vec![] });
        let condition = Condition::Or(vec![Condition::Truth(Expr::Literal(json!(1))), unknown]);
        assert_eq!(decide(&condition, &|_| panic!("asked")), Ok(true));
    }
}
