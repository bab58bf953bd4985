//! Signatures: parameters with their types and defaults, and the declared result.

use std::collections::HashSet;

use qflow_model::definition::{Generic, Param, ParamDefault, TypeText, TypeVariable};
use qflow_types::{Solution, Ty, Variable, Variables};
use ruff_python_ast::{Expr, Parameter, ParameterWithDefault, StmtFunctionDef, TypeParam};
use ruff_text_size::Ranged;

use super::{Head, Kind};
use crate::{
    annotation,
    constant::{self, NotConstant},
    refuse,
};

/// Parameters of a function: what has more is given a record.
const PARAMS: usize = 255;

/// What a function takes and returns; variables are `Any`.
pub(crate) struct Signature {
    pub(crate) params: Vec<(Param, Ty)>,
    pub(crate) returns: Ty,
    /// The same with its variables, where it has any.
    pub(crate) generic: Option<Generic>,
}

impl Signature {
    fn of(params: Vec<(Param, Ty)>, returns: Ty, variables: Variables) -> Self {
        let text = |ty: &Ty| TypeText(ty.to_string());
        let generic = (!variables.is_empty()).then(|| Generic {
            params: params.iter().map(|(param, ty)| (param.name.clone(), text(ty))).collect(),
            returns: text(&returns),
            variables: variables
                .into_iter()
                .map(|(name, Variable { bound, constraints, default })| {
                    let constraints = constraints.iter().map(text).collect();
                    (
                        name,
                        TypeVariable {
                            bound: bound.as_ref().map(text),
                            constraints,
                            default: default.as_ref().map(text),
                        },
                    )
                })
                .collect(),
        });
        let any = |ty| Solution::default().apply(ty);
        let params = params.into_iter().map(|(param, ty)| {
            let ty = any(ty);
            (Param { ty: text(&ty), ..param }, ty)
        });
        Self { params: params.collect(), returns: any(returns), generic }
    }
}

impl Head<'_, '_> {
    /// Parameters with their types, and the declared result.
    pub(super) fn signature(&mut self, function: &StmtFunctionDef) -> Signature {
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
        let mut seen = HashSet::new();
        for parameter in &**parameters {
            let name = parameter.name();
            if !seen.insert(name.id.as_str()) {
                let message = format!("a second parameter `{}`", name.id);
                self.wrong(name.range(), "duplicate-name", message, "give it a name of its own");
            }
        }
        let own = function.type_params.as_deref().map_or(&[][..], |params| &params.type_params);
        let mut variables = Variables::new();
        let params: Vec<(Param, Ty)> = all
            .into_iter()
            .take(PARAMS)
            .map(|parameter| self.parameter(function, parameter, own, &mut variables))
            .collect();
        let returns = if let Some(annotation) = &function.returns {
            self.annotation(annotation, own, &mut variables)
        } else {
            let message = format!("`{}` declares no result: it is Any and nothing is checked", function.name.id);
            self.warn(function.name.range(), "unannotated", message, "write -> and a type");
            Ty::Any
        };
        Signature::of(params, returns, variables)
    }

    fn parameter(
        &mut self,
        function: &StmtFunctionDef,
        parameter: &ParameterWithDefault,
        own: &[TypeParam],
        variables: &mut Variables,
    ) -> (Param, Ty) {
        let name = &parameter.parameter.name;
        self.name(name, "a parameter");
        let ty = if let Some(annotation) = &parameter.parameter.annotation {
            self.annotation(annotation, own, variables)
        } else {
            let message = format!("`{}` has no type: it is Any and nothing is checked", name.id);
            self.warn(name.range(), "unannotated", message, "write a type after a colon");
            Ty::Any
        };
        let default = parameter.default.as_deref().map(|default| self.default(default));
        if let Some(default) = parameter.default.as_deref().filter(|_| self.kind == Kind::Node) {
            self.written(default, function, name.id.as_str(), &ty);
        }
        let place = self.text().place(name.range());
        (Param { name: name.id.as_str().to_owned(), ty: TypeText(ty.to_string()), default, place }, ty)
    }

    fn default(&mut self, expr: &Expr) -> ParamDefault {
        match constant::value(&self.project.units, self.unit, expr) {
            Err(NotConstant::Clock(range)) => {
                let problem = refuse::clock(self.text(), range);
                self.problems.push(problem);
                ParamDefault::Python
            }
            Err(NotConstant::Told) => ParamDefault::Python,
            // A node's defaults are Python's own.
            _ if self.kind == Kind::Node => ParamDefault::Python,
            Ok(value) => ParamDefault::Value(value),
            Err(NotConstant::Wrong(range, what) | NotConstant::Impossible(range, what)) => {
                self.wrong(range, "bad-default", what, "write another literal");
                ParamDefault::Python
            }
            Err(NotConstant::Other(range)) => {
                let written = self.text().written(range);
                let message = format!("`{written}` is no constant, and a workflow's default is read and not run");
                let remedy = "write a literal, a top-level constant, date(…), datetime(…), timedelta(…), Decimal(…), UUID(…) or Path(…)";
                self.wrong(range, "bad-default", message, remedy);
                ParamDefault::Python
            }
        }
    }

    fn annotation(&mut self, expr: &Expr, own: &[TypeParam], variables: &mut Variables) -> Ty {
        match annotation::generic(&self.project.units, self.unit, expr, own, variables) {
            Ok(ty) => ty,
            Err(wrong) => {
                self.wrong(wrong.range, wrong.code, wrong.message, wrong.remedy);
                Ty::Any
            }
        }
    }
}
