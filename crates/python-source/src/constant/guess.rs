//! The type of what is no constant: a call whose class is known, arithmetic, text that is put together.

use qflow_types::{Literal, Ty};
use ruff_python_ast::{Expr, ExprBinOp, ExprCall, Number, Operator, UnaryOp};

use super::TOO_MUCH;
use crate::{
    classes,
    scope::{Bound, Spent, Units},
};

/// Expressions within one another that are looked into.
const LEVELS: usize = 16;

/// The class of `...`.
pub(crate) const ELLIPSIS: &str = "ellipsis";

/// The type of what an expression makes; `Any` where only Python knows.
///
/// # Errors
/// Where Python makes nothing of it, with why.
pub(crate) fn of(units: &Units<'_>, unit: usize, expr: &Expr) -> Result<Ty, String> {
    Guess { units, unit }.ty(expr, LEVELS)
}

#[derive(Clone, Copy)]
struct Guess<'u, 'a> {
    units: &'u Units<'a>,
    unit: usize,
}

impl Guess<'_, '_> {
    fn ty(self, expr: &Expr, left: usize) -> Result<Ty, String> {
        let Some(left) = left.checked_sub(1) else { return Ok(Ty::Any) };
        match self.units.spend(1) {
            Spent::Within => {}
            Spent::Past => return Err(TOO_MUCH.to_owned()),
            Spent::Told => return Ok(Ty::Any),
        }
        let each = |items: &[Expr]| items.iter().map(|item| self.ty(item, left)).collect::<Result<Vec<_>, _>>();
        Ok(match expr {
            Expr::NoneLiteral(_) => Ty::None,
            Expr::BooleanLiteral(_) => Ty::class("bool"),
            Expr::NumberLiteral(literal) => Ty::class(match &literal.value {
                Number::Int(_) => "int",
                Number::Float(_) => "float",
                Number::Complex { .. } => "complex",
            }),
            Expr::StringLiteral(_) | Expr::FString(_) => Ty::class("str"),
            Expr::BytesLiteral(literal) => Ty::Literal(vec![Literal::Bytes(literal.value.bytes().collect())]),
            Expr::EllipsisLiteral(_) => Ty::class(ELLIPSIS),
            Expr::List(list) => Ty::Generic("list".to_owned(), vec![Ty::union(each(&list.elts)?)]),
            Expr::Set(set) => Ty::Generic("set".to_owned(), vec![Ty::union(each(&set.elts)?)]),
            Expr::Tuple(tuple) if !tuple.elts.iter().any(Expr::is_starred_expr) => Ty::Tuple(each(&tuple.elts)?),
            Expr::Dict(_) | Expr::DictComp(_) => Ty::class("dict"),
            Expr::ListComp(_) => Ty::class("list"),
            Expr::SetComp(_) => Ty::class("set"),
            Expr::If(either) => Ty::union([self.ty(&either.body, left)?, self.ty(&either.orelse, left)?]),
            Expr::UnaryOp(unary) => signed(unary.op, self.ty(&unary.operand, left)?)?,
            Expr::BinOp(binary) => self.arithmetic(binary, left)?,
            Expr::Call(call) => match self.new_type(call) {
                Some(of) => self.ty(of, left)?,
                None => self.call(call, left)?,
            },
            Expr::Name(_) | Expr::Attribute(_) => match self.units.resolve(self.unit, expr) {
                Some(Bound::Assigned(at, value)) => Guess { unit: at, ..self }.ty(value, left)?,
                Some(Bound::Foreign(name)) => constant(&name),
                _ => self.member(expr),
            },
            _ => Ty::Any,
        })
    }

    /// The enum that a member is of: `Colour.RED`.
    fn member(self, expr: &Expr) -> Ty {
        let Expr::Attribute(attribute) = expr else { return Ty::Any };
        let Some(Bound::Class(at, class)) = self.units.resolve(self.unit, &attribute.value) else { return Ty::Any };
        let is_one = super::value(self.units, self.unit, expr).is_ok_and(|value| value["$"] == "enum");
        if is_one { Ty::Class(self.units.own(at, class.name.id.as_str())) } else { Ty::Any }
    }

    /// What is given to a `NewType`, which at run time gives it back.
    fn new_type(self, call: &ExprCall) -> Option<&Expr> {
        let Some(Bound::Assigned(at, Expr::Call(made))) = self.units.resolve(self.unit, &call.func) else {
            return None;
        };
        let Some(Bound::Foreign(name)) = self.units.resolve(at, &made.func) else { return None };
        let [given] = &*call.arguments.args else { return None };
        matches!(name.as_str(), "typing.NewType" | "typing_extensions.NewType").then_some(given)
    }

