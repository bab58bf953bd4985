//! Annotations: from what is written to the canonical spelling of a type.

mod class;

pub(crate) use class::own;

use qflow_model::limits;
use qflow_types::{Literal, Ty};
use ruff_python_ast::{Expr, Operator};
use ruff_python_parser::Mode;
use ruff_text_size::{Ranged, TextRange};

use crate::{
    constant, depth,
    scope::{self, Bound, Spent, Units},
};

/// Parts of one annotation, aliases spelt out: against aliases of aliases that double each time.
const PARTS: usize = 500;
const IN_PARTS: &str = "name a part of it by a class";

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

fn too_deep(range: TextRange) -> NotAType {
    let message = format!("a type nested deeper than {}", limits::DEPTH);
    NotAType { code: "too-deep", remedy: IN_PARTS, ..wrong(range, message) }
}

/// The type that an annotation names; `variables` are the function's own type parameters.
pub(crate) fn read(units: &Units<'_>, unit: usize, expr: &Expr, variables: &[&str]) -> Result<Ty, NotAType> {
    Reader { units, unit, parts: 0, inside: None, open: Vec::new(), variables }.ty(expr, 0)
}

struct Reader<'u, 'a> {
    units: &'u Units<'a>,
    unit: usize,
    parts: usize,
    /// The place to name for what stands in a text or behind an alias.
    inside: Option<TextRange>,
    /// Aliases that are being spelt out.
    open: Vec<&'a Expr>,
    variables: &'u [&'u str],
}

