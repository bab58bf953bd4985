//! What is evaluated when a file is imported, although annotations are not, and older Pythons cannot evaluate.

mod model;

use ruff_python_ast::{
    Decorator, Expr, ExprBinOp, ExprSubscript, Operator, Stmt, StmtClassDef, StmtImport, StmtImportFrom,
    visitor::{Visitor, walk_expr, walk_stmt},
};
use ruff_text_size::{Ranged, TextRange};

use super::{
    names::{module_since, name_since},
    spelling::{Spelling, python},
};
use crate::scope::{self, Bound, Units};

/// Spellings of one file that are kept.
const SPELLINGS: usize = 50;
/// Builtin classes that take types since 3.9.
const CONTAINERS: &[&str] = &["dict", "frozenset", "list", "set", "tuple", "type"];
/// Other builtin classes that stand in unions.
const SCALARS: &[&str] = &["bool", "bytearray", "bytes", "complex", "float", "int", "object", "str"];
/// Classes of the standard library that take types since 3.9.
const GENERICS: &[&str] = &[
    "asyncio.Future",
    "asyncio.Queue",
    "asyncio.Task",
    "collections.ChainMap",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.deque",
    "concurrent.futures.Future",
    "contextlib.AbstractAsyncContextManager",
    "contextlib.AbstractContextManager",
    "functools.partial",
    "os.PathLike",
    "queue.Queue",
    "re.Match",
    "re.Pattern",
];
/// Options of `dataclass` and the Python that has each first.
const DATACLASS: &[(&str, u8)] = &[("match_args", 10), ("kw_only", 10), ("slots", 10), ("weakref_slot", 11)];

/// What a file evaluates on import that older Pythons cannot.
pub(super) fn read(units: &Units<'_>, unit: usize) -> Vec<Spelling> {
    let mut evaluated = Evaluated { units, unit, model: None, found: Vec::new() };
    evaluated.visit_body(units.files[unit].suite);
    evaluated.found
}

struct Evaluated<'u, 'a> {
    units: &'u Units<'a>,
    unit: usize,
    /// The pydantic model whose body this is in: its annotations are evaluated too.
    model: Option<&'a str>,
    found: Vec<Spelling>,
}

