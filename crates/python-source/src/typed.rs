//! One annotation by itself, as `qflow types` takes it: with the names of the standard library's typing modules at hand, and where a file
//! is given with its own classes and aliases before them.

use std::sync::LazyLock;

use qflow_model::{
    class::Classes,
    definition::{Problem, Source},
};
use qflow_types::{Solution, Ty};
use ruff_python_ast::Stmt;
use ruff_text_size::TextRange;

use crate::{
    annotation as reading, classes,
    problems::Problems,
    project::parse,
    scope::{self, Unit, Units},
    text::Text,
};

/// What is at hand, under its own name and under its module's; of two of one name the first. `datetime` is the class, and
/// `datetime.date` is found behind it too; `Set` is that of `collections.abc`.
const AT_HAND: &str = "\
import builtins, collections, collections.abc, datetime, decimal, fractions, os, pathlib, qflow, typing, typing_extensions, uuid
import numpy, numpy as np, numpy.typing, numpy.typing as npt, pandas, pandas as pd, typing as t
from collections.abc import *
from typing import *
from collections import *
from datetime import *
from decimal import *
from pathlib import *
from fractions import Fraction
from os import PathLike
from uuid import UUID
from numpy import ndarray
from numpy.typing import NDArray
from pandas import DataFrame, Series
from qflow import File, Folder, Outcome, OutcomeError, Pickle
";

/// What the file of those names is called among a user's own.
const AT_HAND_FILE: &str = "qflow types.py";

/// A text that is not a type, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a type: {why}")]
pub struct NotAType {
    /// The text, cut to what a line holds.
    pub text: String,
    /// Why not.
    pub why: String,
    /// What would be one.
    pub remedy: String,
}

/// A text that is longer is read on a stack of its own.
const SHORT: usize = 1_000;

/// The file of names, parsed once.
static FILE: LazyLock<(Source, Vec<Stmt>)> = LazyLock::new(|| {
    let source =
        Source { entry: AT_HAND_FILE.to_owned(), files: [(AT_HAND_FILE.to_owned(), AT_HAND.to_owned())].into() };
    let suite = ruff_python_parser::parse_module(AT_HAND).map(|parsed| parsed.into_syntax().body.into_iter().collect());
    (source, suite.unwrap_or_default())
});

/// The type that an annotation names: `Optional[int]`, `t.Sequence[Decimal]`, `collections.abc.Mapping[str, "int"]`. Variables are `Any`.
///
/// Takes some microseconds.
pub fn annotation(text: &str) -> Result<Ty, NotAType> {
    if text.len() <= SHORT {
        return read(text);
    }
    let broken = || NotAType {
        text: cut(text),
        why: "reading broke down".to_owned(),
        remedy: "please report it with the text".to_owned(),
    };
    crate::on_a_large_stack(|| read(text)).unwrap_or_else(|| Err(broken()))
}

thread_local! {
    /// The same with its names bound: what is asked one annotation after another costs what the annotation costs.
    static UNITS: Units<'static> = {
        let (source, suite) = &*FILE;
        let modules = scope::Modules::new(source, std::iter::once(source.entry.as_str()));
        let names = scope::names(&modules, Text::new(&source.entry, AT_HAND), suite, &mut Problems::default());
        Units::new(modules, vec![names])
    };
}

fn read(text: &str) -> Result<Ty, NotAType> {
    UNITS.with(|units| {
        units.refill();
        units.others.borrow_mut().clear();
        named(units, 0, text)
    })
}

fn named(units: &Units<'_>, unit: usize, text: &str) -> Result<Ty, NotAType> {
    let read = reading::text(units, unit, text, TextRange::default());
    let not_followed = units.unsure.take().pop();
    match read {
        Ok(_) if not_followed.is_some() => Err(NotAType {
            text: cut(text),
            why: format!("what `{}` stands for is not followed", not_followed.map_or_else(String::new, |told| told.2)),
            remedy: "assign it once, at the top level of the file".to_owned(),
        }),
        Ok(ty) => Ok(Solution::default().apply(ty)),
        Err(wrong) => Err(NotAType { text: cut(text), why: wrong.message, remedy: wrong.remedy.to_owned() }),
    }
}

