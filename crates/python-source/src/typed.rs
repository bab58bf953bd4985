//! One annotation by itself, as `qflow types` takes it: with the names of the standard library's typing modules at hand.

use std::{collections::BTreeMap, sync::LazyLock};

use qflow_model::definition::Source;
use qflow_types::{Solution, Ty};
use ruff_python_ast::Stmt;
use ruff_text_size::TextRange;

use crate::{
    annotation as reading,
    problems::Problems,
    scope::{self, Units},
    text::Text,
};

/// What is at hand, under its own name and under its module's; of two of one name the first. `datetime` is the class, and
/// `datetime.date` is found behind it too; `Set` is that of `collections.abc`.
const AT_HAND: &str = "\
import builtins, collections, collections.abc, datetime, decimal, fractions, os, pathlib, qflow, typing, typing_extensions, uuid
import numpy, numpy as np, numpy.typing as npt, pandas, pandas as pd, typing as t
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
from pandas import DataFrame, Series
from qflow import File, Folder, Outcome, OutcomeError, Pickle
";

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
        Source { entry: "types.py".to_owned(), files: BTreeMap::from([("types.py".to_owned(), AT_HAND.to_owned())]) };
    let suite = ruff_python_parser::parse_module(AT_HAND).map(|parsed| parsed.into_syntax().body.into_iter().collect());
    (source, suite.unwrap_or_default())
});

/// The type that an annotation names: `Optional[int]`, `t.Sequence[Decimal]`, `collections.abc.Mapping[str, "int"]`. Variables are `Any`.
///
/// Takes some tens of microseconds.
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

fn read(text: &str) -> Result<Ty, NotAType> {
    let (source, suite) = &*FILE;
    let modules = scope::Modules::new(source, std::iter::once(source.entry.as_str()));
    let names = scope::names(&modules, Text::new(&source.entry, AT_HAND), suite, &mut Problems::default());
    let units = Units::new(modules, vec![names]);
    match reading::text(&units, 0, text, TextRange::default()) {
        Ok(ty) => Ok(Solution::default().apply(ty)),
        Err(wrong) => Err(NotAType { text: cut(text), why: wrong.message, remedy: wrong.remedy.to_owned() }),
    }
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
    fn what_is_no_type_says_why() {
        let why = annotation("Lisst[int]").unwrap_err();
        assert_eq!(why.to_string(), "`Lisst[int]` is not a type: no type `Lisst` here");
        assert_eq!(annotation("Callable[[int], str]").unwrap_err().why, "a function does not travel between nodes");
    }
}
