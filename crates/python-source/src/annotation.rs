//! Annotations: from what is written to the canonical spelling of a type.

mod class;
mod form;
mod literal;
mod variable;

pub(crate) use class::own;
pub(crate) use variable::enums;

use qflow_model::limits;
use qflow_types::{Solution, Ty, Variables};
use ruff_python_ast::{Expr, Operator, Stmt, TypeParam};
use ruff_python_parser::Mode;
use ruff_text_size::{Ranged, TextRange};

use crate::{
    classes, depth,
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

/// The type that an annotation names; `own` are the function's own type parameters. Variables that it names are put to `found`.
pub(crate) fn generic<'a>(
    units: &Units<'a>,
    unit: usize,
    expr: &Expr,
    own: &'a [TypeParam],
    found: &mut Variables,
) -> Result<Ty, NotAType> {
    let mut reader = Reader::new(units, unit, own);
    let ty = reader.ty(expr, 0)?;
    found.extend(reader.found);
    Ok(ty)
}

/// The type that a text names, told at a place where it is none.
pub(crate) fn text(units: &Units<'_>, unit: usize, text: &str, range: TextRange) -> Result<Ty, NotAType> {
    let mut reader = Reader::new(units, unit, &[]);
    reader.text(text, range, 0)
}

/// The same where no variable has a meaning: each is `Any`.
pub(crate) fn read(units: &Units<'_>, unit: usize, expr: &Expr) -> Result<Ty, NotAType> {
    Ok(Solution::default().apply(generic(units, unit, expr, &[], &mut Variables::new())?))
}

struct Reader<'u, 'a> {
    units: &'u Units<'a>,
    /// The file that the annotation stands in.
    home: usize,
    /// The file whose names are meant: behind an alias another one.
    unit: usize,
    parts: usize,
    /// The place to name for what stands in a text or behind an alias.
    inside: Option<TextRange>,
    /// Aliases that are being spelt out.
    open: Vec<&'a Expr>,
    /// The function's own type parameters.
    own: &'a [TypeParam],
    /// Variables that came up.
    found: Variables,
    /// The same in the order in which they did: what an alias is given goes by that.
    order: Vec<String>,
    /// Whether elements of an array or a series are being told, which numpy's scalars are: by itself one travels as Python's.
    elements: bool,
}

