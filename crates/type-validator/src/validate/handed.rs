//! Whether a value goes where it is handed to, as it is or converted: of a choice each side, of a map each element.

use std::collections::BTreeSet;

use qflow_model::{
    definition::{Conversion, Problem, TypeText},
    expression::Expr,
    tagged,
};
use qflow_types::{Ty, Way, convertible};
use serde_json::Value;

use super::{
    check::Checker,
    narrow::Here,
    tell::{self, HANDLE_NONE, Origin, Taker, Target, problem},
};

impl<'a> Checker<'a> {
    /// The sides of a choice that can be taken at a place; each with its own place.
    pub(super) fn sides<'e>(&mut self, expr: &'e Expr, here: &Here<'a>) -> Option<Vec<(&'e Expr, Here<'a>)>> {
        let Expr::Select { branch, then, otherwise } = expr else { return None };
        let taken = here.side(*branch);
        let both = [(true, &**then), (false, &**otherwise)].into_iter();
        let sides = both.filter(|(holds, _)| taken.is_none_or(|taken| taken == *holds));
        let sides = sides.map(|(holds, side)| (side, self.narrow.on(here, *branch, holds)));
        Some(sides.filter(|(_, here)| taken.is_some() || !here.is_unreachable()).collect())
    }

    /// Whether a value goes where it is handed to; of a choice each side for itself.
    pub(super) fn goes(&mut self, expr: &Expr, here: &Here<'a>, target: &Target<'_>) {
        if let Some(sides) = self.sides(expr, here) {
            sides.into_iter().for_each(|(side, here)| self.goes(side, &here, target));
            return;
        }
        // A literal is checked as the value that it is.
        if let Expr::Literal(literal) = expr {
            return self.literal(literal, target);
        }
        // What is written down part by part has its parts' types looked up once where all of them go.
        let written = match expr {
            Expr::List(_) => Some("list"),
            Expr::Tuple(_) => Some("tuple"),
            Expr::Dict(_) => Some("dict"),
            _ => None,
        };
        if let Some(root) = written.filter(|_| self.fits(expr, here, target.place, target.ty)) {
            return self.edges.push((root.to_owned(), target.ty.root().to_owned(), true));
        }
        let Some((found, origin)) = self.type_of(expr, here, target.place) else { return };
        let told = self.problems.len();
        let noted = self.conversions.len();
        self.compare(&found, &origin, target);
        if self.problems.len() > told && target.taker.is_none() {
            let whole = self.problems.split_off(told);
            self.each_part(expr, here, target);
            if self.problems.len() == told {
                self.problems.extend(whole);
            }
            return;
        }
        // What its types allow a value that is written down in it may not.
        if written.is_some() && (self.problems.len(), self.conversions.len()) == (told, noted + 1) {
            let Err(why) = self.converts(expr, target.ty) else { return };
            self.conversions.truncate(noted);
            self.problems.push(tell::edge(&found, Way::Not, &origin, &why.to_string(), target));
        }
    }

    /// What is wrong with each part of a list, a tuple or a mapping that is written down where nothing is converted, with the part's own ends.
    fn each_part(&mut self, expr: &Expr, here: &Here<'a>, target: &Target<'_>) {
        let mut some = target.ty.members().iter().filter(|member| **member != Ty::None);
        let (Some(ty), None) = (some.next(), some.next()) else { return };
        let classes = &self.definition.classes;
        let mut part = |key: String, part: &Expr, ty: &Ty| {
            let label = format!("{} at [{key}]", target.label);
            self.goes(part, here, &Target { label, ty, ..*target });
        };
        match (expr, ty) {
            (Expr::List(parts), _) => {
                let Some(item) = ty.element() else { return };
                parts.iter().enumerate().for_each(|(at, one)| part(at.to_string(), one, &item));
            }
            (Expr::Tuple(parts), Ty::Tuple(types)) if parts.len() == types.len() => {
                parts.iter().zip(types).enumerate().for_each(|(at, (one, ty))| part(at.to_string(), one, ty));
            }
            (Expr::Dict(parts), Ty::Generic(_, of)) if of.len() == 2 => {
                parts.iter().for_each(|(key, one)| part(format!("{key:?}"), one, &of[1]));
            }
            (Expr::Dict(parts), Ty::Class(name)) => {
                let Some(class) = classes.get(name) else { return };
                for (key, one) in parts {
                    let Some(field) = class.field(key) else { continue };
                    part(format!("{key:?}"), one, &super::check::ty(&field.ty));
                }
            }
            _ => {}
        }
    }

    /// Whether each element goes.
    pub(super) fn mapped(&mut self, expr: &Expr, here: &Here<'a>, target: &Target<'_>) {
        if let Some(sides) = self.sides(expr, here) {
            sides.into_iter().for_each(|(side, here)| self.mapped(side, &here, target));
            return;
        }
        // Elements that are written down are held to their parameter as other arguments are, up to the first that does not go.
        match expr {
            Expr::Literal(literal) if tagged::items(literal).is_some_and(|items| !items.is_empty()) => {
                return self.each_written(tagged::items(literal).unwrap_or_default(), target);
            }
            Expr::List(parts) | Expr::Tuple(parts) => {
                return parts.iter().for_each(|part| self.goes(part, here, target));
            }
            _ => {}
        }
        let Some((found, origin)) = self.type_of(expr, here, target.place) else { return };
        let elements: Option<Vec<_>> = found.members().iter().map(Ty::element).collect();
        if let Some(elements) = elements {
            let origin = Origin { name: format!("each of {}", origin.name), place: origin.place };
            self.compare(&Ty::union(elements), &origin, target);
            return;
        }
        let message = format!("{} is mapped over {} → {found}, which is not a list", target.label, origin.name);
        let may_be_none = found.members().len() > 1 && found.members().contains(&Ty::None);
        let remedy = if may_be_none { HANDLE_NONE } else { "map over a list, and return one from the node" };
        let told = problem(target.place, "not-mappable", message, remedy);
        self.problems.push(Problem { other: origin.place, ..told });
    }

    fn each_written(&mut self, items: &[Value], target: &Target<'_>) {
        let (told, noted) = (self.problems.len(), self.conversions.len());
        for item in items {
            self.literal(item, target);
            if self.problems.len() > told {
                return;
            }
        }
        // Many are converted alike: one of each kind is noted.
        let mut seen = BTreeSet::new();
        for one in self.conversions.split_off(noted) {
            if seen.insert((one.1.from.0.clone(), one.1.may_fail)) {
                self.conversions.push(one);
            }
        }
    }

    fn compare(&mut self, found: &Ty, origin: &Origin, target: &Target<'_>) {
        let outcome = self.known.assignable(found, target.ty);
        self.edge(found, target, outcome.is_ok());
        if let Err(reason) = outcome {
            self.convert(
                found,
                convertible(found, target.ty, &self.definition.classes),
                origin,
                &reason.to_string(),
                target,
            );
        }
    }

    /// What is not assignable is converted where a node takes it, and where that may fail if the node has asked for it.
    pub(super) fn convert(&mut self, found: &Ty, way: Way, origin: &Origin, reason: &str, target: &Target<'_>) {
        let may_fail = way == Way::MayFail;
        let taker = target.taker.filter(|taker| way == Way::Converted || (may_fail && taker.node.convert));
        let Some(Taker { step, argument, .. }) = taker else {
            return self.problems.push(tell::edge(found, way, origin, reason, target));
        };
        let conversion = Conversion {
            argument: argument.to_owned(),
            from: TypeText(found.to_string()),
            to: TypeText(target.ty.to_string()),
            may_fail,
            source: origin.name.clone(),
            source_place: origin.place.as_ref().unwrap_or(target.place).clone(),
            place: target.declared.clone(),
        };
        self.conversions.push((step, conversion));
    }

    pub(super) fn edge(&mut self, found: &Ty, target: &Target<'_>, goes: bool) {
        self.edges.push((found.root().to_owned(), target.ty.root().to_owned(), goes));
    }
}