    /// What a class makes when it is called, and a few functions that say by their name what they return.
    fn call(self, call: &ExprCall, left: usize) -> Result<Ty, String> {
        let name = match self.units.resolve(self.unit, &call.func) {
            Some(Bound::Class(at, class)) => return Ok(Ty::Class(self.units.own(at, class.name.id.as_str()))),
            Some(Bound::Assigned(at, value)) => {
                let made = classes::called(self.units, at, value);
                return Ok(made.map_or(Ty::Any, |name| Ty::Class(self.units.own(at, name))));
            }
            Some(Bound::Qflow(name @ ("File" | "Folder"))) => return Ok(Ty::class(name)),
            Some(Bound::Foreign(name)) => name,
            // A star may bring another of that name.
            None if !self.units.files[self.unit].stars => match &*call.func {
                Expr::Name(name) => format!("builtins.{}", name.id),
                _ => return Ok(Ty::Any),
            },
            _ => return Ok(Ty::Any),
        };
        let (args, keywords) = (&*call.arguments.args, &*call.arguments.keywords);
        Ok(match (name.as_str(), args, keywords) {
            (_, [], []) => empty(&name),
            (
                "builtins.list" | "builtins.sorted" | "builtins.set" | "builtins.frozenset" | "builtins.tuple",
                [of],
                _,
            ) => held(made(&name), &self.ty(of, left)?),
            ("builtins.dict", [], named) if named.iter().all(|keyword| keyword.arg.is_some()) => {
                let values =
                    named.iter().map(|keyword| self.ty(&keyword.value, left)).collect::<Result<Vec<_>, _>>()?;
                Ty::Generic("dict".to_owned(), vec![Ty::class("str"), Ty::union(values)])
            }
            _ => made(&name),
        })
    }

    fn arithmetic(self, binary: &ExprBinOp, left: usize) -> Result<Ty, String> {
        let (one, other) = (self.ty(&binary.left, left)?, self.ty(&binary.right, left)?);
        let is = |ty: &Ty, name: &str| *ty == Ty::class(name);
        let is_whole = |ty: &Ty| is(ty, "int") || is(ty, "bool");
        let is_text = |ty: &Ty| is(ty, "str");
        let number = |at_least: usize| {
            let size = rank(&one).zip(rank(&other)).map(|(one, other)| one.max(other).max(at_least));
            size.map_or(Ty::Any, |size| Ty::class(NUMBERS[size]))
        };
        let either_is = |name: &str| is(&one, name) || is(&other, name);
        Ok(match binary.op {
            Operator::Add | Operator::Sub | Operator::Mult if either_is("timedelta") => times(binary.op, one, other),
            Operator::Add | Operator::Sub | Operator::Mult | Operator::Div if either_is("Decimal") => {
                let exact = [&one, &other].into_iter().all(|side| is(side, "Decimal") || is_whole(side));
                if exact { Ty::class("Decimal") } else { Ty::Any }
            }
            // `Access.READ | Access.WRITE`.
            Operator::BitOr if matches!(&one, Ty::Class(name) if one == other && !qflow_types::is_builtin(name)) => one,
            Operator::Mod if is_text(&one) => Ty::class("str"),
            Operator::Add if is_text(&one) && is_text(&other) => Ty::class("str"),
            Operator::Mult if (is_text(&one) && is_whole(&other)) || (is_whole(&one) && is_text(&other)) => {
                Ty::class("str")
            }
            Operator::Add | Operator::Sub | Operator::Mult | Operator::FloorDiv | Operator::Mod => number(0),
            Operator::Div if is(&one, "Path") => Ty::class("Path"),
            Operator::Div => number(1),
            // To a negative power a whole number is none any more.
            Operator::Pow if is_whole(&one) && binary.right.is_number_literal_expr() => number(0),
            Operator::LShift | Operator::RShift if is_whole(&one) && is_whole(&other) => Ty::class("int"),
            Operator::BitAnd | Operator::BitOr | Operator::BitXor if is(&one, "int") && is(&other, "int") => one,
            _ => Ty::Any,
        })
    }
}

/// What comes of a duration and something else.
fn times(op: Operator, one: Ty, other: Ty) -> Ty {
    let is = |ty: &Ty, names: &[&str]| matches!(ty, Ty::Class(name) if names.contains(&name.as_str()));
    let numbers = ["int", "bool", "float"];
    match op {
        Operator::Mult if is(&one, &numbers) || is(&other, &numbers) => Ty::class("timedelta"),
        Operator::Add | Operator::Sub if one == other => one,
        Operator::Add | Operator::Sub if is(&one, &["date", "datetime"]) => one,
        Operator::Add if is(&other, &["date", "datetime"]) => other,
        _ => Ty::Any,
    }
}

/// Numbers, each holding those before it.
const NUMBERS: [&str; 3] = ["int", "float", "complex"];

