//! Values that are written down where a node is called: checked as what they are, and converted to see whether they would be.

use qflow_model::{class::Classes, expression::Expr};
use qflow_types::{
    Ty, Way, convertible,
    value::{self, ValueError},
};
use serde_json::Value;

use super::{
    check::Checker,
    tell::{Origin, Target},
    walk::of_value,
};

impl Checker<'_> {
    /// Whether a value that is written down goes; one that does not, and is known not to convert, is refused now.
    pub(super) fn literal(&mut self, literal: &Value, target: &Target<'_>) {
        let classes = &self.definition.classes;
        let checked = value::check_written(literal, target.ty, classes);
        let found = of_value(literal).widened();
        self.edge(&found, target, checked.is_ok());
        let Err(why) = checked else { return };
        // A value that is written down is none of a `Literal`'s, or it would have gone.
        let named = target.ty.members().iter().any(|member| matches!(member, Ty::Literal(_)));
        let way = if named { Way::Not } else { convertible(&found, target.ty, classes) };
        let converts = matches!(way, Way::Converted | Way::MayFail);
        // What only Python makes is not known here.
        let tried =
            (converts && value::is_made_here(target.ty, classes)).then(|| made(literal, target.ty, classes, &why));
        let (way, why) = match tried {
            Some(Err(why)) => (Way::Not, why),
            _ => (way, why),
        };
        let shown = if literal.is_null() { "None".to_owned() } else { value::to_plain(literal).to_string() };
        let origin = Origin { name: format!("literal {shown}"), place: None };
        // What the two types already say is not said again.
        let is_said = why.path.is_empty() && why.message == format!("expected {}, got {}", target.ty, found.root());
        let reason = if is_said { String::new() } else { why.to_string() };
        self.convert(&found, way, &origin, &reason, target);
    }
}

impl Checker<'_> {
    /// Whether the values that are written down in a list, a tuple or a mapping convert, as far as that is known now: what a node gives
    /// says only when it runs whether it does.
    pub(super) fn converts(&self, expr: &Expr, ty: &Ty) -> Result<(), ValueError> {
        let classes = &self.definition.classes;
        let at = |at: usize| format!("[{at}]");
        match (expr, ty) {
            (Expr::Literal(literal), _) => match value::check_written(literal, ty, classes) {
                Err(why) if value::is_made_here(ty, classes) => made(literal, ty, classes, &why),
                _ => Ok(()),
            },
            (Expr::List(_) | Expr::Tuple(_) | Expr::Dict(_), Ty::Union(members)) => {
                let mut wrong = members.iter().map(|member| self.converts(expr, member));
                let first = wrong.next().unwrap_or(Ok(()));
                if wrong.any(|one| one.is_ok()) { Ok(()) } else { first }
            }
            (Expr::List(parts) | Expr::Tuple(parts), Ty::Tuple(types)) if parts.len() == types.len() => {
                let mut pairs = parts.iter().zip(types).enumerate();
                pairs.try_for_each(|(i, (part, ty))| self.converts(part, ty).map_err(|why| why.below(&at(i))))
            }
            (Expr::List(parts) | Expr::Tuple(parts), _) => {
                let Some(item) = ty.element() else { return Ok(()) };
                let mut parts = parts.iter().enumerate();
                parts.try_for_each(|(i, part)| self.converts(part, &item).map_err(|why| why.below(&at(i))))
            }
            (Expr::Dict(parts), _) => parts.iter().try_for_each(|(key, part)| {
                let inner = match ty {
                    Ty::Generic(_, of) => of.get(1).cloned(),
                    Ty::Class(name) => {
                        let field = classes.get(name).and_then(|class| class.field(key));
                        field.map(|field| super::check::ty(&field.ty))
                    }
                    _ => None,
                };
                inner.map_or(Ok(()), |ty| self.converts(part, &ty).map_err(|why| why.below(&format!("[{key:?}]"))))
            }),
            _ => Ok(()),
        }
    }
}

/// Whether a value that is written down, and does not go, can be converted.
fn made(literal: &Value, ty: &Ty, classes: &Classes, why: &ValueError) -> Result<(), ValueError> {
    // What goes elsewhere is refused for a slip: a key that is not declared. Converted it would be there still.
    if value::check_fields(literal, ty, classes).is_ok() {
        return Err(why.clone());
    }
    value::convert(literal, ty, classes).map(drop)
}
