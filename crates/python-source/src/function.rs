//! Decorated functions: which they are, what their decorator says, their signatures.

mod decorator;
mod default;
mod named;
mod schedule;
mod signature;

pub(crate) use default::{WrittenDefault, check_defaults};
use qflow_model::{
    definition::{NodeDef, TypeText, WorkflowDef},
    expression::Expr as Value,
    schedule::Schedule,
};
use qflow_types::Ty;
use ruff_python_ast::{Decorator, Expr, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};
use serde_json::json;
pub(crate) use signature::Signature;

use crate::{
    constant::TEXT_TERM_BYTES,
    options::{self, NodeOptions, WorkflowOptions},
    problems::Problems,
    project::Project,
    scope::{Bound, Spent, Units},
    text::Text,
};

/// What a decorated function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Node,
    Workflow,
}

impl Kind {
    /// What it is called.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Workflow => "workflow",
        }
    }
}

/// A workflow before its body is read.
pub(crate) struct Workflow<'a> {
    pub(crate) unit: usize,
    pub(crate) function: &'a StmtFunctionDef,
    pub(crate) def: WorkflowDef,
    pub(crate) schedule: Option<Schedule>,
}

/// What a decorator makes of what it stands before.
pub(crate) fn decorator_kind(units: &Units<'_>, unit: usize, decorator: &Decorator) -> Option<Kind> {
    let callee = match &decorator.expression {
        Expr::Call(call) => &*call.func,
        other => other,
    };
    of_name(units, unit, callee)
}

/// What a name of a decorator makes.
pub(crate) fn of_name(units: &Units<'_>, unit: usize, name: &Expr) -> Option<Kind> {
    match units.resolve(unit, name)? {
        Bound::Qflow("node") => Some(Kind::Node),
        Bound::Qflow("workflow") => Some(Kind::Workflow),
        _ => None,
    }
}

/// Whether a function is a node or a workflow.
pub(crate) fn kind(units: &Units<'_>, unit: usize, function: &StmtFunctionDef) -> Option<Kind> {
    function.decorator_list.iter().find_map(|decorator| decorator_kind(units, unit, decorator))
}

/// What any function takes and returns, as a node's is read.
pub(crate) fn signature(
    project: &Project<'_>,
    unit: usize,
    function: &StmtFunctionDef,
    problems: &mut Problems,
) -> Signature {
    Head { project, unit, kind: Kind::Node, problems }.signature(function)
}

/// Reads one function's head, and collects what is wrong with it.
struct Head<'r, 'a> {
    project: &'r Project<'a>,
    unit: usize,
    kind: Kind,
    problems: &'r mut Problems,
}

/// A node as its decorator and signature say.
pub(crate) fn node(project: &Project<'_>, unit: usize, function: &StmtFunctionDef, problems: &mut Problems) -> NodeDef {
    let mut head = Head { project, unit, kind: Kind::Node, problems };
    head.name(&function.name, "a node");
    let mut options = project.script.node.clone();
    let mut written = Vec::new();
    head.options(function, |name, value, range| {
        written.push((name.to_owned(), range));
        options.set(name, value)
    });
    let place_of = |name: &str| written.iter().find(|(n, _)| n == name).map(|(_, range)| *range);
    if !options.idempotent && options.retry.retries > 0 {
        let range = place_of("idempotent").or(place_of("retries")).unwrap_or(function.name.range());
        let message = "a node that is not idempotent cannot be retried";
        head.wrong(range, "idempotent-retries", message, "choose one: idempotent=False or retries");
    }
    head.fits(&options, place_of("python"), function);
    let Signature { params, returns, generic } = head.signature(function);
    let frames = params.iter().map(|(_, ty)| ty).chain([&returns]).any(has_frame);
    let NodeOptions { retry, resources, env, secrets, .. } = options.clone();
    let mut node = NodeDef {
        name: function.name.id.as_str().to_owned(),
        file: head.text().path.to_owned(),
        params: params.into_iter().map(|(param, _)| param).collect(),
        returns: TypeText(returns.to_string()),
        generic: generic.map(Box::new),
        python: options.python,
        requirements: Vec::new(),
        retry,
        timeout_ms: options.timeout_ms,
        resources,
        env,
        secrets,
        pool: options.pool.clone(),
        max_parallel: options.max_parallel,
        cache_ms: options.cache_ms,
        code: None,
        convert: options.convert,
        idempotent: options.idempotent,
        isolation: options.isolation,
        needs: None,
        frames,
        place: head.text().place(function.name.range()),
    };
    node.requirements = options.requirements(&project.script.dependencies);
    let spent = project.units.spend(terms(&node));
    if spent == Spent::Past {
        let message = "the requirements and variables of these nodes hold too much, each node with those of the file";
        head.wrong(function.name.range(), "too-large", message, "give nodes their own, and inherit=False");
    }
    if spent != Spent::Within {
        (node.requirements, node.env, node.secrets) = Default::default();
    }
    node
}

