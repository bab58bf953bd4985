//! The user's own classes that signatures name: members of enums, fields of records. What reading alone does not tell for sure, a
//! value that is computed or an initialiser of one's own, leaves a class out: then only Python knows what it takes.

mod bases;
mod field;
mod member;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use qflow_model::{
    class::{Class, ClassKind, Classes, Field, Member},
    definition::Definition,
};
use qflow_types::Ty;
use ruff_python_ast::{Expr, Stmt, StmtClassDef, StmtFunctionDef};
use serde_json::Value;

use crate::{
    annotation,
    scope::{Bound, Spent, Units},
};

/// Fields and members of all classes: a definition keeps within one message.
const PARTS: usize = 5_000;
/// Classes above a class.
const BASES: usize = 16;

/// What is known of the classes that a definition's signatures name, and of those that their fields name.
pub(crate) fn read(units: &Units<'_>, definition: &Definition) -> Classes {
    of(units, signatures(definition).flat_map(|ty| named(&ty)).collect())
}

/// What is known of classes, and of those that their fields name.
pub(crate) fn of(units: &Units<'_>, mut wanted: Vec<String>) -> Classes {
    let mut own: HashMap<String, Vec<(usize, &StmtClassDef)>> = HashMap::new();
    for (unit, file) in units.files.iter().enumerate() {
        for class in file.suite.iter().filter_map(Stmt::as_class_def_stmt) {
            own.entry(annotation::own(class.name.id.as_str(), &file.text.module())).or_default().push((unit, class));
        }
    }
    let (mut found, mut seen, mut left) = (BTreeMap::new(), BTreeSet::new(), PARTS);
    while let Some(name) = wanted.pop() {
        // Two classes of one name are not told apart by it.
        let Some([(unit, class)]) = own.get(&name).map(Vec::as_slice) else { continue };
        if !seen.insert(name.clone()) {
            continue;
        }
        let Some(read) = one(units, *unit, class, BASES) else { continue };
        let Some(rest) = left.checked_sub(read.fields.len() + read.members.len()) else { break };
        left = rest;
        let types = read.fields.iter().filter_map(|field| field.ty.0.parse().ok());
        wanted.extend(types.flat_map(|ty: Ty| named(&ty)));
        found.insert(name, read);
    }
    // Nor is a class of that name from somewhere else.
    let others = units.others.borrow();
    found.retain(|name, _| !others.contains(name));
    found
}

/// Whether a literal is a member of an enum whose members are known, each under one name.
pub(crate) fn is_known_member(units: &Units<'_>, literal: &Value) -> bool {
    let name = literal.get("t").and_then(Value::as_str).unwrap_or_default();
    let Some((module, name)) = name.rsplit_once('.') else { return false };
    let Some(unit) = units.files.iter().position(|file| file.text.module() == module) else { return false };
    let classes = units.files[unit].suite.iter().filter_map(Stmt::as_class_def_stmt);
    let class = classes.filter(|class| class.name.id.as_str() == name).find_map(|class| one(units, unit, class, BASES));
    let Some(class) = class.filter(|class| class.kind == ClassKind::Enum) else { return false };
    // `True`, `1` and `1.0` are one value.
    let one = |value: &Value| value.as_bool().map_or_else(|| value.as_f64(), |truth| Some(f64::from(u8::from(truth))));
    let equal = |a: f64, b: f64| a.partial_cmp(&b).is_some_and(std::cmp::Ordering::is_eq);
    let same = |a: &Value, b: &Value| a == b || one(a).zip(one(b)).is_some_and(|(a, b)| equal(a, b));
    let values: Vec<&Value> = class.members.iter().map(|member| &member.value).collect();
    values.iter().enumerate().all(|(at, value)| !values[..at].iter().any(|before| same(before, value)))
}

/// The types of all that is called.
fn signatures(definition: &Definition) -> impl Iterator<Item = Ty> {
    let nodes = definition.nodes.values().map(|node| (&node.params, &node.returns));
    let workflows = definition.workflows.values().map(|workflow| (&workflow.params, &workflow.returns));
    let texts = nodes.chain(workflows).flat_map(|(params, returns)| params.iter().map(|p| &p.ty).chain([returns]));
    texts.filter_map(|text| text.0.parse().ok())
}

