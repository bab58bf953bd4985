//! Arrays, series and frames, by what is declared of their elements. The typing specification leaves them to their libraries: an array goes
//! where its scalar type is derived from the other's (numpy), a frame where it has the other's columns (pandera).

use super::{Among, Goes, Reason};
use crate::{
    dtype::{Dtypes, takes_all},
    ty::Ty,
};

impl Among<'_> {
    /// What is said in brackets of the same class on both sides; nothing where the class is none of these.
    pub(super) fn declared(&mut self, class: &str, given: &[Ty], accepted: &[Ty]) -> Option<Goes> {
        match (class, given, accepted) {
            ("dtype" | "Series", [given], [accepted]) => Some(self.element(given, accepted)),
            ("ndarray", _, _) => Some(given.iter().zip(accepted).try_for_each(|(one, other)| self.goes(one, other))),
            ("DataFrame", [Ty::Class(given)], [Ty::Class(accepted)]) => self.columns(given, accepted),
            _ => None,
        }
    }

    fn element(&mut self, given: &Ty, accepted: &Ty) -> Goes {
        match (Dtypes::of(given), Dtypes::of(accepted)) {
            _ if takes_all(accepted) => Ok(()),
            (Some(one), Some(other)) if one.is_within(other) => Ok(()),
            (Some(_), Some(_)) => Err(Reason::is_not(given, accepted)),
            _ => self.goes(given, accepted),
        }
    }

    /// A frame may have more columns; nothing where a class is not known.
    fn columns(&mut self, given: &str, accepted: &str) -> Option<Goes> {
        let (one, other) = (self.classes.get(given)?, self.classes.get(accepted)?);
        let read = |text: &str| text.parse().unwrap_or(Ty::Any);
        let mut wanted = other.fields.iter();
        Some(wanted.try_for_each(|wanted| {
            let Some(column) = one.fields.iter().find(|column| column.name == wanted.name) else {
                let missing = || Reason::new(format!("missing column '{}'", wanted.name));
                return if wanted.required { Err(missing()) } else { Ok(()) };
            };
            if wanted.required && !column.required {
                return Err(Reason::new(format!("column '{}' may be missing", wanted.name)));
            }
            let goes = self.element(&read(&column.ty.0), &read(&wanted.ty.0));
            goes.map_err(|reason| reason.below(&format!("['{}']", wanted.name)))
        }))
    }
}
