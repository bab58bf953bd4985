//! The user's own classes that signatures name: members of enums, fields of records. What reading alone does not tell for sure, a
//! value that is computed or an initialiser of one's own, leaves a class out: then only Python knows what it takes, and that is told.

mod bases;
mod called;
mod field;
mod member;
mod unread;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) use called::{called, members as called_members};
pub(crate) use member::missing as missing_member;
use qflow_model::{
    class::{Class, ClassKind, Classes, Field, Member},
    definition::Definition,
};
use qflow_types::Ty;
use ruff_python_ast::{Expr, ExprCall, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::Ranged;
use serde_json::Value;
pub(crate) use unread::{Unread, warning as unread_warning};

use crate::{
    annotation,
    problems::Problems,
    scope::{Bound, Spent, Units},
};

/// Fields and members of all classes: a definition keeps within one message.
const PARTS: usize = 5_000;
/// Classes above a class.
const BASES: usize = 16;

/// How a class is written: by its statement, or by a call, `Row = TypedDict("Row", {"day": date})`.
#[derive(Clone, Copy)]
enum Written<'a> {
    Statement(&'a StmtClassDef),
    Call(&'a str, &'a ExprCall),
}

/// What is known of the classes that a definition's signatures name, and of those that their fields name; warns of those that are records
/// or enums and not read.
pub(crate) fn read(units: &Units<'_>, definition: &Definition, problems: &mut Problems) -> Classes {
    let (classes, unread) = all(units, signatures(definition).flat_map(|ty| named(&ty)).collect());
    unread.into_iter().filter_map(|(name, unread)| unread.problem(units, &name)).for_each(|told| problems.push(told));
    classes
}

/// What is known of classes, and of those that their fields name.
pub(crate) fn of(units: &Units<'_>, wanted: Vec<String>) -> Classes {
    all(units, wanted).0
}

fn all(units: &Units<'_>, mut wanted: Vec<String>) -> (Classes, BTreeMap<String, Unread>) {
    let mut own: HashMap<String, Vec<(usize, Written<'_>)>> = HashMap::new();
    for (unit, file) in units.files.iter().enumerate() {
        for (name, written) in file.suite.iter().filter_map(|stmt| written(units, unit, stmt)) {
            own.entry(units.own(unit, name)).or_default().push((unit, written));
        }
    }
    let (mut found, mut seen, mut left, mut unread) = (Classes::new(), BTreeSet::new(), PARTS, BTreeMap::new());
    let mut opaque = Vec::new();
    while let Some(name) = wanted.pop() {
        // Two classes of one name are not told apart by it.
        let Some([(unit, written)]) = own.get(&name).map(Vec::as_slice) else { continue };
        if !seen.insert(name.clone()) {
            continue;
        }
        let read = match one(units, *unit, *written, BASES) {
            Ok(read) => read,
            Err(why) => {
                if let Written::Statement(class) = written {
                    let above = bases::above(units, *unit, class, BASES);
                    opaque.extend((!above.is_empty()).then(|| (name.clone(), above)));
                }
                unread.insert(name, why);
                continue;
            }
        };
        let Some(rest) = left.checked_sub(read.fields.len() + read.members.len()) else { break };
        left = rest;
        let types = read.fields.iter().filter_map(|field| field.ty.0.parse().ok());
        wanted.extend(types.flat_map(|ty: Ty| named(&ty)));
        found.insert(name, read);
    }
    // Nor is a class of that name from somewhere else.
    let others = units.others.borrow();
    for (name, [(unit, written)]) in
        own.iter().filter_map(|(name, all)| Some((name, <&[_; 1]>::try_from(&**all).ok()?)))
    {
        if others.contains(name) && found.remove(name).is_some() {
            let range = match written {
                Written::Statement(class) => class.name.range(),
                Written::Call(_, call) => call.range(),
            };
            unread.insert(name.clone(), Unread::at(*unit, range, "another class is spelled so too"));
        }
    }
    opaque.retain(|(name, _)| !others.contains(name));
    opaque.into_iter().for_each(|(name, above)| found.put_above(name, above));
    (found, unread)
}

/// A class that a statement at the top level writes down, with its name.
fn written<'a>(units: &Units<'a>, unit: usize, stmt: &'a Stmt) -> Option<(&'a str, Written<'a>)> {
    match stmt {
        Stmt::ClassDef(class) => Some((class.name.id.as_str(), Written::Statement(class))),
        Stmt::Assign(assign) => {
            let call = assign.value.as_call_expr()?;
            let name = called(units, unit, &assign.value)?;
            Some((name, Written::Call(name, call)))
        }
        _ => None,
    }
}

/// The members of an enum's class, and what else its statements bind; nothing where only Python knows them all.
pub(crate) fn members(units: &Units<'_>, unit: usize, class: &StmtClassDef) -> Option<Vec<String>> {
    let read = one(units, unit, Written::Statement(class), BASES).ok().filter(|class| class.kind == ClassKind::Enum)?;
    Some(read.members.into_iter().map(|member| member.name).collect())
}

/// Whether a literal is a member of an enum whose members are known, under the first name of its value.
pub(crate) fn is_known_member(units: &Units<'_>, literal: &Value) -> bool {
    let name = literal.get("t").and_then(Value::as_str).unwrap_or_default();
    let Some((module, name)) = name.rsplit_once('.') else { return false };
    let Some(unit) = units.files.iter().position(|file| file.text.module() == module) else { return false };
    let classes = units.files[unit].suite.iter().filter_map(|stmt| written(units, unit, stmt));
    let class = classes.filter(|(own, _)| *own == name).find_map(|(_, written)| one(units, unit, written, BASES).ok());
    let Some(class) = class.filter(|class| class.kind == ClassKind::Enum) else { return false };
    // `True`, `1` and `1.0` are one value.
    let one = |value: &Value| value.as_bool().map_or_else(|| value.as_f64(), |truth| Some(f64::from(u8::from(truth))));
    let equal = |a: f64, b: f64| a.partial_cmp(&b).is_some_and(std::cmp::Ordering::is_eq);
    let same = |a: &Value, b: &Value| a == b || one(a).zip(one(b)).is_some_and(|(a, b)| equal(a, b));
    let named = class.members.iter().position(|member| literal["v"] == member.name.as_str());
    named.is_some_and(|at| {
        let (before, member) = (&class.members[..at], &class.members[at]);
        !before.iter().any(|other| same(&other.value, &member.value))
    })
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
        // `Box[int]`: what is given in brackets, and what takes it.
        Ty::Generic(name, parts) => parts.iter().flat_map(named).chain([name.clone()]).collect(),
        other => other.parts().into_iter().flat_map(named).collect(),
    }
}