/// The classes that a type names.
pub(crate) fn named(ty: &Ty) -> Vec<String> {
    match ty {
        Ty::Class(name) => vec![name.clone()],
        Ty::Literal(values) => annotation::enums(values).map(str::to_owned).collect(),
        other => other.parts().into_iter().flat_map(named).collect(),
    }
}

/// What a class holds; nothing where that is not sure.
fn one(units: &Units<'_>, unit: usize, class: &StmtClassDef, left: usize) -> Option<Class> {
    let file = &units.files[unit];
    let name = class.name.id.as_str();
    let is_it = matches!(units.named(unit, name), Some(Bound::Class(_, bound)) if std::ptr::eq(bound, class));
    // Bases of bases, each read for every class below it, count as what is spelt out does.
    let spent = units.spend(1 + class.body.len());
    if spent != Spent::Within || left == 0 || !is_it || file.again.iter().any(|(again, _)| *again == name) {
        return None;
    }
    let shape = bases::shape(units, unit, class, left)?;
    let (mut fields, mut members) = (shape.fields.clone(), Vec::new());
    for stmt in &class.body {
        match stmt {
            Stmt::Pass(_) => {}
            Stmt::Expr(text) if text.value.is_string_literal_expr() || text.value.is_ellipsis_literal_expr() => {}
            Stmt::FunctionDef(method) if is_harmless(units, unit, method, shape.kind) => {}
            Stmt::AnnAssign(assign) if shape.kind != ClassKind::Enum => {
                match field::read(units, unit, assign, &shape)? {
                    None => {}
                    Some(field) => put(&mut fields, field),
                }
            }
            Stmt::Assign(assign) => {
                let [Expr::Name(target)] = assign.targets.as_slice() else { return None };
                match shape.kind {
                    ClassKind::Enum => {
                        let value = member::value(units, unit, target.id.as_str(), &assign.value, &members, &shape)?;
                        members.push(Member { name: target.id.as_str().to_owned(), value });
                    }
                    // An attribute of the class itself.
                    ClassKind::Dataclass => {}
                    ClassKind::NamedTuple | ClassKind::TypedDict | ClassKind::Model => return None,
                }
            }
            _ => return None,
        }
    }
    let (kind, bases) = (shape.kind, shape.bases);
    if kind == ClassKind::Enum && members.is_empty() && left == BASES {
        return None;
    }
    Some(Class { name: format!("{}.{name}", file.text.module()), kind, bases, fields, members, unhashable: false })
}

/// Adds a field, or changes that of a base.
fn put(fields: &mut Vec<Field>, field: Field) {
    match fields.iter_mut().find(|known| known.name == field.name) {
        Some(known) => *known = field,
        None => fields.push(field),
    }
}

/// Methods that change what a class takes, or what equals it.
const TELLING: &[&str] = &[
    "__init__",
    "__new__",
    "__post_init__",
    "__init_subclass__",
    "__setattr__",
    "__getattr__",
    "__getattribute__",
    "__set_name__",
    "__get_pydantic_core_schema__",
    "__get_validators__",
    "model_post_init",
    "_missing_",
    "_generate_next_value_",
];

/// Whether a method leaves what the class takes as its fields say.
fn is_harmless(units: &Units<'_>, unit: usize, method: &StmtFunctionDef, kind: ClassKind) -> bool {
    let name = method.name.id.as_str();
    let telling = TELLING.contains(&name) || (kind == ClassKind::Enum && matches!(name, "__eq__" | "__hash__"));
    let plain = |expr: &Expr| match units.resolve(unit, expr) {
        Some(Bound::Foreign(name)) => matches!(
            name.as_str(),
            "functools.cached_property" | "abc.abstractmethod" | "typing.override" | "typing_extensions.override"
        ),
        Some(_) => false,
        None => expr
            .as_name_expr()
            .is_some_and(|name| matches!(name.id.as_str(), "property" | "classmethod" | "staticmethod")),
    };
    !telling && method.decorator_list.iter().all(|decorator| plain(&decorator.expression))
}

/// What a name of a class's body stands for outside, dotted.
fn foreign(units: &Units<'_>, unit: usize, expr: &Expr) -> Option<String> {
    match units.resolve(unit, expr) {
        Some(Bound::Foreign(name)) => Some(name),
        _ => None,
    }
}
