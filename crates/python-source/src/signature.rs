//! Reads parameters and annotations of a function's signature.

use qflow_model::definition::{Param, ParamDefault, TypeText};
use qflow_types::Ty;
use ruff_python_ast::{Expr, Operator, StmtFunctionDef};
use ruff_text_size::Ranged;

use crate::{Module, expression, problem::Report};

/// What a call must know of a function beyond its parameters.
pub(crate) struct Signature {
    pub(crate) params: Vec<Param>,
    pub(crate) returns: TypeText,
    /// How many parameters may be given by position.
    pub(crate) positional: usize,
    /// How many must be.
    pub(crate) positional_only: usize,
    /// Whether a frame is named.
    pub(crate) frames: bool,
}

/// Reads a signature; `of_workflow`: defaults must be values.
pub(crate) fn read(report: &mut Report<'_>, module: &Module<'_>, function: &StmtFunctionDef, of_workflow: bool) -> Signature {
    let parameters = &function.parameters;
    for variadic in [&parameters.vararg, &parameters.kwarg].into_iter().flatten() {
        let message = format!("`{}` takes any number of arguments", variadic.name.as_str());
        report.refuse(&**variadic, "variadic-parameter", message, "write named parameters");
    }
    let mut params = Vec::new();
    for parameter in parameters.posonlyargs.iter().chain(&parameters.args).chain(&parameters.kwonlyargs) {
        let default = parameter.default.as_deref().and_then(|default| {
            if !of_workflow {
                return Some(ParamDefault::Python);
            }
            let value = expression::constant(default, Some(module));
            if value.is_none() {
                let (message, remedy) = if expression::is_now(default) {
                    ("a default cannot ask for the time", "take it as a parameter; `schedule` will fill it")
                } else {
                    ("a workflow's default must be a literal", "write a literal, or a constant of this module")
                };
                report.refuse(default, "default", message, remedy);
            }
            value.map(ParamDefault::Value)
        });
        params.push(Param {
            name: parameter.parameter.name.as_str().to_owned(),
            ty: annotation(report, module, parameter.parameter.annotation.as_deref()),
            default,
            place: report.place(&parameter.parameter),
        });
    }
    let returns = annotation(report, module, function.returns.as_deref());
    let frames = params.iter().map(|p| &p.ty).chain([&returns]).any(|ty| {
        ty.0.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "DataFrame" || word == "Series")
    });
    Signature {
        params,
        returns,
        positional: parameters.posonlyargs.len() + parameters.args.len(),
        positional_only: parameters.posonlyargs.len(),
        frames,
    }
}

fn annotation(report: &mut Report<'_>, module: &Module<'_>, written: Option<&Expr>) -> TypeText {
    let Some(written) = written else { return TypeText::any() };
    let read = spell(module, written, false, 0).and_then(|text| text.parse::<Ty>().map_err(|error| error.why));
    match read {
        Ok(ty) => TypeText(ty.to_string()),
        Err(why) => {
            let message = format!("`{}` is not a type that Qflow reads: {why}", report.source(written));
            report.refuse(&written.range(), "type", message, "write a class, `list[…]`, `dict[…]`, a union, or `Any`");
            TypeText::any()
        }
    }
}

/// The text of an annotation with short names, `pd.DataFrame` → `DataFrame`.
fn spell(module: &Module<'_>, expr: &Expr, literal: bool, strings: usize) -> Result<String, String> {
    Ok(match expr {
        Expr::Name(_) | Expr::Attribute(_) => {
            let full = module.imports.resolve(expr);
            let short = match (&full, expr) {
                (Some(full), _) => full.rsplit('.').next().unwrap_or(full),
                (None, Expr::Attribute(attribute)) => attribute.attr.as_str(),
                (None, Expr::Name(name)) => name.id.as_str(),
                _ => "",
            };
            short.to_owned()
        }
        Expr::NoneLiteral(_) => "None".to_owned(),
        Expr::EllipsisLiteral(_) => "...".to_owned(),
        Expr::StringLiteral(text) if literal => {
            let text = text.value.to_str().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("\"{text}\"")
        }
        Expr::StringLiteral(text) => {
            if strings > 0 {
                return Err("it is a text inside a text".to_owned());
            }
            let text = text.value.to_str();
            if crate::depth::too_deep(text).is_some() {
                return Err("it is nested too deep".to_owned());
            }
            let parsed = ruff_python_parser::parse_expression(text).map_err(|error| error.error.to_string())?;
            spell(module, parsed.expr(), false, strings + 1)?
        }
        Expr::BooleanLiteral(value) if literal => if value.value { "True" } else { "False" }.to_owned(),
        Expr::NumberLiteral(_) | Expr::UnaryOp(_) if literal => expression::constant(expr, None)
            .and_then(|value| value.as_i64())
            .ok_or("only integers, texts, booleans and None may be literals")?
            .to_string(),
        Expr::BinOp(both) if both.op == Operator::BitOr => {
            format!("{} | {}", spell(module, &both.left, literal, strings)?, spell(module, &both.right, literal, strings)?)
        }
        Expr::Tuple(items) if items.elts.is_empty() => "()".to_owned(),
        Expr::Tuple(items) => {
            let items: Result<Vec<_>, _> = items.elts.iter().map(|item| spell(module, item, literal, strings)).collect();
            items?.join(", ")
        }
        Expr::Subscript(subscript) => {
            let base = spell(module, &subscript.value, false, strings)?;
            if base == "Annotated" {
                let Expr::Tuple(items) = &*subscript.slice else { return Err("Annotated takes two".to_owned()) };
                return spell(module, items.elts.first().ok_or("Annotated takes two")?, false, strings);
            }
            format!("{base}[{}]", spell(module, &subscript.slice, base == "Literal", strings)?)
        }
        _ => return Err("an expression stands in it".to_owned()),
    })
}
