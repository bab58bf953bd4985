//! Annotations: from what is written to the canonical spelling of a type.

use qflow_model::limits;
use qflow_types::{Literal, Ty};
use ruff_python_ast::{Expr, Operator, UnaryOp};
use ruff_python_parser::Mode;
use ruff_text_size::{Ranged, TextRange};

use crate::{
    constant, depth,
    scope::{Bound, Units},
};

/// Why an annotation is not a type, and where.
#[derive(Clone, Debug)]
pub(crate) struct NotAType {
    pub(crate) range: TextRange,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: &'static str,
}

fn wrong(range: TextRange, message: impl Into<String>) -> NotAType {
    const REMEDY: &str = "write a type such as list[dict[str, float]]";
    NotAType { range, code: "bad-annotation", message: message.into(), remedy: REMEDY }
}

/// The type that an annotation names.
pub(crate) fn read(units: &Units<'_>, unit: usize, expr: &Expr) -> Result<Ty, NotAType> {
    let ty = Reader { units, unit, nodes: 0, inside: None }.ty(expr, 0)?;
    Ok(ty)
}

/// Types of one annotation, aliases spelt out: against aliases of aliases that double each time.
const NODES: usize = 2_000;

struct Reader<'u, 'a> {
    units: &'u Units<'a>,
    unit: usize,
    nodes: usize,
    /// The place to name for what stands in a text or behind an alias.
    inside: Option<TextRange>,
}

impl Reader<'_, '_> {
    fn range(&self, expr: &Expr) -> TextRange {
        self.inside.unwrap_or_else(|| expr.range())
    }

    fn ty(&mut self, expr: &Expr, depth: usize) -> Result<Ty, NotAType> {
        let range = self.range(expr);
        self.nodes += 1;
        if depth >= limits::DEPTH {
            let message = format!("a type nested deeper than {}", limits::DEPTH);
            return Err(NotAType { code: "too-deep", remedy: "name a part of it by a class", ..wrong(range, message) });
        }
        if self.nodes > NODES {
            let message = format!("a type of more than {NODES} parts");
            return Err(NotAType {
                code: "too-large",
                remedy: "name a part of it by a class",
                ..wrong(range, message)
            });
        }
        match expr {
            Expr::NoneLiteral(_) => Ok(Ty::None),
            Expr::StringLiteral(literal) => self.text(literal.value.to_str(), range, depth),
            Expr::BinOp(binary) if binary.op == Operator::BitOr => {
                Ok(Ty::union([self.ty(&binary.left, depth + 1)?, self.ty(&binary.right, depth + 1)?]))
            }
            Expr::Name(_) | Expr::Attribute(_) => self.named(expr, depth),
            Expr::Subscript(subscript) => {
                let parts: &[Expr] = match &*subscript.slice {
                    Expr::Tuple(tuple) => &tuple.elts,
                    one => std::slice::from_ref(one),
                };
                let name = self.name(&subscript.value)?;
                self.generic(&name, parts, range, depth)
            }
            _ => Err(wrong(range, "this is not a type")),
        }
    }

    /// A type that stands in a text: a forward reference.
    fn text(&mut self, text: &str, range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        if depth::check(text, Mode::Expression).is_err() {
            let message = format!("a type nested deeper than {}", limits::DEPTH);
            return Err(NotAType { code: "too-deep", remedy: "name a part of it by a class", ..wrong(range, message) });
        }
        let parsed = ruff_python_parser::parse_expression(text.trim())
            .map_err(|error| wrong(range, format!("the text is not a type: {}", error.error)))?;
        let before = self.inside.replace(range);
        let ty = self.ty(parsed.expr(), depth + 1);
        self.inside = before;
        ty
    }

    /// The last part of the name that an expression stands for, through imports and without looking behind aliases.
    fn name(&self, expr: &Expr) -> Result<String, NotAType> {
        let written = match expr {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.id.as_str(),
            _ => return Err(wrong(self.range(expr), "this is not a type")),
        };
        Ok(match self.units.resolve(self.unit, expr) {
            Some(Bound::Foreign(dotted)) => dotted.rsplit('.').next().unwrap_or(written).to_owned(),
            Some(Bound::Qflow(name)) => name.to_owned(),
            Some(Bound::Class(_, class)) => class.name.id.as_str().to_owned(),
            _ => written.to_owned(),
        })
    }

    fn named(&mut self, expr: &Expr, depth: usize) -> Result<Ty, NotAType> {
        let range = self.range(expr);
        match self.units.resolve(self.unit, expr) {
            Some(Bound::Assigned(at, value)) => self.alias(at, value, range, depth),
            Some(Bound::Foreign(_) | Bound::Qflow(_) | Bound::Class(..)) => Self::class(&self.name(expr)?, range),
            Some(Bound::Other) => Ok(Ty::Any),
            Some(_) => Err(wrong(range, "this is not a type")),
            None => {
                let name = self.name(expr)?;
                if matches!(expr, Expr::Name(_)) && !BUILTIN.contains(&name.as_str()) {
                    let message = format!("no type `{name}` here");
                    let remedy = "import it, or define it at the top level";
                    return Err(NotAType { code: "unknown-type", remedy, ..wrong(range, message) });
                }
                Self::class(&name, range)
            }
        }
    }

