//! Objects of the user's own classes, held to the fields and members that reading told.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
};

use qflow_model::class::{Class, ClassKind, Classes, Field};
use serde_json::{Map, Value};

use super::is_named;
use crate::{
    assignable::assignable_among,
    builtin::builtin,
    ty::{Literal, Ty},
    value::{
        ValueError,
        header::{Header, Headers},
        kind, python_key,
        read::field_type,
        stored_key, tag,
    },
};

/// Classes of Python's that hold others and of which no enum, dataclass or `NamedTuple` is.
const CONTAINERS: &[&str] = &[
    "list",
    "dict",
    "set",
    "frozenset",
    "OrderedDict",
    "defaultdict",
    "Counter",
    "deque",
    "DataFrame",
    "Series",
    "ndarray",
];
/// Classes of Python's that are mixed into enums, and of which no dataclass or `NamedTuple` is.
const SCALARS: &[&str] = &[
    "bool",
    "int",
    "float",
    "complex",
    "str",
    "bytes",
    "Decimal",
    "Fraction",
    "date",
    "datetime",
    "time",
    "timedelta",
    "UUID",
    "Path",
    "PurePath",
    "PosixPath",
    "PurePosixPath",
    "PureWindowsPath",
    "File",
    "Folder",
];
/// Members that an error lists; of more the number is told.
const LISTED: usize = 20;

/// The user's classes as a check needs them.
#[derive(Default)]
pub(in crate::value) struct Records<'c> {
    by_name: BTreeMap<&'c str, Record<'c>>,
    /// All that are known, those too whose fields are not told.
    classes: Option<&'c Classes>,
    /// What is known of the value's attachments.
    headers: Option<&'c Headers>,
    /// Whether values are given to a declaration, and were held to another one when they were made.
    is_given: bool,
    /// Whether objects of other classes pass where those go.
    is_by_class: bool,
    /// Whether values are written down where they stand, and so are held to be no more than is declared.
    is_written: bool,
    /// Within how many unions of which several members may be meant.
    tried: Cell<u32>,
    /// What is found of objects while several members are tried: else a class that holds itself costs twice as much with each level.
    found: RefCell<HashMap<(*const Value, *const Class), Option<ValueError>>>,
}

/// A class, and the types of its fields.
pub(in crate::value) struct Record<'c> {
    pub(super) class: &'c Class,
    pub(super) fields: Vec<(&'c Field, Ty)>,
}

impl<'c> Record<'c> {
    /// Whether a value's class is this one, by its qualified name: another of the same last name is none. Where a file is imported from beside
    /// the entry, Python's name of its module is shorter than that from the root.
    pub(in crate::value) fn is_of(&self, kind: &str) -> bool {
        let own = self.class.name.as_str();
        let ends = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('.'));
        let is_entry = || kind.strip_prefix("__main__.").is_some_and(|name| ends(own, name));
        kind == own || ends(kind, own) || ends(own, kind) || is_entry()
    }

    /// Its fields with their types.
    pub(in crate::value) fn fields(&self) -> impl Iterator<Item = (&'c Field, &Ty)> {
        self.fields.iter().map(|(field, ty)| (*field, ty))
    }
}

impl<'c> Records<'c> {
    /// Reads the types of fields, once for all values.
    pub(in crate::value) fn read(classes: &'c Classes) -> Self {
        let fields = |class: &'c Class| class.fields.iter().map(|field| (field, field_type(field, classes))).collect();
        let record = |class| Record { class, fields: fields(class) };
        let known = classes.iter().filter(|(_, class)| is_told(class));
        let by_name = known.map(|(name, class)| (name.as_str(), record(class))).collect();
        Self { by_name, classes: Some(classes), ..Self::default() }
    }

    /// The same, where headers of a value's attachments were read.
    pub(in crate::value) fn with(self, headers: &'c Headers) -> Self {
        Self { headers: Some(headers), ..self }
    }

    /// The same for values that were made elsewhere: a class may be derived from the declared one, or stand for another, and of that only the
    /// submission as a whole tells; so objects of other classes pass.
    pub(super) fn given(self) -> Self {
        Self { is_given: true, ..self }
    }

    /// The same for values that are written down, as defaults are: a key that a `TypedDict` does not declare is a slip there.
    pub(super) fn written(self) -> Self {
        Self { is_written: true, ..self }
    }

