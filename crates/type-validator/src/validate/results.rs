//! Results of types that no value is of: such a node or workflow fails, whatever it returns.

use qflow_model::{
    class::Classes,
    definition::{Definition, Place, Problem, TypeText},
};
use qflow_types::{
    Ty,
    value::{self, Valueless},
};

use super::{check::ty, tell::problem};

/// Warns of each.
pub(super) fn without_values(definition: &Definition) -> impl Iterator<Item = Problem> {
    let nodes = definition.nodes.values().map(|node| (&node.name, &node.returns, &node.place));
    let workflows = definition.workflows.values().map(|flow| (&flow.name, &flow.returns, &flow.place));
    nodes.chain(workflows).filter_map(|(name, returns, place)| warned(name, returns, place, &definition.classes))
}

fn warned(name: &str, returns: &TypeText, place: &Place, classes: &Classes) -> Option<Problem> {
    let declared = ty(returns);
    let Valueless { part, field } = value::valueless(&declared, classes)?;
    let of = field.as_ref().map_or_else(String::new, |field| format!(", which `{field}` is"));
    let message = format!("{name} → {declared}: no value is of `{part}`{of}: a result of it fails");
    let then = if field.is_some() { " there" } else { ", and return that" };
    let told = problem(place, "no-value", message, &format!("declare {}{then}", instead(&part)));
    Some(Problem { warning: true, ..told })
}

/// What has a form and says the same.
fn instead(ty: &Ty) -> Ty {
    let of = |name: &str, types: &[Ty]| {
        if types.is_empty() { Ty::class(name) } else { Ty::Generic(name.to_owned(), types.to_vec()) }
    };
    let (name, given) = match ty {
        Ty::Generic(name, given) => (name.as_str(), given.as_slice()),
        Ty::Class(name) => (name.as_str(), [].as_slice()),
        _ => ("", [].as_slice()),
    };
    match (name, given) {
        ("deque" | "KeysView", _) => of("list", given),
        ("ValuesView", _) => of("list", given.get(1..).unwrap_or_default()),
        ("ItemsView", [_, _]) => of("list", &[Ty::Tuple(given.to_vec())]),
        ("ItemsView" | "MappingView", _) => Ty::class("list"),
        ("ChainMap", _) => of("dict", given),
        ("range", _) => of("list", &[Ty::class("int")]),
        ("bytearray" | "memoryview", _) => Ty::class("bytes"),
        _ => Ty::class("str"),
    }
}
