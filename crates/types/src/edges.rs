//! Answers that are kept: of a workflow's edges most ask what another one asked.

use std::{cell::RefCell, collections::HashMap, hash::BuildHasherDefault, rc::Rc};

use qflow_model::class::Classes;
use rustc_hash::FxHasher;

use crate::{
    assignable::{Reason, assignable_among},
    ty::Ty,
};

/// What is known of an edge: nothing where it goes, else why not.
type Known = Option<Box<Reason>>;
type Map<K, V> = HashMap<K, V, BuildHasherDefault<FxHasher>>;

/// Types by numbers, and which goes where. Nobody but the author of a workflow chooses what is in it, so its hashes are quick ones.
#[derive(Debug)]
pub struct Edges<'c> {
    classes: &'c Classes,
    /// Types by how they are written: a workflow writes few, and takes them often.
    read: RefCell<Map<String, Ty>>,
    numbers: RefCell<Map<Ty, Number>>,
    known: RefCell<Map<(Number, Number), Known>>,
    /// The same by where both are written, which outlives this: two numbers to compare instead of two trees.
    written: RefCell<Map<(Text, Text), Option<Roots>>>,
}

/// Where a text stands, and how long it is.
type Text = (usize, usize);

/// What two types that go together are told as: the names of their outermost classes.
pub type Roots = Rc<(String, String)>;

/// A type that [`Edges`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number(u32);

impl<'c> Edges<'c> {
    /// None yet, among the user's classes.
    pub fn among(classes: &'c Classes) -> Self {
        Self {
            classes,
            read: RefCell::default(),
            numbers: RefCell::default(),
            known: RefCell::default(),
            written: RefCell::default(),
        }
    }

    /// A type as it is written; what does not read may be anything.
    pub fn read(&self, text: &str) -> Ty {
        if let Some(known) = self.read.borrow().get(text) {
            return known.clone();
        }
        let ty: Ty = text.parse().unwrap_or(Ty::Any);
        self.read.borrow_mut().insert(text.to_owned(), ty.clone());
        ty
    }

    /// The number of a type: as long as it is asked for by that, an answer that is kept costs a look-up.
    pub fn number(&self, ty: &Ty) -> Number {
        if let Some(known) = self.numbers.borrow().get(ty) {
            return *known;
        }
        let mut numbers = self.numbers.borrow_mut();
        let number = Number(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
        numbers.insert(ty.clone(), number);
        number
    }

    /// Whether `source` may go where `target` is declared; their numbers are with them.
    pub fn goes(&self, source: (Number, &Ty), target: (Number, &Ty)) -> Result<(), Box<Reason>> {
        let edge = (source.0, target.0);
        if let Some(known) = self.known.borrow().get(&edge) {
            return known.clone().map_or(Ok(()), Err);
        }
        let found = assignable_among(source.1, target.1, self.classes).map_err(Box::new);
        self.known.borrow_mut().insert(edge, found.clone().err());
        found
    }

    /// The same of two types as a definition has them written, which is what most edges are of; nothing where one does not go.
    pub fn written(&self, source: &'c str, target: &'c str) -> Option<Roots> {
        let at = |text: &str| (text.as_ptr() as usize, text.len());
        let edge = (at(source), at(target));
        if let Some(known) = self.written.borrow().get(&edge) {
            return known.clone();
        }
        let (source, target) = (self.read(source), self.read(target));
        let goes = self.assignable(&source, &target).is_ok();
        let roots = goes.then(|| Rc::new((source.root().to_owned(), target.root().to_owned())));
        self.written.borrow_mut().insert(edge, roots.clone());
        roots
    }

    /// The same of two types.
    pub fn assignable(&self, source: &Ty, target: &Ty) -> Result<(), Box<Reason>> {
        if source == target {
            return Ok(());
        }
        self.goes((self.number(source), source), (self.number(target), target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_answered_a_second_time_as_the_first() {
        let classes = Classes::new();
        let edges = Edges::among(&classes);
        for (source, target) in [
            ("int", "float"),
            ("float", "int"),
            ("list[int]", "Sequence[float]"),
            ("str", "str"),
            ("None", "str | int"),
        ] {
            let (source, target): (Ty, Ty) = (source.parse().unwrap(), target.parse().unwrap());
            let alone = assignable_among(&source, &target, &classes).map_err(Box::new);
            assert_eq!(edges.assignable(&source, &target), alone);
            assert_eq!(edges.assignable(&source, &target), alone);
        }
        assert_eq!(edges.known.borrow().len(), 4, "what is the same needs no answer");
        for text in ["list[int]", "no type at all", "list[int]"] {
            assert_eq!(edges.read(text), text.parse().unwrap_or(Ty::Any));
        }
        assert_ne!(edges.number(&Ty::class("int")), edges.number(&Ty::class("float")));
    }

    #[test]
    fn an_edge_is_answered_by_where_its_types_are_written() {
        let (classes, text) = (Classes::new(), "list[int] Sequence[float]".to_owned());
        let (source, target) = text.split_once(' ').unwrap();
        let edges = Edges::among(&classes);
        for _ in 0..2 {
            assert_eq!(edges.written(source, target).as_deref(), Some(&("list".to_owned(), "Sequence".to_owned())));
            assert_eq!(edges.written(target, source), None);
            // Begins where `source` begins, and is another text.
            assert_eq!(
                edges.written(&source[..4], target).as_deref(),
                Some(&("list".to_owned(), "Sequence".to_owned()))
            );
            assert_eq!(edges.written(&target[9..14], &source[5..8]), None, "float into int");
        }
        assert_eq!(edges.written.borrow().len(), 4);
    }
}