impl<'a> Reader<'_, 'a> {
    fn range(&self, expr: &Expr) -> TextRange {
        self.inside.unwrap_or_else(|| expr.range())
    }

    fn ty(&mut self, expr: &Expr, depth: usize) -> Result<Ty, NotAType> {
        let range = self.range(expr);
        self.parts += 1;
        if depth >= limits::DEPTH {
            return Err(too_deep(range));
        }
        let spent = self.units.spend(1);
        if self.parts > PARTS || spent == Spent::Past {
            let message = format!("a type of more than {PARTS} parts, or one type too many, names spelt out");
            return Err(NotAType { code: "too-large", remedy: IN_PARTS, ..wrong(range, message) });
        }
        if spent == Spent::Told {
            return Ok(Ty::Any);
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
                    Expr::Tuple(tuple) if !tuple.elts.is_empty() => &tuple.elts,
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
            return Err(too_deep(range));
        }
        let parsed = ruff_python_parser::parse_expression(text.trim())
            .map_err(|error| wrong(range, format!("the text is not a type: {}", error.error)))?;
        let before = self.inside.replace(range);
        let ty = self.ty(parsed.expr(), depth + 1);
        self.inside = before;
        ty
    }

    /// The name that an expression stands for, through imports and without looking behind aliases.
    fn name(&self, expr: &Expr) -> Result<String, NotAType> {
        let written = match expr {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.id.as_str(),
            _ => return Err(wrong(self.range(expr), "this is not a type")),
        };
        let bound = self.units.resolve(self.unit, expr);
        if bound.is_none() {
            self.must_be_there(expr, written)?;
        }
        let spelled = match bound {
            Some(Bound::Class(at, class)) => {
                return Ok(class::own(class.name.id.as_str(), &self.units.files[at].text.module()));
            }
            Some(Bound::Foreign(dotted)) => class::foreign(&dotted),
            Some(Bound::Qflow(name)) => name.to_owned(),
            _ => written.to_owned(),
        };
        self.units.others.borrow_mut().insert(spelled.clone());
        Ok(spelled)
    }

    /// A name that nothing binds is a builtin's, or unknown.
    fn must_be_there(&self, expr: &Expr, written: &str) -> Result<(), NotAType> {
        let root = scope::root(expr).unwrap_or(written);
        let known = match expr {
            Expr::Name(_) => {
                class::is_builtin(root) || self.variables.contains(&root) || self.units.files[self.unit].stars
            }
            _ => self.units.named(self.unit, root).is_some(),
        };
        if known {
            return Ok(());
        }
        let message = format!("no type `{root}` here");
        let remedy = "import it, or define it at the top level";
        Err(NotAType { code: "unknown-type", remedy, ..wrong(self.range(expr), message) })
    }

    fn named(&mut self, expr: &Expr, depth: usize) -> Result<Ty, NotAType> {
        let range = self.range(expr);
        match self.units.resolve(self.unit, expr) {
            _ if expr.as_name_expr().is_some_and(|name| self.variables.contains(&name.id.as_str())) => Ok(Ty::Any),
            Some(Bound::Assigned(at, value)) => self.alias(at, value, range, depth),
            Some(Bound::Foreign(_) | Bound::Qflow(_) | Bound::Class(..)) | None => class::ty(&self.name(expr)?, range),
            Some(Bound::Other | Bound::Unread) => Ok(Ty::Any),
            Some(_) => Err(wrong(range, "this is not a type")),
        }
    }

    /// `Rows = list[…]`, `UserId = NewType("UserId", int)`, `T = TypeVar("T")`.
    fn alias(&mut self, at: usize, value: &'a Expr, range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        // `type Tree = dict[str, Tree] | int`: what stands for itself within itself is not spelt out a second time.
        if self.open.iter().any(|open| std::ptr::eq(*open, value)) {
            return Ok(Ty::Any);
        }
        self.open.push(value);
        let before = (self.unit, self.inside.replace(range));
        self.unit = at;
        let ty = match value {
            Expr::Call(call) => match self.name(&call.func)?.rsplit('.').next().unwrap_or_default() {
                "NewType" => match call.arguments.args.get(1) {
                    Some(base) => self.ty(base, depth + 1),
                    None => Err(wrong(range, "a NewType without its base")),
                },
                "TypeVar" => Ok(Ty::Any),
                // `Row = namedtuple("Row", "a b")`, `Color = Enum("Color", "RED")`: a class by a call.
                name @ ("namedtuple" | "NamedTuple" | "TypedDict" | "Enum" | "IntEnum" | "StrEnum"
                | "make_dataclass") => {
                    let named = call.arguments.args.first().and_then(Expr::as_string_literal_expr);
                    let name = named.map_or(name, |literal| literal.value.to_str());
                    self.units.others.borrow_mut().insert(name.to_owned());
                    class::ty(name, range)
                }
                _ => Err(wrong(range, "this is not a type")),
            },
            other => self.ty(other, depth + 1),
        };
        (self.unit, self.inside) = before;
        self.open.pop();
        ty
    }

    fn generic(&mut self, name: &str, parts: &[Expr], range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        match name {
            "Annotated" | "Required" | "NotRequired" | "ReadOnly" | "Final" => {
                let inner = parts.first().ok_or_else(|| wrong(range, "this is not a type"))?;
                self.ty(inner, depth + 1)
            }
            "Literal" => self.literals(parts, range),
            "Optional" => {
                class::takes(name, 1, parts.len(), range)?;
                Ok(self.ty(&parts[0], depth + 1)?.optional())
            }
            "Union" => Ok(Ty::union(self.each(parts, depth)?)),
            "Tuple" | "tuple" => match parts {
                [Expr::Tuple(empty)] if empty.elts.is_empty() => Ok(Ty::Tuple(vec![])),
                [item, Expr::EllipsisLiteral(_)] => Ok(Ty::Tuples(Box::new(self.ty(item, depth + 1)?))),
                _ => Ok(Ty::Tuple(self.each(parts, depth)?)),
            },
            "Callable" => class::ty(name, range),
            _ => {
                let base = class::base(name, parts.len(), range)?;
                // What the parameters of a class mean that Qflow does not know is theirs to say.
                let mut parameters = Vec::new();
                for part in parts {
                    match self.ty(part, depth + 1) {
                        Ok(ty) => parameters.push(ty),
                        Err(why) if class::is_known(&base) || why.code != "bad-annotation" => return Err(why),
                        Err(_) => parameters.push(Ty::Any),
                    }
                }
                Ok(Ty::Generic(base, parameters))
            }
        }
    }

    fn each(&mut self, parts: &[Expr], depth: usize) -> Result<Vec<Ty>, NotAType> {
        parts.iter().map(|part| self.ty(part, depth + 1)).collect()
    }

    fn literals(&mut self, parts: &[Expr], range: TextRange) -> Result<Ty, NotAType> {
        let (mut values, mut others) = (Vec::new(), Vec::new());
        for part in parts {
            match constant::value(self.units, self.unit, part).ok() {
                Some(serde_json::Value::Null) => others.push(Ty::None),
                Some(serde_json::Value::Bool(flag)) => values.push(Literal::Bool(flag)),
                Some(serde_json::Value::Number(number)) if number.is_i64() => {
                    values.push(Literal::Int(number.as_i64().unwrap_or_default()));
                }
                Some(serde_json::Value::String(text)) => values.push(Literal::Text(text)),
                // A member of an enum: the enum is what can be told of it.
                Some(member) if member.get("$").is_some_and(|tag| tag == "enum") => {
                    let name = member["t"].as_str().and_then(|t| t.rsplit('.').next()).unwrap_or("Any");
                    others.push(class::ty(name, range)?);
                }
                _ => return Err(wrong(self.range(part), "Literal takes texts, whole numbers, True, False and None")),
            }
        }
        values.sort();
        values.dedup();
        let literal = if values.is_empty() { Ty::Never } else { Ty::Literal(values) };
        Ok(Ty::union(others.into_iter().chain([literal])))
    }
}
