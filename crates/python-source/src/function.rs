//! Decorated functions: which they are, what their decorator says, their signatures.

use qflow_model::definition::{NodeDef, Param, ParamDefault, Problem, TypeText, WorkflowDef};
use qflow_types::Ty;
use ruff_python_ast::{Decorator, Expr, Parameter, ParameterWithDefault, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};
use serde_json::{Value, json};

use crate::{
    annotation,
    constant::{self, NotConstant},
    options::{self, WorkflowOptions},
    project::Project,
    refuse,
    scope::{Bound, Units},
};

/// More parameters than anyone passes.
const PARAMS: usize = 255;

/// What a decorated function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Node,
    Workflow,
}

/// A workflow before its body is read.
pub(crate) struct Workflow<'a> {
    pub(crate) unit: usize,
    pub(crate) function: &'a StmtFunctionDef,
    pub(crate) def: WorkflowDef,
}

fn decorator_kind(units: &Units<'_>, unit: usize, decorator: &Decorator) -> Option<Kind> {
    let callee = match &decorator.expression {
        Expr::Call(call) => &*call.func,
        other => other,
    };
    match units.resolve(unit, callee)? {
        Bound::Qflow("node") => Some(Kind::Node),
        Bound::Qflow("workflow") => Some(Kind::Workflow),
        _ => None,
    }
}

/// Whether a function is a node or a workflow.
pub(crate) fn kind(units: &Units<'_>, unit: usize, function: &StmtFunctionDef) -> Option<Kind> {
    function.decorator_list.iter().find_map(|decorator| decorator_kind(units, unit, decorator))
}

/// Reads one function's head, and collects what is wrong with it.
struct Head<'r, 'a> {
    project: &'r Project<'a>,
    unit: usize,
    kind: Kind,
    problems: &'r mut Vec<Problem>,
}

/// A node as its decorator and signature say.
pub(crate) fn node(
    project: &Project<'_>,
    unit: usize,
    function: &StmtFunctionDef,
    problems: &mut Vec<Problem>,
) -> NodeDef {
    let mut head = Head { project, unit, kind: Kind::Node, problems };
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
    let (params, returns) = head.signature(function);
    let frames = params.iter().map(|(_, ty)| ty).chain([&returns]).any(has_frame);
    let mut node = NodeDef {
        name: function.name.id.as_str().to_owned(),
        file: head.path().to_owned(),
        params: params.into_iter().map(|(param, _)| param).collect(),
        returns: TypeText(returns.to_string()),
        python: None,
        requirements: Vec::new(),
        retry: options.retry.clone(),
        timeout_ms: None,
        resources: options.resources.clone(),
        env: options.env.clone(),
        secrets: options.secrets.clone(),
        pool: None,
        max_parallel: None,
        cache_ms: None,
        convert: false,
        idempotent: true,
        isolation: options.isolation,
        frames,
        place: project.units.0[unit].text.place(function.name.range()),
    };
    options.apply(&mut node, &project.script.dependencies);
    node
}

/// A workflow as its decorator and signature say.
pub(crate) fn workflow<'a>(
    project: &Project<'a>,
    unit: usize,
    function: &'a StmtFunctionDef,
    problems: &mut Vec<Problem>,
) -> Workflow<'a> {
    let mut head = Head { project, unit, kind: Kind::Workflow, problems };
    let mut options = WorkflowOptions::default();
    head.options(function, |name, value, _| options.set(name, value));
    if function.is_async {
        let message = "a workflow is not async: its calls are parallel anyway";
        head.wrong(function.name.range(), "async-workflow", message, "write def without async, and no await");
    }
    let (params, returns) = head.signature(function);
    let def = WorkflowDef {
        name: options.name.unwrap_or_else(|| function.name.id.as_str().to_owned()),
        function: function.name.id.as_str().to_owned(),
        params: params.into_iter().map(|(param, _)| param).collect(),
        returns: TypeText(returns.to_string()),
        steps: Vec::new(),
        branches: Vec::new(),
        result: qflow_model::expression::Expr::Literal(Value::Null),
        max_parallel: options.max_parallel,
        timeout_ms: options.timeout_ms,
        on_failure: options.on_failure,
        place: project.units.0[unit].text.place(function.name.range()),
    };
    Workflow { unit, function, def }
}

/// Whether a type names a frame, which travels as Arrow.
fn has_frame(ty: &Ty) -> bool {
    match ty {
        Ty::Class(name) => matches!(name.as_str(), "DataFrame" | "Series"),
        Ty::Generic(name, parameters) => {
            matches!(name.as_str(), "DataFrame" | "Series") || parameters.iter().any(has_frame)
        }
        Ty::Tuple(items) | Ty::Union(items) => items.iter().any(has_frame),
        Ty::Tuples(item) => has_frame(item),
        Ty::Any | Ty::Never | Ty::None | Ty::Literal(_) => false,
    }
}