impl<'u, 'a> Reader<'u, 'a> {
    fn new(units: &'u Units<'a>, unit: usize, own: &'a [TypeParam]) -> Self {
        let (inside, open, found, order) = (None, Vec::new(), Variables::new(), Vec::new());
        Self { units, home: unit, unit, parts: 0, inside, open, own, found, order, elements: false }
    }

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
            return Err(too_large(range));
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
                match self.units.resolve(self.unit, &subscript.value) {
                    Some(Bound::Assigned(at, value) | Bound::Either(at, value)) => {
                        return self.given((at, value), spelled(&subscript.value), parts, range, depth);
                    }
                    Some(Bound::Other) => return Ok(self.unsure(&subscript.value)),
                    // `np.floating[Any]`: how many bits it has, which is no type of ours.
                    Some(Bound::Foreign(dotted)) if class::has_precision(&dotted) => {
                        return self.named(&subscript.value, depth);
                    }
                    Some(Bound::Foreign(dotted)) => form::with_types(&dotted, range)?,
                    _ => {}
                }
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
        // Over several lines it is read as if it stood in parentheses.
        let lines = if text.trim().contains('\n') { format!("({text}\n)") } else { text.trim().to_owned() };
        let parsed = ruff_python_parser::parse_expression(&lines)
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
        if let (None, Some(inner)) = (&bound, self.inner(expr)?) {
            return Ok(inner);
        }
        if bound.is_none() {
            self.must_be_there(expr, written)?;
        }
        let spelled = match bound {
            Some(Bound::Class(at, class)) => {
                return Ok(self.units.own(at, class.name.id.as_str()));
            }
            Some(Bound::Foreign(dotted)) => class::foreign(&dotted, |name| self.units.has_class(name)),
            Some(Bound::Qflow(name)) => name.to_owned(),
            _ => written.to_owned(),
        };
        self.units.others.borrow_mut().insert(spelled.clone());
        Ok(spelled)
    }

    /// `Outer.Inner`: a class within a class, of which no more than the name is read.
    fn inner(&self, expr: &Expr) -> Result<Option<String>, NotAType> {
        let Expr::Attribute(attribute) = expr else { return Ok(None) };
        let Some(Bound::Class(at, class)) = self.units.resolve(self.unit, &attribute.value) else { return Ok(None) };
        let (name, range) = (attribute.attr.id.as_str(), self.range(expr));
        let is_there =
            class.body.iter().filter_map(Stmt::as_class_def_stmt).any(|inner| inner.name.id.as_str() == name);
        if !is_there {
            return Err(wrong(range, format!("`{}` holds no class `{name}`", class.name.id)));
        }
        let spelled = format!("{}.{name}", self.units.own(at, class.name.id.as_str()));
        self.units.unread.borrow_mut().push((self.home, range, spelled.clone(), "it stands within another class"));
        Ok(Some(spelled))
    }

    /// A name that nothing binds is a builtin's, or unknown.
    fn must_be_there(&self, expr: &Expr, written: &str) -> Result<(), NotAType> {
        let root = scope::root(expr).unwrap_or(written);
        let known = match expr {
            Expr::Name(_) => class::is_builtin(root) || self.units.files[self.unit].stars,
            _ => self.units.named(self.unit, root).is_some(),
        };
        let (message, remedy) = match self.lacking(expr) {
            Some(module) => (format!("`{module}` has no type `{written}`"), "define it there at the top level"),
            None if known => return Ok(()),
            None => (format!("no type `{root}` here"), "import it, or define it at the top level"),
        };
        Err(NotAType { code: "unknown-type", remedy, ..wrong(self.range(expr), message) })
    }

    /// The module of the submission's own that a dotted name is asked of and that binds no such name, whatever it imports.
    fn lacking(&self, expr: &Expr) -> Option<String> {
        let attribute = expr.as_attribute_expr()?;
        let Some(Bound::Module(at)) = self.units.resolve(self.unit, &attribute.value) else { return None };
        let file = &self.units.files[at];
        let is_told = file.read && !file.stars && !file.names.contains_key("__getattr__");
        is_told.then(|| file.text.module())
    }

    fn named(&mut self, expr: &Expr, depth: usize) -> Result<Ty, NotAType> {
        let range = self.range(expr);
        if let Some(own) = expr.as_name_expr().and_then(|name| self.own.iter().find(|own| own.name().id == name.id)) {
            return self.parameter(own, range, depth);
        }
        match self.units.resolve(self.unit, expr) {
            Some(Bound::Assigned(at, value) | Bound::Either(at, value)) => self.bare(at, value, range, depth),
            Some(Bound::Foreign(dotted)) if !self.elements && class::scalar(&dotted).is_some() => {
                Ok(Ty::class(class::scalar(&dotted).unwrap_or_default()))
            }
            Some(Bound::Foreign(dotted)) if form::is_any_text(&dotted) => Ok(self.any_text()),
            // Whatever numpy makes an array of.
            Some(Bound::Foreign(dotted)) if dotted == "numpy.typing.ArrayLike" => Ok(Ty::Any),
            Some(Bound::Foreign(dotted)) => {
                form::alone(&dotted, range)?;
                class::ty(&self.name(expr)?, range)
            }
            Some(Bound::Qflow(_) | Bound::Class(..)) | None => class::ty(&self.name(expr)?, range),
            Some(Bound::Other) => Ok(self.unsure(expr)),
            Some(Bound::Unread) => Ok(Ty::Any),
            Some(_) => Err(wrong(range, "this is not a type")),
        }
    }

    /// A name whose meaning is not followed: it is told, and `Any`.
    fn unsure(&self, expr: &Expr) -> Ty {
        let written = scope::root(expr).unwrap_or("this name");
        self.units.unsure.borrow_mut().push((self.home, self.range(expr), written.to_owned()));
        Ty::Any
    }

    /// `Rows = list[…]`, `UserId = NewType("UserId", int)`, `T = TypeVar("T")`.
    fn alias(&mut self, at: usize, value: &'a Expr, range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        // `type Tree = dict[str, Tree] | int`: what stands for itself within itself is not spelt out a second time.
        if self.open.iter().any(|open| std::ptr::eq(*open, value)) {
            return Ok(Ty::Any);
        }
        self.open.push(value);
        let parameters = self.units.files[at].parameters.get(&value.range()).copied().unwrap_or_default();
        let before = (self.unit, self.inside.replace(range), std::mem::replace(&mut self.own, parameters));
        self.unit = at;
        let ty = self.spelt_out(at, value, parameters, range, depth);
        (self.unit, self.inside, self.own) = before;
        self.open.pop();
        ty
    }

    fn spelt_out(
        &mut self,
        at: usize,
        value: &'a Expr,
        parameters: &'a [TypeParam],
        range: TextRange,
        depth: usize,
    ) -> Result<Ty, NotAType> {
        for parameter in parameters {
            self.parameter(parameter, range, depth)?;
        }
        match value {
            Expr::Call(call) => match self.name(&call.func)?.rsplit('.').next().unwrap_or_default() {
                "NewType" => match call.arguments.args.get(1) {
                    Some(base) => self.ty(base, depth + 1),
                    None => Err(wrong(range, "a NewType without its base")),
                },
                "TypeVar" => self.variable(call, range, depth),
                "TypeAliasType" => match call.arguments.args.get(1) {
                    Some(of) => {
                        // They stand for what is given in this order, whichever the type has.
                        let parameters = call.arguments.find_keyword("type_params").map(|keyword| &keyword.value);
                        for parameter in parameters.and_then(Expr::as_tuple_expr).map_or(&[][..], |all| &all.elts) {
                            self.ty(parameter, depth + 1)?;
                        }
                        self.ty(of, depth + 1)
                    }
                    None => Err(wrong(range, "a TypeAliasType without its type")),
                },
                "ParamSpec" | "TypeVarTuple" => {
                    Err(wrong(range, "a variable for many types at once says nothing of a value"))
                }
                // `Row = namedtuple("Row", "a b")`, `Color = Enum("Color", "RED")`: a class by a call.
                name @ ("namedtuple" | "NamedTuple" | "TypedDict" | "Enum" | "IntEnum" | "StrEnum" | "Flag"
                | "IntFlag" | "make_dataclass") => {
                    if let Some(name) = classes::called(self.units, at, value) {
                        class::ty(&self.units.own(at, name), range)
                    } else {
                        let named = call.arguments.args.first().and_then(Expr::as_string_literal_expr);
                        let name = named.map_or(name, |literal| literal.value.to_str());
                        self.units.others.borrow_mut().insert(name.to_owned());
                        let why = "only Python knows what makes it";
                        self.units.unread.borrow_mut().push((self.home, range, name.to_owned(), why));
                        class::ty(name, range)
                    }
                }
                _ => Err(wrong(range, "this is not a type")),
            },
            other => self.ty(other, depth + 1),
        }
    }

    fn generic(&mut self, name: &str, parts: &[Expr], range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        match name {
            "Unpack" => Err(wrong(range, "Unpack stands in a tuple's brackets only")),
            // What they narrow is a type checker's to say: they return a truth.
            "TypeGuard" | "TypeIs" => {
                class::takes(name, 1, parts.len(), range)?;
                self.ty(&parts[0], depth + 1).map(|_| Ty::class("bool"))
            }
            "Annotated" => {
                let inner = parts.first().ok_or_else(|| wrong(range, "this is not a type"))?;
                self.ty(inner, depth + 1)
            }
            "Literal" => self.literals(parts, range, depth),
            "Optional" => {
                class::takes(name, 1, parts.len(), range)?;
                Ok(self.ty(&parts[0], depth + 1)?.optional())
            }
            "Union" => Ok(Ty::union(self.each(parts, depth)?)),
            "Tuple" | "tuple" => match parts {
                [Expr::Tuple(empty)] if empty.elts.is_empty() => Ok(Ty::Tuple(vec![])),
                [item, Expr::EllipsisLiteral(_)] => Ok(Ty::Tuples(Box::new(self.ty(item, depth + 1)?))),
                _ => self.tuple(parts, range, depth),
            },
            "Callable" => class::ty(name, range),
            class::NDARRAY => {
                class::takes("NDArray", 1, parts.len(), range)?;
                let of = self.elements(&parts[0], depth)?;
                Ok(Ty::Generic("ndarray".to_owned(), vec![Ty::Any, Ty::Generic("dtype".to_owned(), vec![of])]))
            }
            "dtype" | "Series" if parts.len() == 1 => {
                Ok(Ty::Generic(name.to_owned(), vec![self.elements(&parts[0], depth)?]))
            }
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

    /// What an array or a series holds; what is not known is theirs to say.
    fn elements(&mut self, part: &Expr, depth: usize) -> Result<Ty, NotAType> {
        let before = std::mem::replace(&mut self.elements, true);
        let of = self.ty(part, depth + 1);
        self.elements = before;
        match of {
            Err(why) if why.code == "bad-annotation" => Ok(Ty::Any),
            of => of,
        }
    }

    fn each(&mut self, parts: &[Expr], depth: usize) -> Result<Vec<Ty>, NotAType> {
        parts.iter().map(|part| self.ty(part, depth + 1)).collect()
    }
}

fn too_large(range: TextRange) -> NotAType {
    let message = format!("a type of more than {PARTS} parts, or one type too many, names spelt out");
    NotAType { code: "too-large", remedy: IN_PARTS, ..wrong(range, message) }
}

/// A name as it is written, without what it is a part of.
fn spelled(expr: &Expr) -> &str {
    match expr {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.id.as_str(),
        _ => "this",
    }
}