/// How much of what every node has a copy of a node holds, in parts of constants.
fn terms(node: &NodeDef) -> usize {
    let one = |text: &String| 1 + text.len() / TEXT_TERM_BYTES;
    let lists = node.requirements.iter().chain(&node.retry.on).chain(node.secrets.keys());
    lists.chain(node.env.iter().flat_map(|(key, value)| [key, value])).map(one).sum()
}

/// A workflow as its decorator and signature say, and what it is known by where they say nothing; its body is still to be read.
pub(crate) fn workflow<'a>(
    project: &Project<'a>,
    unit: usize,
    (function, known): (&'a StmtFunctionDef, &str),
    problems: &mut Problems,
) -> Workflow<'a> {
    let mut head = Head { project, unit, kind: Kind::Workflow, problems };
    head.name(&function.name, "a workflow");
    let mut options = WorkflowOptions::default();
    let mut scheduled = None;
    head.options(function, |name, value, range| {
        scheduled = scheduled.or((name == "schedule").then_some(range));
        options.set(name, value)
    });
    if function.is_async {
        let message = "a workflow is not async: its calls are parallel anyway";
        head.wrong(function.name.range(), "async-workflow", message, "write def without async, and no await");
    }
    let Signature { params, returns, .. } = head.signature(function);
    let schedule = options.schedule.zip(scheduled).and_then(|(cron, range)| {
        let taken = schedule::filled(cron, function.name.id.as_str(), &params);
        taken.map_err(|options::Bad { code, message, remedy }| head.wrong(range, code, message, &remedy)).ok()
    });
    let def = WorkflowDef {
        name: options.name.unwrap_or_else(|| known.to_owned()),
        function: function.name.id.as_str().to_owned(),
        params: params.into_iter().map(|(param, _)| param).collect(),
        returns: TypeText(returns.to_string()),
        steps: Vec::new(),
        branches: Vec::new(),
        result: Value::Literal(json!(null)),
        max_parallel: options.max_parallel,
        timeout_ms: options.timeout_ms,
        on_failure: options.on_failure,
        isolation: options.isolation,
        place: head.text().place(function.name.range()),
    };
    Workflow { unit, function, def, schedule }
}

/// Whether a type names a frame, which travels as Arrow.
fn has_frame(ty: &Ty) -> bool {
    matches!(ty.root(), "DataFrame" | "Series") || ty.parts().into_iter().any(has_frame)
}

impl<'a> Head<'_, 'a> {
    /// Whether the Python that a node asks for is one that the file is written for.
    fn fits(&mut self, options: &NodeOptions, place: Option<TextRange>, function: &StmtFunctionDef) {
        if let (Some(python), Some(requires)) = (options.python, &self.project.script.requires_python)
            && !qflow_model::plan::satisfies(python, requires)
        {
            let message = format!("node `{}` asks for Python {python}, the file for {requires}", function.name.id);
            let remedy = "ask for one that requires-python allows, or widen that";
            self.wrong(place.unwrap_or(function.name.range()), "python-version", message, remedy);
        }
    }

    fn text(&self) -> &Text<'a> {
        &self.project.units.files[self.unit].text
    }

    fn wrong(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        let problem = self.text().problem(range, code, message, remedy);
        self.problems.push(problem);
    }

    fn warn(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        let problem = self.text().warning(range, code, message, remedy);
        self.problems.push(problem);
    }
}