impl<'a> Evaluated<'_, 'a> {
    fn push(&mut self, range: TextRange, since: u8, what: String, lacks: String, remedy: &str) {
        if self.found.len() < SPELLINGS {
            let (since, remedy) = (python(since), remedy.to_owned());
            let backport = false;
            self.found.push(Spelling { range, code: "evaluated", since, what, lacks, remedy, soft: false, backport });
        }
    }

    fn written(&self, expr: &impl Ranged) -> String {
        self.units.files[self.unit].text.written(expr.range())
    }

    /// `x` of `what is written`, in a sentence.
    fn subject(&self, expr: &impl Ranged) -> String {
        match self.model {
            None => format!("`{}` is evaluated on import", self.written(expr)),
            Some(model) => format!("`{}` is evaluated by pydantic for `{model}`", self.written(expr)),
        }
    }

    /// In a pydantic model a package mends what is written.
    fn type_spelling(&mut self, expr: &Expr, since: u8, lacks: String, remedy: &str) {
        let count = self.found.len();
        let remedy = match self.model {
            None => remedy.to_owned(),
            Some(_) => format!("{remedy}, add eval_type_backport to the node's requirements"),
        };
        self.push(expr.range(), since, self.subject(expr), lacks, &remedy);
        if self.found.len() > count
            && let Some(last) = self.found.last_mut()
        {
            last.backport = self.model.is_some();
        }
    }

    /// The dotted name of what an expression names; a builtin's is its own.
    fn named(&self, expr: &Expr) -> Option<String> {
        match self.units.resolve(self.unit, expr) {
            Some(Bound::Foreign(dotted)) => Some(dotted),
            Some(_) => None,
            None => {
                let name = expr.as_name_expr()?.id.as_str();
                (!self.units.files[self.unit].names.contains_key(name)).then(|| name.to_owned())
            }
        }
    }

    /// Whether a class takes types only since 3.9.
    fn is_generic(&self, class: &Expr) -> bool {
        self.named(class).is_some_and(|name| {
            CONTAINERS.contains(&name.as_str())
                || GENERICS.contains(&name.as_str())
                || name.starts_with("collections.abc.")
        })
    }

    fn is_type(&self, expr: &Expr) -> bool {
        match expr {
            Expr::NoneLiteral(_) => true,
            Expr::Subscript(subscript) => self.is_generic(&subscript.value) || self.is_typing(&subscript.value),
            Expr::Name(_) | Expr::Attribute(_) => {
                let is_class = matches!(self.units.resolve(self.unit, expr), Some(Bound::Class(..)));
                is_class
                    || self.is_typing(expr)
                    || self.named(expr).is_some_and(|name| {
                        CONTAINERS.contains(&name.as_str())
                            || SCALARS.contains(&name.as_str())
                            || matches!(
                                name.as_str(),
                                "datetime.date"
                                    | "datetime.datetime"
                                    | "datetime.timedelta"
                                    | "decimal.Decimal"
                                    | "pathlib.Path"
                            )
                    })
            }
            _ => false,
        }
    }

    fn is_typing(&self, expr: &Expr) -> bool {
        self.named(expr).is_some_and(|name| name.starts_with("typing."))
    }

    fn subscript(&mut self, subscript: &'a ExprSubscript, expr: &'a Expr) {
        if !self.is_generic(&subscript.value) {
            return walk_expr(self, expr);
        }
        let class = self.written(&*subscript.value);
        let own = class.rsplit('.').next().unwrap_or_default();
        let typing = match own {
            "deque" => "Deque".to_owned(),
            "defaultdict" => "DefaultDict".to_owned(),
            "frozenset" => "FrozenSet".to_owned(),
            "AbstractContextManager" => "ContextManager".to_owned(),
            "AbstractAsyncContextManager" => "AsyncContextManager".to_owned(),
            "Set" => "AbstractSet".to_owned(),
            other => other.chars().take(1).flat_map(char::to_uppercase).chain(other.chars().skip(1)).collect(),
        };
        let remedy = match own {
            "Future" | "Queue" | "Task" | "partial" | "PathLike" => "leave out the types".to_owned(),
            _ => format!("write typing.{typing}[…]"),
        };
        self.type_spelling(expr, 9, format!("no `{class}[…]`"), &remedy);
        self.visit_expr(&subscript.slice);
    }

    /// `a | b | …`: one union of types, or of dicts; else an operator like any other.
    fn or(&mut self, binary: &'a ExprBinOp, expr: &'a Expr) {
        let mut operands = vec![&*binary.right];
        let mut left = &*binary.left;
        while let Expr::BinOp(inner) = left
            && inner.op == Operator::BitOr
        {
            operands.push(&inner.right);
            left = &inner.left;
        }
        operands.push(left);
        operands.reverse();
        if operands.iter().any(|operand| self.is_type(operand)) {
            let others: Vec<String> =
                operands.iter().filter(|o| !o.is_none_literal_expr()).map(|o| self.written(*o)).collect();
            let optional = others.len() < operands.len();
            let inner = if others.len() == 1 { others[0].clone() } else { format!("Union[{}]", others.join(", ")) };
            let remedy = if optional { format!("write Optional[{inner}]") } else { format!("write {inner}") };
            self.type_spelling(expr, 10, "no `|` of types".to_owned(), &remedy);
        } else if operands.iter().all(|operand| operand.is_dict_expr()) {
            let subject = self.subject(expr);
            self.push(expr.range(), 9, subject, "no `|` of dicts".to_owned(), "write {**a, **b}");
        }
        operands.into_iter().for_each(|operand| self.visit_expr(operand));
    }

    fn class(&mut self, class: &'a StmtClassDef) {
        class.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
        if let Some(arguments) = &class.arguments {
            self.visit_arguments(arguments);
        }
        let model = model::is_model(self.units, self.unit, class).then_some(class.name.id.as_str());
        let before = self.model.take();
        for stmt in &class.body {
            if let (Some(_), Stmt::AnnAssign(field)) = (model, stmt) {
                self.model = model;
                self.visit_expr(&field.annotation);
                self.model = None;
            }
            self.visit_stmt(stmt);
        }
        self.model = before;
    }

    fn import(&mut self, import: &StmtImport) {
        for alias in &import.names {
            self.module(alias.range(), alias.name.id.as_str());
        }
    }

    /// A module that is not there becomes a placeholder: it is only missed where it is used.
    fn module(&mut self, range: TextRange, name: &str) {
        let Some(minor) = module_since(name) else { return };
        let remedy = "import a package of the same use, in a try before it";
        self.push(range, minor, format!("`{name}` is imported"), format!("it not: it came with 3.{minor}"), remedy);
        if let Some(last) = self.found.last_mut() {
            last.soft = true;
        }
    }

    fn import_from(&mut self, import: &StmtImportFrom) {
        let Some(module) = import.module.as_ref().filter(|_| import.level == 0) else { return };
        let module = module.id.as_str();
        if let Bound::Module(_) = self.units.modules.find(self.units.files[self.unit].text.path, module, 0) {
            return;
        }
        self.module(import.range(), module);
        for alias in &import.names {
            let name = alias.name.id.as_str();
            let Some(minor) = name_since(module, name) else { continue };
            let remedy = match module {
                "typing" | "warnings" => {
                    format!("write from typing_extensions import {name}, and require that package")
                }
                _ => "leave it out".to_owned(),
            };
            let lacks = format!("no `{module}.{name}`");
            self.push(alias.range(), minor, format!("`{name}` is imported from {module}"), lacks, &remedy);
        }
    }

    /// `@dataclass(slots=True)`.
    fn dataclass(&mut self, decorator: &Decorator) {
        let Expr::Call(call) = &decorator.expression else { return };
        if self.named(&call.func).is_none_or(|name| name != "dataclasses.dataclass") {
            return;
        }
        for keyword in &call.arguments.keywords {
            let name = keyword.arg.as_ref().map_or("", |name| name.id.as_str());
            if let Some((_, minor)) = DATACLASS.iter().find(|(known, _)| *known == name) {
                let what = format!("`{}` is given to dataclass on import", self.written(keyword));
                self.push(keyword.range(), *minor, what, format!("no `{name}` there"), "leave it out");
            }
        }
    }
}