impl Head<'_, '_> {
    fn path(&self) -> &str {
        self.project.units.0[self.unit].text.path
    }

    fn wrong(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        self.problems.push(self.project.units.0[self.unit].text.problem(range, code, message, remedy));
    }

    fn warn(&mut self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) {
        self.wrong(range, code, message, remedy);
        if let Some(last) = self.problems.last_mut() {
            last.warning = true;
        }
    }

    /// Hands each option of the decorator on, and tells what is not one.
    fn options(
        &mut self,
        function: &StmtFunctionDef,
        mut set: impl FnMut(&str, &Value, TextRange) -> Result<(), options::Bad>,
    ) {
        let mut seen = false;
        for decorator in &function.decorator_list {
            let Some(kind) = decorator_kind(&self.project.units, self.unit, decorator) else {
                let written = self.project.units.0[self.unit].text.written(decorator.range());
                let message = format!("`{written}` beside @node or @workflow would hide the function's signature");
                self.wrong(decorator.range(), "other-decorator", message, "call it inside the function");
                continue;
            };
            if std::mem::replace(&mut seen, true) || kind != self.kind {
                let message = "a function is one node or one workflow";
                self.wrong(decorator.range(), "two-decorators", message, "keep one decorator");
                continue;
            }
            let Expr::Call(call) = &decorator.expression else { continue };
            for argument in &call.arguments.args {
                self.wrong(argument.range(), "bad-option", "options are given by name", "write @node(retries=3)");
            }
            for keyword in &call.arguments.keywords {
                let Some(name) = keyword.arg.as_ref().map(|n| n.id.as_str()) else {
                    self.wrong(keyword.range(), "bad-option", "options are written out", "name each option");
                    continue;
                };
                let refused = if kind == Kind::Workflow { options::refused_as_written(name) } else { None };
                let value = refused.map_or_else(|| self.option_value(name, &keyword.value), Err);
                let result = value.and_then(|value| set(name, &value, keyword.range()));
                if let Err(bad) = result {
                    let range = if bad.code == "bad-option" { keyword.value.range() } else { keyword.range() };
                    self.wrong(range, bad.code, bad.message, &bad.remedy);
                }
            }
        }
    }

    /// An option's value: a constant; also `secret("name")` within `env`, and exceptions in `retry_on`.
    fn option_value(&self, name: &str, expr: &Expr) -> Result<Value, options::Bad> {
        let units = &self.project.units;
        let bad = |expr: &Expr| options::Bad {
            code: "bad-option",
            message: format!("{name} is `{}`, which is no constant", units.0[self.unit].text.written(expr.range())),
            remedy: "write a literal: decorators are read and not run".to_owned(),
        };
        match (name, expr) {
            ("env", Expr::Dict(dict)) => {
                let mut fields = serde_json::Map::new();
                for item in &dict.items {
                    let key =
                        item.key.as_ref().and_then(Expr::as_string_literal_expr).ok_or_else(|| bad(&item.value))?;
                    let value = self.secret(&item.value).map_or_else(|| self.option_value("", &item.value), Ok)?;
                    fields.insert(key.value.to_str().to_owned(), value);
                }
                Ok(Value::Object(fields))
            }
            ("retry_on", Expr::List(list)) => {
                list.elts.iter().map(|e| self.exception(e).ok_or_else(|| bad(e))).collect()
            }
            ("retry_on", Expr::Tuple(tuple)) => {
                tuple.elts.iter().map(|e| self.exception(e).ok_or_else(|| bad(e))).collect()
            }
            ("retry_on", other) => self.exception(other).ok_or_else(|| bad(other)),
            _ => {
                let value = constant::value(units, self.unit, expr).map_err(|_| bad(expr))?;
                // Tuples are as good as lists here.
                match value.get("$").and_then(Value::as_str) {
                    Some("tuple" | "set") => Ok(value["v"].clone()),
                    Some("timedelta") => {
                        let part = |at: usize| value["v"][at].as_f64().unwrap_or_default();
                        Ok(json!(part(0) * 86_400.0 + part(1) + part(2) / 1e6))
                    }
                    _ => Ok(value),
                }
            }
        }
    }

    fn secret(&self, expr: &Expr) -> Option<Value> {
        let call = expr.as_call_expr()?;
        let Some(Bound::Qflow("secret")) = self.project.units.resolve(self.unit, &call.func) else { return None };
        match &*call.arguments.args {
            [Expr::StringLiteral(name)] if call.arguments.keywords.is_empty() => {
                Some(json!({ options::SECRET: name.value.to_str() }))
            }
            _ => None,
        }
    }