fn rank(ty: &Ty) -> Option<usize> {
    let Ty::Class(name) = ty else { return None };
    let name = if name == "bool" { "int" } else { name };
    NUMBERS.iter().position(|number| *number == name)
}

/// What a sign, `~` or `not` makes of a value.
fn signed(op: UnaryOp, of: Ty) -> Result<Ty, String> {
    let sign = match op {
        UnaryOp::Not => return Ok(Ty::class("bool")),
        UnaryOp::USub => "-",
        UnaryOp::UAdd => "+",
        UnaryOp::Invert => "~",
    };
    // Classes of their own say what these mean.
    let takes_none = match &of {
        Ty::None | Ty::Literal(_) | Ty::Tuple(_) => true,
        Ty::Class(name) | Ty::Generic(name, _) => matches!(name.as_str(), "str" | "list" | "set" | "dict" | ELLIPSIS),
        _ => false,
    };
    match rank(&of) {
        _ if takes_none => Err(format!("`{sign}` stands before a number, not before {}", of.widened())),
        Some(0) => Ok(Ty::class("int")),
        Some(_) if op != UnaryOp::Invert => Ok(of),
        _ => Ok(Ty::Any),
    }
}

/// What a call of a dotted name without arguments makes: of a container one that holds nothing.
fn empty(dotted: &str) -> Ty {
    match made(dotted) {
        Ty::Class(name) if qflow_types::arity(&name) == Some(1) => Ty::Generic(name, vec![Ty::Never]),
        Ty::Class(name) if qflow_types::arity(&name) == Some(2) => Ty::Generic(name, vec![Ty::Never, Ty::Never]),
        Ty::Tuples(_) => Ty::Tuple(Vec::new()),
        other => other,
    }
}

/// A container of what iterating over something gives, as far as that is known.
fn held(container: Ty, of: &Ty) -> Ty {
    let item = match of {
        Ty::Class(name) if name == "range" => Some(Ty::class("int")),
        Ty::Class(name) if name == "str" => Some(Ty::class("str")),
        of => of.element().filter(|item| *item != Ty::Any),
    };
    match (container, item) {
        (Ty::Class(name), Some(item)) => Ty::Generic(name, vec![item]),
        (Ty::Tuples(_), Some(item)) => Ty::Tuples(Box::new(item)),
        (container, _) => container,
    }
}

/// What a call of a dotted name makes.
fn made(dotted: &str) -> Ty {
    Ty::class(match dotted {
        "builtins.bool" => "bool",
        "builtins.int" | "builtins.len" => "int",
        "builtins.float" => "float",
        "builtins.complex" => "complex",
        "builtins.str" | "builtins.repr" | "builtins.chr" | "os.getcwd" => "str",
        "builtins.bytes" => "bytes",
        "builtins.bytearray" => "bytearray",
        "builtins.list" | "builtins.sorted" => "list",
        "builtins.dict" => "dict",
        "builtins.set" => "set",
        "builtins.frozenset" => "frozenset",
        "builtins.range" => "range",
        "builtins.tuple" => return Ty::Tuples(Box::new(Ty::Any)),
        "datetime.date" | "datetime.date.fromisoformat" | "datetime.date.fromtimestamp" => "date",
        "datetime.datetime"
        | "datetime.datetime.fromisoformat"
        | "datetime.datetime.fromtimestamp"
        | "datetime.datetime.strptime"
        | "datetime.datetime.combine" => "datetime",
        "datetime.time" | "datetime.time.fromisoformat" => "time",
        "datetime.timedelta" => "timedelta",
        "datetime.timezone" => "timezone",
        "decimal.Decimal" => "Decimal",
        "fractions.Fraction" => "Fraction",
        "uuid.UUID" | "uuid.uuid1" | "uuid.uuid3" | "uuid.uuid4" | "uuid.uuid5" => "UUID",
        "pathlib.Path" | "pathlib.Path.home" | "pathlib.Path.cwd" => "Path",
        "collections.OrderedDict" => "OrderedDict",
        "collections.defaultdict" => "defaultdict",
        "collections.Counter" => "Counter",
        "collections.deque" => "deque",
        _ => return Ty::Any,
    })
}

/// What a name of the standard library stands for.
fn constant(dotted: &str) -> Ty {
    Ty::class(match dotted {
        "math.inf" | "math.nan" | "math.pi" | "math.e" | "math.tau" => "float",
        "sys.maxsize" => "int",
        "datetime.UTC" | "datetime.timezone.utc" => "timezone",
        "datetime.date.min" | "datetime.date.max" => "date",
        "datetime.datetime.min" | "datetime.datetime.max" => "datetime",
        "os.sep" | "os.linesep" => "str",
        _ => return Ty::Any,
    })
}
