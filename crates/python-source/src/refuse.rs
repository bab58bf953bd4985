//! What is refused, and what to write instead: the table of the Python design, in one place.

use qflow_model::definition::Problem;
use ruff_python_ast::{Expr, Operator, Stmt};
use ruff_text_size::{Ranged, TextRange};

use crate::text::Text;

/// The answer to most of what only Python can do.
pub(crate) const IN_A_NODE: &str = "put it in a node";
const BRANCH: &str = "write if, and a new name on each side";
const LOOP: &str = "write map(fn, xs) or [fn(x) for x in xs]; to poll, raise Retry(after=…) inside a node";

/// Why a statement does not stand in a workflow's body: code, message, remedy.
pub(crate) fn statement(stmt: &Stmt) -> (&'static str, &'static str, &'static str) {
    match stmt {
        Stmt::For(_) | Stmt::While(_) | Stmt::Break(_) | Stmt::Continue(_) => ("loop", "a workflow has no loops", LOOP),
        Stmt::Try(_) => (
            "try",
            "a workflow catches no errors",
            "write settled(fn)(x), which gives a failure as a value, or catch it inside the node",
        ),
        Stmt::With(_) => ("with", "a workflow has no with", IN_A_NODE),
        Stmt::Match(_) => ("match", "a workflow has no match", "write if and elif, and a new name on each side"),
        Stmt::AugAssign(_) => {
            ("augmented-assignment", "names are not changed in place", "write a new name; the sum goes in a node")
        }
        Stmt::FunctionDef(_) => ("nested-function", "a function inside a workflow", "move it to the top level"),
        Stmt::ClassDef(_) => ("nested-class", "a class inside a workflow", "move it to the top level"),
        Stmt::Import(_) | Stmt::ImportFrom(_) => {
            ("import", "an import inside a workflow", "move it to the top of the file, or into a node")
        }
        Stmt::Global(_) | Stmt::Nonlocal(_) => {
            ("global", "a workflow changes no outer names", "pass values as arguments")
        }
        Stmt::Raise(_) => ("raise", "a workflow raises nothing", "raise in a node: the run fails with it"),
        Stmt::Assert(_) => ("assert", "a workflow asserts nothing", IN_A_NODE),
        Stmt::Delete(_) => ("delete", "names are not deleted", "leave it out"),
        _ => ("unsupported-statement", "this statement does not stand in a workflow", IN_A_NODE),
    }
}

/// The part of a refused statement that a problem points to: its first line tells enough.
pub(crate) fn head(stmt: &Stmt) -> TextRange {
    match stmt {
        Stmt::FunctionDef(def) => def.name.range(),
        Stmt::ClassDef(class) => class.name.range(),
        other => other.range(),
    }
}

/// Why an expression does not stand in a workflow's body: code, message, remedy.
pub(crate) fn expression(expr: &Expr) -> (&'static str, &'static str, &'static str) {
    match expr {
        Expr::BinOp(binary) if matches!(binary.op, Operator::RShift | Operator::LShift) => {
            ("operator", "arrows do not order calls", "write the calls one under the other: statements run in order")
        }
        Expr::BinOp(_) | Expr::UnaryOp(_) => ("operator", "a workflow does not calculate", IN_A_NODE),
        Expr::If(_) => ("conditional-expression", "a value by condition", BRANCH),
        Expr::Named(_) => ("walrus", "an assignment inside an expression", "assign it on a line of its own"),
        Expr::Lambda(_) => ("lambda", "a function without a name", "write a node at the top level"),
        Expr::Await(_) => ("await", "a workflow awaits nothing: its calls are parallel anyway", "leave out await"),
        Expr::Yield(_) | Expr::YieldFrom(_) => ("yield", "a workflow yields nothing", "return a value"),
        Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => {
            ("comprehension", "only a list comprehension of one call is a map", "write [fn(x) for x in xs]")
        }
        Expr::Starred(_) => ("starred", "arguments are written out", "name each argument, or pass the list itself"),
        Expr::BytesLiteral(_) => ("bytes", "bytes in a workflow", IN_A_NODE),
        Expr::TString(_) => ("template-string", "a template string in a workflow", IN_A_NODE),
        Expr::Set(_) => ("set", "a set of results", "write a list"),
        Expr::Slice(_) => ("slice", "a part by slice", IN_A_NODE),
        _ => ("unsupported-expression", "this expression does not stand in a workflow", IN_A_NODE),
    }
}

/// `date.today()` and its like: a run that is read or retried later would have another value.
pub(crate) fn clock(text: &Text<'_>, range: TextRange) -> Problem {
    let message = format!("`{}` is another value each time it is read", text.written(range));
    text.problem(range, "clock", message, "take it as a parameter; schedule=cron(…, into=\"day\") will fill it")
}