/// Types as a user's files spell them: their own classes and aliases, and what [`annotation`] has at hand.
pub struct Types<'a> {
    units: Units<'a>,
    /// The file that has the names of both.
    unit: usize,
}

impl Types<'_> {
    /// The type that an annotation names.
    pub fn ty(&self, text: &str) -> Result<Ty, NotAType> {
        // What may be spelt out is for each annotation.
        self.units.refill();
        named(&self.units, self.unit, text)
    }

    /// What is known of the classes that types name, and of those that their fields name.
    pub fn classes(&self, types: &[&Ty]) -> Classes {
        self.units.refill();
        classes::of(&self.units, types.iter().flat_map(|ty| classes::named(ty)).collect())
    }
}

/// Asks about types as a source spells them, which is read and never imported; what is wrong with its syntax where there is any.
pub fn with_types<T: Send>(source: &Source, ask: impl FnOnce(&Types<'_>) -> T + Send) -> Result<T, Vec<Problem>> {
    crate::on_a_large_stack(|| spelled(source, ask)).unwrap_or_else(|| Err(vec![crate::broken_down(source)]))
}

fn spelled<T>(source: &Source, ask: impl FnOnce(&Types<'_>) -> T) -> Result<T, Vec<Problem>> {
    let mut with_names = source.clone();
    with_names.files.insert(AT_HAND_FILE.to_owned(), AT_HAND.to_owned());
    let mut problems = Problems::default();
    let files = parse::files(&with_names, &mut problems);
    let told = problems.told();
    if told.iter().any(|problem| !problem.warning) {
        return Err(told);
    }
    let modules = scope::Modules::new(&with_names, files.iter().map(|file| file.text.path));
    let (entry, unit) = (modules.position(&source.entry), modules.position(AT_HAND_FILE).unwrap_or_default());
    let units = files.iter().map(|file| match file.suite() {
        // How names are bound twice in a file is its own affair here.
        Some(suite) => scope::names(&modules, file.text.clone(), suite, &mut Problems::default()),
        None => Unit::unread(file.text.clone()),
    });
    let mut units: Vec<Unit<'_>> = units.collect();
    if let Some(entry) = entry {
        let (names, stars) = (units[entry].names.clone(), units[entry].stars);
        units[unit].names.extend(names);
        units[unit].stars |= stars;
    }
    Ok(ask(&Types { units: Units::new(modules, units), unit }))
}

/// As much of a text as a line holds.
fn cut(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_people_write_them() {
        for (text, ty) in [
            ("Optional[int]", "int | None"),
            ("typing.Optional[int]", "int | None"),
            ("t.List[t.Dict[str, float]]", "list[dict[str, float]]"),
            ("collections.abc.Sequence[int]", "Sequence[int]"),
            ("Union[int, None, 'str']", "int | str | None"),
            ("Literal['a', b'x', -1, None]", "Literal[-1, \"a\", b\"x\"] | None"),
            ("Literal[Literal[1, 2], 3]", "Literal[1, 2, 3]"),
            ("Annotated[int, Gt(3)]", "int"),
            ("tuple[int, *tuple[str, ...]]", "tuple[int, *tuple[str, ...]]"),
            ("tuple[int, Unpack[tuple[str, ...]], bool]", "tuple[int, *tuple[str, ...], bool]"),
            ("tuple[()]", "tuple[()]"),
            ("Tuple", "tuple[Any, ...]"),
            ("datetime", "datetime"),
            ("datetime.datetime", "datetime"),
            ("datetime.date", "date"),
            ("date | time", "date | time"),
            ("decimal.Decimal", "Decimal"),
            ("uuid.UUID", "UUID"),
            ("pathlib.Path", "Path"),
            ("None", "None"),
            ("type(None)", ""),
            ("object", "object"),
            ("Any", "Any"),
            ("NoReturn", "Never"),
            ("MutableMapping[str, int]", "MutableMapping[str, int]"),
            ("Hashable", "Hashable"),
            ("AbstractSet[int]", "Set[int]"),
            ("Set[int]", "Set[int]"),
            ("typing.Set[int]", "set[int]"),
            ("collections.abc.Set[int]", "Set[int]"),
            ("DefaultDict[str, int]", "defaultdict[str, int]"),
            ("Counter[str]", "Counter[str]"),
            ("pd.DataFrame", "DataFrame"),
            ("Type[int]", "type[int]"),
            ("LiteralString", "str"),
            ("qflow.File", "File"),
            ("list[int, str]", ""),
            ("Callable[[int], str]", ""),
            ("Iterator[int]", ""),
            ("Nothing", ""),
            ("1 + 1", ""),
            ("", ""),
            ("list[", ""),
            ("__import__('os').system('x')", ""),
        ] {
            let read = annotation(text).map_or_else(|_| String::new(), |ty| ty.to_string());
            assert_eq!(read, ty, "{text}: {:?}", annotation(text));
        }
    }

    #[test]
    fn a_type_that_is_nested_or_long_beyond_bounds_is_an_error() {
        let deep = format!("{}int{}", "list[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(annotation(&deep).unwrap_err().why, "a type nested deeper than 200");
        let wide = format!("tuple[{}]", "int, ".repeat(5_000));
        assert!(annotation(&wide).unwrap_err().why.contains("more than 500 parts"), "{:?}", annotation(&wide));
    }

    #[test]
    fn a_file_brings_its_classes_and_aliases() {
        let text = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom datetime import date\nfrom enum import Enum\n\
                    from typing import TypeVar\nimport os\nimport parts as p\n\nos.abort()\nT = TypeVar('T')\nRows = list[Row]\nPair = tuple[T, T]\n\n\
                    class Colour(Enum):\n    RED = 'r'\n\n@dataclass\nclass Row:\n    day: date\n    colour: Colour\n\n\
                    class Decimal:\n    pass\n";
        let parts = "from typing import TypedDict\nclass Part(TypedDict):\n    price: float\n";
        let files = [("a.py".to_owned(), text.to_owned()), ("parts.py".to_owned(), parts.to_owned())].into();
        let source = Source { entry: "a.py".to_owned(), files };
        let told = with_types(&source, |types| {
            let spelled = |text: &str| types.ty(text).map_or_else(|why| why.to_string(), |ty| ty.to_string());
            let rows = types.ty("Rows").unwrap();
            let classes = types.classes(&[&rows]);
            let texts = [
                "Rows",
                "Optional[p.Part]",
                "t.List[Row]",
                "Pair[int]",
                "Literal[Colour.RED]",
                "Decimal",
                "UUID",
                "Part",
            ];
            (texts.map(spelled), classes.keys().cloned().collect::<Vec<_>>())
        });
        let (types, classes) = told.unwrap();
        let no = "`Part` is not a type: no type `Part` here";
        let own = |name: &str, module: &str| crate::annotation::own(name, module, false);
        assert_eq!(
            types,
            [
                &format!("list[{}]", own("Row", "a")),
                &format!("{} | None", own("Part", "parts")),
                &format!("list[{}]", own("Row", "a")),
                "tuple[int, int]",
                &format!("Literal[{}.RED]", own("Colour", "a")),
                &own("Decimal", "a"),
                "UUID",
                no
            ]
        );
        assert_eq!(classes, [own("Colour", "a"), own("Row", "a")]);
    }

    #[test]
    fn a_file_with_many_questions_answers_the_last_as_the_first() {
        let source = Source { entry: "a.py".to_owned(), files: [("a.py".to_owned(), String::new())].into() };
        let wide = format!("tuple[{}]", vec!["int"; 400].join(", "));
        let last = with_types(&source, |types| (0..600).map(|_| types.ty(&wide).unwrap()).last().unwrap());
        assert_eq!(last.unwrap().to_string(), wide);
    }

    #[test]
    fn a_file_that_does_not_parse_is_told() {
        let source = Source { entry: "a.py".to_owned(), files: [("a.py".to_owned(), "class\n".to_owned())].into() };
        let problems = with_types(&source, |_| ()).unwrap_err();
        assert_eq!((problems[0].code.as_str(), problems[0].place.line), ("syntax", 1));
    }

    #[test]
    fn what_is_no_type_says_why() {
        let why = annotation("Lisst[int]").unwrap_err();
        assert_eq!(why.to_string(), "`Lisst[int]` is not a type: no type `Lisst` here");
        assert_eq!(annotation("Callable[[int], str]").unwrap_err().why, "a function does not travel between nodes");
    }
}