    fn class(name: &str, range: TextRange) -> Result<Ty, NotAType> {
        match name {
            "Callable" => Err(NotAType {
                code: "callable-type",
                remedy: "name a node instead, or pass what the function needs",
                ..wrong(range, "a function does not travel between nodes")
            }),
            // Read by its own spelling: bare containers, Any, Never.
            _ => name.parse().map_err(|_| wrong(range, format!("`{name}` is not a type"))),
        }
    }

    /// `Rows = list[…]`, `UserId = NewType("UserId", int)`, `T = TypeVar("T")`.
    fn alias(&mut self, at: usize, value: &Expr, range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        let before = (self.unit, self.inside.replace(range));
        self.unit = at;
        let ty = match value {
            Expr::Call(call) => match self.name(&call.func)?.as_str() {
                "NewType" => match call.arguments.args.get(1) {
                    Some(base) => self.ty(base, depth + 1),
                    None => Err(wrong(range, "a NewType without its base")),
                },
                "TypeVar" => Ok(Ty::Any),
                _ => Err(wrong(range, "this is not a type")),
            },
            other => self.ty(other, depth + 1),
        };
        (self.unit, self.inside) = before;
        ty
    }

    fn generic(&mut self, name: &str, parts: &[Expr], range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        let one = |count: usize| match parts.len() == count {
            true => Ok(()),
            false => Err(wrong(range, format!("`{name}` takes {count} types, not {}", parts.len()))),
        };
        match name {
            "Annotated" | "Required" | "NotRequired" | "ReadOnly" | "Final" => {
                let inner = parts.first().ok_or_else(|| wrong(range, "this is not a type"))?;
                self.ty(inner, depth + 1)
            }
            "Literal" => self.literals(parts, range),
            "Optional" => {
                one(1)?;
                Ok(self.ty(&parts[0], depth + 1)?.optional())
            }
            "Union" => Ok(Ty::union(self.each(parts, depth)?)),
            "Tuple" | "tuple" => match parts {
                [Expr::Tuple(empty)] if empty.elts.is_empty() => Ok(Ty::Tuple(vec![])),
                [item, Expr::EllipsisLiteral(_)] => Ok(Ty::Tuples(Box::new(self.ty(item, depth + 1)?))),
                _ => Ok(Ty::Tuple(self.each(parts, depth)?)),
            },
            "Callable" => Self::class(name, range),
            _ => {
                let base = Self::class(name, range)?;
                let Ty::Class(base) = base else {
                    return Err(wrong(range, format!("`{name}` takes no types")));
                };
                match base.as_str() {
                    "list" | "set" | "frozenset" | "Sequence" | "Iterable" | "Collection" | "Set" => one(1)?,
                    "dict" | "Mapping" => one(2)?,
                    "int" | "float" | "str" | "bool" | "bytes" => {
                        return Err(wrong(range, format!("`{base}` takes no types")));
                    }
                    // The parameters of other classes are theirs: `ndarray[Any, dtype[float64]]`, `Pickle[Model]`.
                    _ => {}
                }
                let parameters = self.each(parts, depth)?;
                // A class that Qflow does not know is told by its name alone where its parameters are no types.
                Ok(Ty::Generic(base, parameters))
            }
        }
    }

    fn each(&mut self, parts: &[Expr], depth: usize) -> Result<Vec<Ty>, NotAType> {
        parts.iter().map(|part| self.ty(part, depth + 1)).collect()
    }

    fn literals(&mut self, parts: &[Expr], range: TextRange) -> Result<Ty, NotAType> {
        let mut values = Vec::new();
        let mut none = false;
        for part in parts {
            let negative = matches!(part, Expr::UnaryOp(unary) if unary.op == UnaryOp::USub);
            let constant = constant::value(self.units, self.unit, part).ok();
            match constant {
                Some(serde_json::Value::Null) => none = true,
                Some(serde_json::Value::Bool(flag)) if !negative => values.push(Literal::Bool(flag)),
                Some(serde_json::Value::Number(number)) if number.is_i64() => {
                    values.push(Literal::Int(number.as_i64().unwrap_or_default()));
                }
                Some(serde_json::Value::String(text)) => values.push(Literal::Text(text)),
                // A member of an enum: the enum is what can be told of it.
                Some(member) if member.get("$").is_some_and(|tag| tag == "enum") => {
                    let name = member["t"].as_str().and_then(|t| t.rsplit('.').next()).unwrap_or("Any");
                    return Self::class(name, range);
                }
                _ => return Err(wrong(self.range(part), "Literal takes texts, whole numbers, True, False and None")),
            }
        }
        values.sort();
        values.dedup();
        let ty = if values.is_empty() { Ty::Never } else { Ty::Literal(values) };
        Ok(if none { ty.optional() } else { ty })
    }
}

/// Types that are there without an import.
const BUILTIN: &[&str] = &[
    "bool",
    "int",
    "float",
    "complex",
    "str",
    "bytes",
    "bytearray",
    "list",
    "set",
    "frozenset",
    "tuple",
    "dict",
    "object",
    "type",
    "range",
    "slice",
    "memoryview",
    "Exception",
    "BaseException",
];
