//! `Literal[…]`: texts, bytes, whole numbers, truths, members of enums, `None`, and others of its kind.

use qflow_types::{Literal, Ty};
use ruff_python_ast::Expr;
use ruff_text_size::TextRange;

use super::{NotAType, Reader, class, wrong};
use crate::{classes, constant};

impl Reader<'_, '_> {
    pub(super) fn literals(&mut self, parts: &[Expr], range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        let (mut values, mut others) = (Vec::new(), Vec::new());
        for part in parts {
            match constant::value(self.units, self.unit, part).ok() {
                Some(serde_json::Value::Null) => others.push(Ty::None),
                Some(serde_json::Value::Bool(flag)) => values.push(Literal::Bool(flag)),
                Some(serde_json::Value::Number(number)) if number.is_i64() => {
                    values.push(Literal::Int(number.as_i64().unwrap_or_default()));
                }
                Some(serde_json::Value::String(text)) => values.push(Literal::Text(text)),
                Some(member) if member.get("$").is_some_and(|tag| tag == "enum") => {
                    if let Expr::Attribute(attribute) = part {
                        values.push(Literal::Member(
                            self.name(&attribute.value)?,
                            member["v"].as_str().unwrap_or_default().to_owned(),
                        ));
                    } else {
                        // Through a name of its own: the enum is what can be told of it.
                        let (module, name) =
                            member["t"].as_str().and_then(|t| t.rsplit_once('.')).unwrap_or(("", "Any"));
                        let unit = self.units.files.iter().position(|file| file.text.module() == module);
                        let spelled = unit.map_or_else(|| name.to_owned(), |unit| self.units.own(unit, name));
                        others.push(class::ty(&spelled, range)?);
                    }
                }
                _ if part.is_bytes_literal_expr() => {
                    let bytes = part.as_bytes_literal_expr().map(|literal| literal.value.bytes().collect());
                    values.push(Literal::Bytes(bytes.unwrap_or_default()));
                }
                // `Literal[Literal[1, 2], 3]`; `Literal[Mode]` where `Mode = Literal["r", "w"]`.
                _ if part.is_subscript_expr() || self.is_alias(part) => others.push(self.ty(part, depth + 1)?),
                Some(large) if large.get("$").is_some_and(|tag| tag == "int") => {
                    let message = "a whole number in a Literal lies within ±2⁵³ here";
                    let remedy = "declare int, and compare in the node";
                    return Err(NotAType { remedy, ..wrong(self.range(part), message) });
                }
                _ => {
                    let message = "Literal takes texts, bytes, whole numbers, members of enums, True, False and None";
                    return Err(match classes::missing_member(self.units, self.unit, part) {
                        Some(missing) => {
                            NotAType { remedy: "name a member that it has", ..wrong(self.range(part), missing) }
                        }
                        None => wrong(self.range(part), message),
                    });
                }
            }
        }
        Ok(Ty::union(others.into_iter().chain([Ty::literal(values)])))
    }
}
