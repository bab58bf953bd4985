//! Which classes are pydantic's: those evaluate their annotations.

use ruff_python_ast::{Expr, StmtClassDef};

use crate::scope::{Bound, Units};

/// How far a class is followed to its bases.
const BASES: usize = 16;

/// Whether a class is a pydantic model, by its bases or its decorator.
pub(super) fn is_model(units: &Units<'_>, unit: usize, class: &StmtClassDef) -> bool {
    let decorated = class.decorator_list.iter().any(|decorator| {
        let callee = match &decorator.expression {
            Expr::Call(call) => &*call.func,
            other => other,
        };
        matches!(units.resolve(unit, callee), Some(Bound::Foreign(name)) if name == "pydantic.dataclasses.dataclass")
    });
    let (mut unit, mut class) = (unit, class);
    for _ in 0..BASES {
        let Some(arguments) = &class.arguments else { return decorated };
        let bases = arguments.args.iter().map(|base| match base {
            Expr::Subscript(subscript) => units.resolve(unit, &subscript.value),
            other => units.resolve(unit, other),
        });
        let mut next = None;
        for base in bases {
            match base {
                Some(Bound::Foreign(name)) if is_base(&name) => return true,
                Some(Bound::Class(at, base)) if next.is_none() => next = Some((at, base)),
                _ => {}
            }
        }
        let Some(found) = next else { return decorated };
        (unit, class) = found;
    }
    decorated
}

fn is_base(dotted: &str) -> bool {
    let (package, name) = (dotted.split('.').next().unwrap_or(dotted), dotted.rsplit('.').next().unwrap_or(dotted));
    matches!(package, "pydantic" | "pydantic_settings" | "sqlmodel")
        && matches!(name, "BaseModel" | "RootModel" | "GenericModel" | "BaseSettings" | "SQLModel")
}
