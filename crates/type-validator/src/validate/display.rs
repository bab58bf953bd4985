//! Lists, tuples and mappings that are written down in a call: each part is held to what is declared for it, as type checkers do.
//! `{"name": name, "price": 1}` so goes where a `TypedDict` is declared, and `[1, None]` where a `list[float | None]` is.

use qflow_model::{class::ClassKind, definition::Place, expression::Expr};
use qflow_types::{Ty, assignable_among, value};

use super::{check::Checker, narrow::Here};

impl<'a> Checker<'a> {
    /// Whether a value that is put together of others goes where a type is declared, part by part. Its parts have been told of, or will be.
    pub(super) fn fits(&mut self, expr: &Expr, here: &Here<'a>, place: &Place, ty: &Ty) -> bool {
        match (expr, ty) {
            (Expr::Literal(literal), _) => value::check_written(literal, ty, &self.definition.classes).is_ok(),
            (Expr::List(_) | Expr::Tuple(_) | Expr::Dict(_), Ty::Union(members)) => {
                members.iter().any(|member| self.fits(expr, here, place, member))
            }
            (Expr::List(parts), Ty::Generic(name, of)) if is_list(name) && of.len() == 1 => {
                parts.iter().all(|part| self.fits(part, here, place, &of[0]))
            }
            (Expr::Tuple(parts), Ty::Tuple(types)) => {
                parts.len() == types.len() && parts.iter().zip(types).all(|(part, ty)| self.fits(part, here, place, ty))
            }
            (Expr::Dict(parts), Ty::Generic(name, of)) if is_mapping(name) && of.len() == 2 => {
                let key = assignable_among(&Ty::class("str"), &of[0], &self.definition.classes).is_ok();
                key && parts.iter().all(|(_, part)| self.fits(part, here, place, &of[1]))
            }
            (Expr::Dict(parts), Ty::Class(name)) => {
                let class = self.definition.classes.get(name).filter(|class| class.kind == ClassKind::TypedDict);
                let Some(class) = class else { return false };
                let given = |name: &str| parts.iter().any(|(key, _)| key == name);
                class.fields.iter().all(|field| !field.required || given(&field.name))
                    && parts.iter().all(|(key, part)| {
                        let field = class.fields.iter().find(|field| field.name == *key);
                        field.is_some_and(|field| self.fits(part, here, place, &super::check::ty(&field.ty)))
                    })
            }
            _ => {
                let found = self.type_of(expr, here, place);
                found.is_some_and(|(found, _)| assignable_among(&found, ty, &self.definition.classes).is_ok())
            }
        }
    }
}

fn is_list(name: &str) -> bool {
    matches!(name, "list" | "MutableSequence" | "Sequence" | "Reversible" | "Collection" | "Iterable")
}

fn is_mapping(name: &str) -> bool {
    matches!(name, "dict" | "MutableMapping" | "Mapping")
}