    /// Whether a value is written as a mapping where an object is declared whose fields only Python knows.
    pub(super) fn is_no_object(&self, value: &Value, name: &str) -> bool {
        let class = self.classes.filter(|_| self.is_written).and_then(|classes| classes.get(name));
        let is_object = class.is_some_and(|class| matches!(class.kind, ClassKind::Dataclass | ClassKind::NamedTuple));
        is_object && tag(value).is_none()
    }

    /// Whether objects of a class may have fields that it does not declare.
    pub(super) fn is_open(&self, class: &Class) -> bool {
        class.kind == ClassKind::TypedDict && !self.is_written
    }

    /// The same where an object of another class that goes for the declared type stays as it is.
    pub(in crate::value) fn by_class(self) -> Self {
        Self { is_by_class: true, ..self }
    }

    /// Whether a value is an object of a class that is not declared here by its name, and passes for that.
    pub(in crate::value) fn is_of_another(&self, value: &Value, ty: &Ty) -> bool {
        let Some((form @ ("object" | "enum"), _)) = tag(value).filter(|_| self.is_given || self.is_by_class) else {
            return false;
        };
        let is_it = |member: &Ty| {
            let (Ty::Class(name) | Ty::Generic(name, _)) = member else { return false };
            self.get(name).map_or_else(|| is_named(kind(value), name), |record| record.is_of(kind(value)))
        };
        if ty.members().iter().any(is_it) {
            return false;
        }
        // What is known of a class that is declared here says nothing of one that only the user's code knows.
        let may_be = |member: &Ty| self.is_given && self.may_stand(form, member);
        match self.own(value) {
            Some(own) => {
                self.goes(value, &own, ty) || ty.members().iter().any(|one| self.is_unread(one) && may_be(one))
            }
            None => ty.members().iter().any(may_be),
        }
    }

    /// Whether a value is an object of a class that has the name of a declared one and is not that.
    pub(super) fn is_anothers(&self, value: &Value, ty: &Ty) -> bool {
        let Ty::Class(name) = ty else { return false };
        let is_object = tag(value).is_some_and(|(form, _)| form == "object");
        is_object && self.get(name).is_some_and(|record| !record.is_of(kind(value)))
    }

    /// The class of an object, where it is known.
    fn own(&self, value: &Value) -> Option<Ty> {
        let name = kind(value);
        let mut classes = self.classes?.iter();
        classes.find(|(_, class)| class.name == name).map(|(own, _)| Ty::class(own))
    }

    /// Whether an object's class goes where a type is declared: a `NamedTuple` as a tuple, a member of an `IntEnum` as a number.
    fn goes(&self, value: &Value, own: &Ty, ty: &Ty) -> bool {
        self.classes.is_some_and(|classes| assignable_among(own, ty, classes).is_ok()) && self.check(value, own).is_ok()
    }

    /// Whether a type is a class of the user's of which nothing is known.
    fn is_unread(&self, ty: &Ty) -> bool {
        let (Ty::Class(name) | Ty::Generic(name, _)) = ty else { return false };
        builtin(name).is_none() && self.classes.is_none_or(|classes| !classes.contains_key(name))
    }

    /// Whether an object of a class that is not known may be of a type: of one that is derived from it, as a `NamedTuple` from `tuple` and an
    /// `IntEnum` from `int`.
    fn may_stand(&self, form: &str, ty: &Ty) -> bool {
        let is_enum = form == "enum";
        match ty {
            Ty::Any | Ty::Variable(_) | Ty::Union(_) => true,
            Ty::Never | Ty::None => false,
            Ty::Literal(values) => is_enum && values.iter().any(|value| matches!(value, Literal::Member(..))),
            Ty::Tuple(_) | Ty::Tuples(_) | Ty::Spread(..) => !is_enum,
            Ty::Class(name) | Ty::Generic(name, _) => match self.classes.and_then(|classes| classes.get(name)) {
                // An enum that has members has nothing derived from it, and a `TypedDict`'s values are mappings.
                Some(class) => !is_enum && !matches!(class.kind, ClassKind::Enum | ClassKind::TypedDict),
                None if is_enum => name != "bool" && !CONTAINERS.contains(&name.as_str()),
                None => !SCALARS.contains(&name.as_str()) && !CONTAINERS.contains(&name.as_str()),
            },
        }
    }

