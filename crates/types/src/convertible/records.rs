//! Objects of the user's own classes, and frames: what may be made of which, as far as reading tells what the classes are.

use qflow_model::class::{Class, ClassKind};

use super::{DEPTH, Held, Way, Ways, held, is_dict, may_fail, worst};
use crate::{builtin, ty::Ty, value::field_type};

impl<'c> Ways<'c> {
    /// Objects of classes that are the user's or only Python knows, and frames; nothing where neither is one.
    pub(super) fn made(&mut self, source: &Ty, target: &Ty) -> Option<Way> {
        if let Some((name, class)) = self.class(target) {
            return Some(self.object(source, target, (name, class)));
        }
        match target.root() {
            "object" if !is_opaque(target) => Some(may_fail(
                self.is_mapping(source) || matches!(source, Ty::Class(name) if matches!(name.as_str(), "str" | "int")),
            )),
            "DataFrame" => Some(may_fail(match held(source) {
                Some(Held::List { item, .. }) => self.is_row(item),
                Some(Held::Tuple(items)) => {
                    items.before.iter().chain(items.of).chain(items.after).all(|item| self.is_row(item))
                }
                Some(Held::Map { item, .. }) => is_column(item),
                Some(Held::Set(_)) => false,
                // What it does not declare may be a column, too.
                None => self.typed_dict(source)?.fields.iter().all(|field| is_column(&field_type(field, self.classes))),
            })),
            _ => self.mapping(source, target),
        }
    }

    /// An object of a class that is known: a member of an enum by its name or its value, a record of a mapping.
    fn object(&mut self, source: &Ty, target: &Ty, (name, class): (&str, &Class)) -> Way {
        match class.kind {
            ClassKind::Enum => may_fail(matches!(source, Ty::Class(name) if matches!(name.as_str(), "str" | "int"))),
            // What pydantic takes for its fields it says itself; of a generic one they are what its variables stand for.
            ClassKind::Model => may_fail(self.is_mapping(source)),
            _ if matches!(target, Ty::Generic(..)) => may_fail(self.is_mapping(source)),
            ClassKind::Dataclass | ClassKind::NamedTuple | ClassKind::TypedDict => {
                let asked = (source.clone(), name.to_owned());
                if let Some(way) = self.asked.get(&asked) {
                    return *way;
                }
                if self.depth == DEPTH {
                    return Way::Not;
                }
                self.asked.insert(asked.clone(), Way::MayFail);
                self.depth += 1;
                let way = may_fail(self.record(source, class));
                self.depth -= 1;
                self.asked.insert(asked, way);
                way
            }
        }
    }

    /// Whether some value of a type is a mapping of which the record can be made.
    fn record(&mut self, source: &Ty, class: &Class) -> bool {
        let wanted: Vec<_> = class.fields.iter().map(|field| (field, field_type(field, self.classes))).collect();
        if let Some(given) = self.typed_dict(source) {
            let is_open = class.kind == ClassKind::TypedDict;
            return given.fields.iter().all(|field| {
                match wanted.iter().find(|(wanted, _)| wanted.name == field.name) {
                    None => is_open || !field.required,
                    Some((wanted, ty)) if wanted.required || field.required => {
                        self.way(&field_type(field, self.classes), ty) < Way::Not
                    }
                    Some(_) => true,
                }
            });
        }
        let Some(Held::Map { key, item, .. }) = held(source) else { return false };
        let text = Ty::class("str");
        let has_texts = self.way(key, &text) == Way::AsItIs || self.way(&text, key) == Way::AsItIs;
        has_texts && wanted.iter().filter(|(field, _)| field.required).all(|(_, ty)| self.way(item, ty) < Way::Not)
    }

    /// A `TypedDict` as a mapping; it holds what it declares, and under other keys whatever there is.
    fn mapping(&mut self, source: &Ty, target: &Ty) -> Option<Way> {
        let class = self.typed_dict(source)?;
        let Some(Held::Map { name, key, item }) = held(target) else { return None };
        if !is_dict(name) {
            return None;
        }
        let declared = worst(class.fields.iter().map(|field| self.way(&field_type(field, self.classes), item)));
        let is_any = self.way(&Ty::class("object"), item) == Way::AsItIs;
        let others = if is_any { Way::Converted } else { Way::MayFail };
        Some(self.distinct(&Ty::class("str"), key).max(declared).max(others))
    }

    /// The class whose values a member of an enum is too, as `int` of an `IntEnum`.
    pub(super) fn plain(&self, name: &str) -> Option<&'c str> {
        let class = self.classes.get(name).filter(|class| class.kind == ClassKind::Enum)?;
        class.bases.iter().map(String::as_str).find(|base| matches!(*base, "int" | "str" | "float"))
    }

    fn typed_dict(&self, ty: &Ty) -> Option<&'c Class> {
        self.class(ty).map(|(_, class)| class).filter(|class| class.kind == ClassKind::TypedDict)
    }

    fn is_mapping(&self, ty: &Ty) -> bool {
        matches!(held(ty), Some(Held::Map { .. })) || self.typed_dict(ty).is_some()
    }

    /// Whether a type is a frame's row: a mapping, or a class of the user's that may be a `TypedDict`.
    fn is_row(&self, ty: &Ty) -> bool {
        match ty {
            Ty::Any => true,
            Ty::Union(members) => members.iter().all(|member| self.is_row(member)),
            _ if self.is_mapping(ty) => true,
            _ => self.class(ty).is_none() && ty.root() == "object" && !is_opaque(ty),
        }
    }
}

/// Whether a type is a frame's column.
fn is_column(ty: &Ty) -> bool {
    matches!(held(ty), Some(Held::List { name: "list", .. }))
}

fn is_opaque(ty: &Ty) -> bool {
    matches!(ty, Ty::Class(name) | Ty::Generic(name, _) if builtin::is_opaque(name))
}
