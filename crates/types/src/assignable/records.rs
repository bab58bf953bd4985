//! The user's own classes, as far as their records tell what they hold.

use qflow_model::class::{Class, ClassKind};

use super::{Among, DEPTH, Goes, Reason};
use crate::{
    builtin::{builtin, derived},
    ty::Ty,
};

impl Among<'_> {
    /// What the record of a class says; nothing where it says nothing of its own.
    pub(super) fn record(&mut self, source: &Ty, target: &Ty) -> Option<Goes> {
        let (Ty::Class(name) | Ty::Generic(name, _)) = source else { return None };
        let of = match target {
            Ty::Class(of) | Ty::Generic(of, _) => of.as_str(),
            _ => "",
        };
        let Some(class) = self.classes.get(name).filter(|_| matches!(source, Ty::Class(_))) else {
            return self.opaque(name, target, of);
        };
        match class.kind {
            _ if class.bases.iter().any(|base| base == of) => Some(self.narrower((name, class), of)),
            // Typed dictionaries: by structure, and each is a `Mapping[str, object]`: what it holds under keys that are not declared
            // nobody knows.
            ClassKind::TypedDict => match self.classes.get(of).filter(|other| other.kind == ClassKind::TypedDict) {
                Some(other) => Some(self.structure((name, class), (of, other))),
                None if derived("Mapping", of) => {
                    Some(self.goes(&Ty::Generic("Mapping".to_owned(), vec![Ty::class("str"), object()]), target))
                }
                None => None,
            },
            // Named tuples: each is the tuple of its fields.
            ClassKind::NamedTuple => {
                let fields = class.fields.iter().map(|field| read(&field.ty.0)).collect();
                let is_tuple = !of.is_empty() && self.classes.contains_key(of);
                (!is_tuple).then(|| self.goes(&Ty::Tuple(fields), target))
            }
            // Enums: a member of one with a type mixed in, as `IntEnum`, is a value of it too.
            ClassKind::Enum => {
                let bases: Vec<Ty> = class
                    .bases
                    .iter()
                    .filter(|base| !self.classes.contains_key(*base))
                    .map(|base| Ty::class(base))
                    .collect();
                bases.iter().any(|base| self.goes(base, target).is_ok()).then_some(Ok(()))
            }
            ClassKind::Dataclass | ClassKind::Model => None,
        }
    }

    /// Classes: one of which only its bases are known goes where each of those does.
    fn opaque(&mut self, name: &str, target: &Ty, of: &str) -> Option<Goes> {
        let classes = self.classes;
        let goes = classes.above(name).iter().any(|base| match builtin(base) {
            None => base == of,
            Some(_) => self.goes(&Ty::class(base), target).is_ok(),
        });
        goes.then_some(Ok(()))
    }

    /// Typed dictionaries: one goes for another of whose keys it has each that must be there, and none of another type. Values are copied,
    /// so every key is as good as `ReadOnly`. What the source does not declare it may hold all the same, as whatever there is: so a
    /// key that need not be there goes undeclared only where an `object` would.
    fn structure(&mut self, source: (&str, &Class), target: (&str, &Class)) -> Goes {
        self.pair(source.0, target.0, |this| {
            target.1.fields.iter().try_for_each(|wanted| {
                let name = wanted.name.replace('\\', "\\\\").replace('\'', "\\'");
                let Some(field) = source.1.field(&wanted.name) else {
                    if wanted.required {
                        return Err(Reason::new(format!("missing key '{name}'")));
                    }
                    let is_any = this.goes(&object(), &read(&wanted.ty.0)).is_ok();
                    let why = || Reason::new(format!("key '{name}' is not declared, and may be of another type"));
                    return if is_any { Ok(()) } else { Err(why()) };
                };
                if wanted.required && !field.required {
                    return Err(Reason::new(format!("key '{name}' may be missing")));
                }
                let part = format!("['{name}']");
                this.goes(&read(&field.ty.0), &read(&wanted.ty.0)).map_err(|reason| reason.below(&part))
            })
        })
    }

    /// A class goes where one that it is derived from is declared. A value is rebuilt as declared, so a record with more does not; nor does
    /// one that declares a field anew as what its base's is not.
    fn narrower(&mut self, source: (&str, &Class), of: &str) -> Goes {
        let (name, class) = source;
        let Some(base) = self.classes.get(of).filter(|_| class.kind != ClassKind::Enum) else { return Ok(()) };
        let records = matches!(class.kind, ClassKind::Dataclass | ClassKind::Model);
        if records && class.fields.len() > base.fields.len() {
            return Err(Reason::new(format!("{name} has fields that {of} has not, and they would be lost")));
        }
        self.pair(name, of, |this| {
            base.fields.iter().try_for_each(|wanted| {
                let Some(field) = class.field(&wanted.name).filter(|field| field.ty != wanted.ty) else {
                    return Ok(());
                };
                let part = format!(".{}", wanted.name);
                this.goes(&read(&field.ty.0), &read(&wanted.ty.0)).map_err(|reason| reason.below(&part))
            })
        })
    }

    /// Compares two records, whatever they hold of one another.
    fn pair(&mut self, source: &str, target: &str, compare: impl FnOnce(&mut Self) -> Goes) -> Goes {
        let pair = (source.to_owned(), target.to_owned());
        if self.assumed.contains(&pair) {
            return Ok(());
        }
        if let Some(reason) = self.refused.get(&pair) {
            return Err(reason.clone());
        }
        if self.depth == DEPTH || self.left == 0 {
            return Err(Reason::new(format!("{source} and {target} hold too much of each other to be compared")));
        }
        let before = self.assumed.len();
        self.assumed.push(pair.clone());
        (self.depth, self.left) = (self.depth + 1, self.left - 1);
        let goes = compare(self);
        self.depth -= 1;
        if let Err(reason) = &goes {
            // What was found to go while this was assumed is asked anew.
            self.assumed.truncate(before);
            self.refused.insert(pair, reason.clone());
        }
        goes
    }
}

fn object() -> Ty {
    Ty::class("object")
}

/// The type of a field; what does not read was told of by the reader.
fn read(text: &str) -> Ty {
    text.parse().unwrap_or(Ty::Any)
}