impl<'a> Visitor<'a> for Evaluated<'_, 'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(def) => {
                def.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                for parameter in &*def.parameters {
                    parameter.default().into_iter().for_each(|default| self.visit_expr(default));
                }
            }
            Stmt::ClassDef(class) => self.class(class),
            Stmt::AnnAssign(assign) => assign.value.iter().for_each(|value| self.visit_expr(value)),
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            // The value of `type X = …` is evaluated when it is asked for.
            Stmt::TypeAlias(_) => {}
            Stmt::If(branch) if scope::is_main(&branch.test) || scope::is_type_checking(&branch.test) => {}
            Stmt::If(branch) if asks_version(&branch.test) => {}
            // What fails in a try is caught there.
            Stmt::Try(attempt) => {
                if attempt.handlers.is_empty() {
                    self.visit_body(&attempt.body);
                }
                self.visit_body(&attempt.finalbody);
            }
            other => walk_stmt(self, other),
        }
    }

    fn visit_decorator(&mut self, decorator: &'a Decorator) {
        self.dataclass(decorator);
        self.visit_expr(&decorator.expression);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Lambda(_) => {}
            Expr::Subscript(subscript) => self.subscript(subscript, expr),
            Expr::BinOp(binary) if binary.op == Operator::BitOr => self.or(binary, expr),
            other => walk_expr(self, other),
        }
    }
}

/// Whether a condition asks which Python it runs on.
fn asks_version(test: &Expr) -> bool {
    struct Asks(bool);
    impl<'v> Visitor<'v> for Asks {
        fn visit_expr(&mut self, expr: &'v Expr) {
            self.0 |= match expr {
                Expr::Attribute(attribute) => attribute.attr.id.as_str() == "version_info",
                Expr::Name(name) => name.id.as_str() == "version_info",
                _ => false,
            };
            walk_expr(self, expr);
        }
    }
    let mut asks = Asks(false);
    asks.visit_expr(test);
    asks.0
}
