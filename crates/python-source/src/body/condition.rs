//! What an `if` may ask.

use qflow_model::expression::{Condition, Expr as Value};
use ruff_python_ast::{BoolOp, CmpOp, Expr, ExprCompare, UnaryOp};

use super::{Body, part::operator};

impl Body<'_, '_> {
    pub(super) fn condition(&mut self, expr: &Expr) -> Option<Condition> {
        match expr {
            Expr::BoolOp(both) => {
                let parts: Vec<_> = both.values.iter().map(|value| self.condition(value)).collect();
                let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
                Some(if both.op == BoolOp::And { Condition::And(parts) } else { Condition::Or(parts) })
            }
            Expr::UnaryOp(not) if not.op == UnaryOp::Not => {
                Some(Condition::Not(Box::new(self.condition(&not.operand)?)))
            }
            Expr::Compare(compare) => self.comparison(compare),
            other => {
                let value = self.value(other)?;
                if self.is_frame(&value) {
                    let message = "the truth of a frame or an array is ambiguous";
                    self.refuse(other, "ambiguous-truth", message, "return a bool from a node, and ask that");
                    return None;
                }
                Some(match value {
                    Value::Condition(condition) => *condition,
                    value => Condition::Truth(value),
                })
            }
        }
    }

    fn comparison(&mut self, compare: &ExprCompare) -> Option<Condition> {
        let both = std::iter::once(&*compare.left).chain(&compare.comparators);
        let sides: Vec<_> = both.map(|side| (side, self.value(side))).collect();
        let mut parts = Some(Vec::new());
        for (pair, op) in sides.windows(2).zip(&compare.ops) {
            let [(_, left), (right_at, right)] = pair else { continue };
            let literal = matches!(right, Some(Value::Literal(_)) | None);
            let wrong = match op {
                CmpOp::Is | CmpOp::IsNot if !right_at.is_none_literal_expr() => {
                    Some(("is with anything but None", "write =="))
                }
                CmpOp::In | CmpOp::NotIn if !literal => Some(("in with what is no literal", "put it in a node")),
                _ => None,
            };
            if let Some((message, remedy)) = wrong {
                self.refuse(*right_at, "comparison", message, remedy);
            }
            parts = parts.zip(left.clone().zip(right.clone())).map(|(mut parts, (left, right))| {
                parts.push(Condition::Compare { left, operator: operator(*op), right });
                parts
            });
        }
        let mut parts = parts?;
        Some(if parts.len() == 1 { parts.remove(0) } else { Condition::And(parts) })
    }
}