    /// The header of an attachment, where it was read.
    pub(super) fn header(&self, value: &Value) -> Option<&'c Header> {
        self.headers?.get(&value.get("i")?.as_u64()?)
    }

    pub(in crate::value) fn get(&self, name: &str) -> Option<&Record<'c>> {
        self.by_name.get(name)
    }

    /// Tries members of a union, several of which may be meant.
    pub(super) fn trying<T>(&self, members: impl FnOnce() -> T) -> T {
        self.tried.set(self.tried.get() + 1);
        let tried = members();
        self.tried.set(self.tried.get() - 1);
        if self.tried.get() == 0 {
            self.found.borrow_mut().clear();
        }
        tried
    }

    /// Checks a value of a class that is known.
    pub(super) fn record(&self, value: &Value, name: &str, record: &Record<'_>) -> Result<(), ValueError> {
        let is_it = record.is_of(kind(value));
        match (record.class.kind, tag(value), value) {
            (ClassKind::Enum, Some(("enum", Value::String(member))), _) if is_it => {
                member_of(member, name, record.class)
            }
            (ClassKind::Dataclass | ClassKind::NamedTuple, Some(("object", Value::Object(given))), _) if is_it => {
                self.once(value, record, || self.fields(value, given, name, record))
            }
            (ClassKind::TypedDict, None, Value::Object(given)) => {
                self.once(value, record, || self.fields(value, given, name, record))
            }
            // What it holds pydantic checked when it was made.
            (ClassKind::Model, ..) if super::class(value, name) => Ok(()),
            _ => Err(ValueError::new(format!("expected {name}, got {}", kind(value)))),
        }
    }

    fn once(
        &self,
        value: &Value,
        record: &Record<'_>,
        check: impl FnOnce() -> Result<(), ValueError>,
    ) -> Result<(), ValueError> {
        if self.tried.get() == 0 {
            return check();
        }
        let key = (std::ptr::from_ref(value), std::ptr::from_ref(record.class));
        if let Some(found) = self.found.borrow().get(&key) {
            return found.clone().map_or(Ok(()), Err);
        }
        let found = check();
        self.found.borrow_mut().insert(key, found.clone().err());
        found
    }

    /// The fields of an object by their types: first that they are those of the class, then what they hold. A `TypedDict` may hold more.
    fn fields(
        &self,
        value: &Value,
        given: &Map<String, Value>,
        name: &str,
        record: &Record<'_>,
    ) -> Result<(), ValueError> {
        let class = record.class;
        let held = |field: &Field| {
            if field.name.starts_with('$') { given.get(&stored_key(&field.name)) } else { given.get(&field.name) }
        };
        let known = record.fields.iter().filter(|(field, _)| held(field).is_some()).count();
        if known < given.len() && !self.is_open(class) {
            let unknown = given.keys().map(|key| python_key(key)).find(|key| class.field(key).is_none());
            return Err(self::unknown(name, record, unknown.unwrap_or_default()));
        }
        let mut missing = class.fields.iter().filter(|field| field.required && held(field).is_none());
        if let Some(field) = missing.next() {
            return Err(self::missing(name, kind(value), &field.name));
        }
        for (field, ty) in &record.fields {
            let Some(value) = held(field) else { continue };
            // `name: str = None`: what a class itself gives is not held against whoever leaves it so.
            if field.default.as_ref() != Some(value) {
                self.check(value, ty).map_err(|e| e.below(&at(field, class.kind)))?;
            }
        }
        Ok(())
    }
}

/// A field that the class does not have.
pub(super) fn unknown(name: &str, record: &Record<'_>, unknown: &str) -> ValueError {
    ValueError::new(format!("{name} has no field `{unknown}`; it has {}", record.class.fields_named()))
}

/// A field that is not there.
pub(super) fn missing(name: &str, got: &str, missing: &str) -> ValueError {
    ValueError::new(format!("expected {name}, got {got} without `{missing}`"))
}

/// Where a field is.
pub(super) fn at(field: &Field, kind: ClassKind) -> String {
    if kind == ClassKind::TypedDict { format!("[{:?}]", field.name) } else { format!(".{}", field.name) }
}

/// Whether the fields go by the names that are written: Python renames private ones.
fn is_told(class: &Class) -> bool {
    !class.fields.iter().any(|field| field.name.starts_with("__") && !field.name.ends_with("__"))
}

fn member_of(member: &str, name: &str, class: &Class) -> Result<(), ValueError> {
    if class.members.iter().any(|known| known.name == member) {
        return Ok(());
    }
    let listed = class.members.iter().take(LISTED).map(|member| member.name.clone());
    let more = class.members.len().checked_sub(LISTED + 1).map(|more| format!("{} more", more + 1));
    let names: Vec<String> = listed.chain(more).collect();
    Err(ValueError::new(format!("expected {name}, which has {}; got {member}", names.join(", "))))
}

#[cfg(test)]
mod tests;
