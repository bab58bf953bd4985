//! Definitions and problems as tests compare them: a line for each step, three for each problem.

use std::fmt::Write as _;

use qflow_model::{
    definition::{Guard, Problem, Step, StepKind, WorkflowDef},
    expression::{Condition, Expr, Segment},
};

/// A problem with its place, its excerpt with what it points to underlined, and its remedy.
pub(crate) fn problem(problem: &Problem) -> String {
    let Problem { place, end_column, code, message, remedy, other, excerpt, warning } = problem;
    let word = if *warning { "warning" } else { "error" };
    let mut out = format!("{place}-{end_column} {word} {code}: {message}\n");
    if let Some(other) = other {
        let _ = writeln!(out, "  see {other}");
    }
    let from = place.column as usize - 1;
    let len = (*end_column as usize - 1).saturating_sub(from).max(1);
    let _ = writeln!(out, "  | {excerpt}\n  | {}{}", " ".repeat(from), "^".repeat(len));
    let _ = writeln!(out, "  → {}", remedy.as_deref().unwrap_or("(no remedy)"));
    out
}

/// A workflow: its branches, steps and result.
pub(crate) fn workflow(workflow: &WorkflowDef) -> String {
    let WorkflowDef { name, params, returns, max_parallel, timeout_ms, on_failure, .. } = workflow;
    let params = params.iter().map(param).collect::<Vec<_>>().join(", ");
    let mut out = format!("{name}({params}) -> {}, {on_failure:?}", returns.0);
    let _ = max_parallel.map(|most| write!(out, ", at most {most}"));
    let _ = timeout_ms.map(|ms| write!(out, ", within {ms} ms"));
    out.push('\n');
    for (ix, branch) in workflow.branches.iter().enumerate() {
        let _ = writeln!(out, "  ?{ix}{} {}", guards(&branch.guards), condition(&branch.condition));
    }
    for (ix, each) in workflow.steps.iter().enumerate() {
        let _ = writeln!(out, "  #{ix} {}", step(each));
    }
    let _ = writeln!(out, "  → {}", expr(&workflow.result));
    out
}

fn param(param: &qflow_model::definition::Param) -> String {
    use qflow_model::definition::ParamDefault;
    let default = match &param.default {
        None => String::new(),
        Some(ParamDefault::Python) => " = …".to_owned(),
        Some(ParamDefault::Value(value)) => format!(" = {value}"),
    };
    format!("{}: {}{default}", param.name, param.ty.0)
}

fn guards(guards: &[Guard]) -> String {
    let one = |g: &Guard| format!(" [{}?{}]", if g.holds { "" } else { "not " }, g.branch.0);
    guards.iter().map(one).collect::<Vec<_>>().concat()
}

fn step(step: &Step) -> String {
    let arguments = step.arguments.iter().map(|(name, value)| {
        let star = if step.over.contains(name) { "each " } else { "" };
        format!("{name}={star}{}", expr(value))
    });
    let after = step.after.iter().map(|ix| format!(" after #{}", ix.0)).collect::<Vec<_>>().concat();
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    format!(
        "{}: {}({arguments}){}{after} @{}:{}",
        step.id,
        callee(step),
        guards(&step.guards),
        step.place.line,
        step.place.column
    )
}

fn callee(step: &Step) -> String {
    let kind = match &step.kind {
        StepKind::Node { function } => function.clone(),
        StepKind::Workflow { workflow } => format!("workflow {workflow}"),
        StepKind::Sleep => "sleep".to_owned(),
        StepKind::Approval { name, timeout_ms } => {
            let within = timeout_ms.map_or(String::new(), |ms| format!(" within {ms} ms"));
            format!("approval {name:?}{within}")
        }
    };
    if step.settled { format!("settled {kind}") } else { kind }
}

fn path(path: &[Segment]) -> String {
    let one = |segment: &Segment| match segment {
        Segment::Index(index) => format!("[{index}]"),
        Segment::Key(key) => format!("[{key:?}]"),
        Segment::Field(name) => format!(".{name}"),
        Segment::Each => "[…]".into(),
    };
    path.iter().map(one).collect()
}

fn expr(value: &Expr) -> String {
    let each = |items: &[Expr]| items.iter().map(expr).collect::<Vec<_>>().join(", ");
    match value {
        Expr::Literal(value) => value.to_string(),
        Expr::Param { name, path: inner } => format!("{name}{}", path(inner)),
        Expr::Result { step, path: inner } => format!("#{}{}", step.0, path(inner)),
        Expr::List(items) => format!("[{}]", each(items)),
        Expr::Tuple(items) => format!("({})", each(items)),
        Expr::Dict(items) => {
            let items: Vec<_> = items.iter().map(|(key, value)| format!("{key:?}: {}", expr(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
        Expr::Format(items) => format!("f({})", each(items)),
        Expr::Select { branch, then, otherwise } => format!("(?{} {} : {})", branch.0, expr(then), expr(otherwise)),
        Expr::Condition(inner) => format!("<{}>", condition(inner)),
    }
}

fn condition(asked: &Condition) -> String {
    let each = |parts: &[Condition], word: &str| parts.iter().map(condition).collect::<Vec<_>>().join(word);
    match asked {
        Condition::Truth(value) => format!("bool {}", expr(value)),
        Condition::Not(inner) => format!("not ({})", condition(inner)),
        Condition::And(parts) => format!("({})", each(parts, " and ")),
        Condition::Or(parts) => format!("({})", each(parts, " or ")),
        Condition::Compare { left, operator, right } => format!("{} {operator:?} {}", expr(left), expr(right)),
    }
}