/// What a class holds.
///
/// # Errors
/// Where that is not sure, with what is in the way.
fn one(units: &Units<'_>, unit: usize, written: Written<'_>, left: usize) -> Result<Class, Unread> {
    match written {
        Written::Statement(class) => by_statement(units, unit, class, left),
        Written::Call(name, call) => called::read(units, unit, name, call),
    }
}

fn by_statement(units: &Units<'_>, unit: usize, class: &StmtClassDef, left: usize) -> Result<Class, Unread> {
    let file = &units.files[unit];
    let name = class.name.id.as_str();
    let is_it = matches!(units.named(unit, name), Some(Bound::Class(_, bound)) if std::ptr::eq(bound, class));
    // Bases of bases, each read for every class below it, count as what is spelt out does.
    let spent = units.spend(1 + class.body.len());
    if spent != Spent::Within || left == 0 {
        return Err(Unread::at(unit, class.name.range(), "these files spell out too much"));
    }
    if !is_it || file.again.iter().any(|(again, _)| *again == name) {
        return Err(Unread::at(
            unit,
            class.name.range(),
            format!("`{name}` is bound again, and may be something else"),
        ));
    }
    let shape = bases::shape(units, unit, class, left)?;
    let (mut fields, mut members) = (shape.fields.clone(), Vec::new());
    for stmt in &class.body {
        let unsure = |why: &str| Unread::of(shape.kind, unit, stmt.range(), why);
        match stmt {
            Stmt::Pass(_) => {}
            Stmt::Expr(text) if text.value.is_string_literal_expr() || text.value.is_ellipsis_literal_expr() => {}
            Stmt::FunctionDef(method) => is_harmless(units, unit, method, shape.kind)?,
            Stmt::AnnAssign(assign) if shape.kind != ClassKind::Enum && shape.adds => {
                match field::read(units, unit, assign, &shape)? {
                    None => {}
                    Some(field) => put(&mut fields, field),
                }
            }
            // Of a class that is derived without its decorator: no field, but what an object has by its class.
            Stmt::AnnAssign(_) if shape.kind != ClassKind::Enum => {}
            Stmt::Assign(assign) => {
                let [Expr::Name(target)] = assign.targets.as_slice() else {
                    return Err(unsure("what is assigned here is not followed"));
                };
                match shape.kind {
                    ClassKind::Enum => {
                        let value = member::value(units, unit, target.id.as_str(), &assign.value, &members, &shape)
                            .ok_or_else(|| unsure("only Python knows the value of this member"))?;
                        members.push(Member { name: target.id.as_str().to_owned(), value });
                    }
                    // An attribute of the class itself.
                    ClassKind::Dataclass => {}
                    ClassKind::NamedTuple
                        if !shape.adds && fields.iter().all(|field| field.name != target.id.as_str()) => {}
                    ClassKind::Model
                        if bases::is_plain_configuration(units, unit, target.id.as_str(), &assign.value) => {}
                    _ => return Err(unsure("what is assigned here is not followed")),
                }
            }
            _ => return Err(unsure("what this does to the class is not followed")),
        }
    }
    let (kind, bases, unhashable) = (shape.kind, shape.bases, shape.unhashable);
    if kind == ClassKind::Enum && members.is_empty() && left == BASES {
        return Err(Unread::no_record(unit, class.name.range()));
    }
    let unhashable =
        unhashable && !class.body.iter().filter_map(Stmt::as_function_def_stmt).any(|f| f.name.id == "__hash__");
    Ok(Class { name: format!("{}.{name}", file.text.module()), kind, bases, fields, members, unhashable })
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
fn is_harmless(units: &Units<'_>, unit: usize, method: &StmtFunctionDef, kind: ClassKind) -> Result<(), Unread> {
    let name = method.name.id.as_str();
    let telling = TELLING.contains(&name) || (kind == ClassKind::Enum && matches!(name, "__eq__" | "__hash__"));
    if telling {
        let why = format!("`{name}` may change what it takes");
        return Err(Unread::of(kind, unit, method.name.range(), why));
    }
    let plain = |expr: &Expr| match units.resolve(unit, expr) {
        Some(Bound::Foreign(name)) => matches!(
            name.as_str(),
            "functools.cached_property"
                | "abc.abstractmethod"
                | "typing.override"
                | "typing_extensions.override"
                | "functools.cache"
                | "functools.lru_cache"
        ),
        Some(_) => false,
        None => expr
            .as_name_expr()
            .is_some_and(|name| matches!(name.id.as_str(), "property" | "classmethod" | "staticmethod")),
    };
    match method.decorator_list.iter().find(|decorator| !plain(&decorator.expression)) {
        None => Ok(()),
        Some(decorator) => {
            let written = units.files[unit].text.written(decorator.expression.range());
            Err(Unread::of(kind, unit, decorator.range(), format!("`@{written}` may change what it takes")))
        }
    }
}

/// What a name of a class's body stands for outside, dotted.
fn foreign(units: &Units<'_>, unit: usize, expr: &Expr) -> Option<String> {
    match units.resolve(unit, expr) {
        Some(Bound::Foreign(name)) => Some(name),
        _ => None,
    }
}