    /// The name of an exception: written as a text, or as the class itself.
    fn exception(&self, expr: &Expr) -> Option<Value> {
        match expr {
            Expr::StringLiteral(literal) => Some(json!(literal.value.to_str())),
            Expr::Name(name) => Some(json!(match self.project.units.resolve(self.unit, expr) {
                Some(Bound::Foreign(dotted)) => dotted.rsplit('.').next().unwrap_or_default().to_owned(),
                _ => name.id.as_str().to_owned(),
            })),
            Expr::Attribute(attribute) => Some(json!(attribute.attr.id.as_str())),
            _ => None,
        }
    }

    /// Parameters with their types, and the declared result.
    fn signature(&mut self, function: &StmtFunctionDef) -> (Vec<(Param, Ty)>, Ty) {
        let parameters = &function.parameters;
        for parameter in &parameters.posonlyargs {
            let message = format!("`{}` can only be given by position", parameter.parameter.name.id);
            self.wrong(parameter.range(), "positional-only", message, "leave out the `/`: arguments go by name");
        }
        let stars: [(&Option<Box<Parameter>>, &str); 2] = [(&parameters.vararg, "*"), (&parameters.kwarg, "**")];
        for (variadic, star) in stars {
            if let Some(parameter) = variadic {
                let message = format!("`{star}{}` takes any number of arguments", parameter.name.id);
                self.wrong(parameter.range(), "variadic", message, "name the parameters; many values go as a list");
            }
        }
        let all: Vec<&ParameterWithDefault> =
            parameters.posonlyargs.iter().chain(&parameters.args).chain(&parameters.kwonlyargs).collect();
        if all.len() > PARAMS {
            let message = format!("{} parameters; a function has at most {PARAMS}", all.len());
            self.wrong(function.name.range(), "too-many-parameters", message, "pass a dict or a dataclass");
        }
        let params = all.into_iter().take(PARAMS).map(|parameter| self.parameter(parameter)).collect();
        let returns = match &function.returns {
            Some(annotation) => self.annotation(annotation),
            None => {
                let message = format!("`{}` declares no result: it is Any and nothing is checked", function.name.id);
                self.warn(function.name.range(), "unannotated", message, "write -> and a type");
                Ty::Any
            }
        };
        (params, returns)
    }

    fn parameter(&mut self, parameter: &ParameterWithDefault) -> (Param, Ty) {
        let name = &parameter.parameter.name;
        let ty = match &parameter.parameter.annotation {
            Some(annotation) => self.annotation(annotation),
            None => {
                let message = format!("`{}` has no type: it is Any and nothing is checked", name.id);
                self.warn(name.range(), "unannotated", message, "write a type after a colon");
                Ty::Any
            }
        };
        let default = parameter.default.as_deref().map(|default| self.default(default));
        let place = self.project.units.0[self.unit].text.place(name.range());
        (Param { name: name.id.as_str().to_owned(), ty: TypeText(ty.to_string()), default, place }, ty)
    }

    fn default(&mut self, expr: &Expr) -> ParamDefault {
        let units = &self.project.units;
        match constant::value(units, self.unit, expr) {
            Err(NotConstant::Clock(range)) => {
                let problem = refuse::clock(&units.0[self.unit].text, range);
                self.problems.push(problem);
                ParamDefault::Python
            }
            // A node's defaults are Python's own.
            _ if self.kind == Kind::Node => ParamDefault::Python,
            Ok(value) => ParamDefault::Value(value),
            Err(NotConstant::Wrong(range, what)) => {
                self.wrong(range, "bad-default", format!("{what} is not a value"), "write a literal");
                ParamDefault::Value(Value::Null)
            }
            Err(NotConstant::Other(range)) => {
                let written = units.0[self.unit].text.written(range);
                let message = format!("`{written}` is no constant, and a workflow's default is read and not run");
                let remedy = "write a literal, a top-level constant, date(…), datetime(…), timedelta(…), Decimal(…), UUID(…) or Path(…)";
                self.wrong(range, "bad-default", message, remedy);
                ParamDefault::Value(Value::Null)
            }
        }
    }

    fn annotation(&mut self, expr: &Expr) -> Ty {
        match annotation::read(&self.project.units, self.unit, expr) {
            Ok(ty) => ty,
            Err(wrong) => {
                self.wrong(wrong.range, wrong.code, wrong.message, wrong.remedy);
                Ty::Any
            }
        }
    }
}
