//! Annotations put together of what types are written with, right and wrong, then cut and spliced.

use crate::mutate::Mutator;

/// What stands alone.
const NAMES: &[&str] = &[
    "int",
    "str",
    "float",
    "None",
    "Any",
    "bytes",
    "object",
    "Never",
    "date",
    "datetime.date",
    "datetime.datetime",
    "Decimal",
    "UUID",
    "Path",
    "File",
    "Outcome",
    "list",
    "dict",
    "Tuple",
    "tuple",
    "t.List",
    "typing.Mapping",
    "AnyStr",
    "np.int64",
    "NDArray",
    "pd.DataFrame",
    "pd.Series",
    "Self",
    "ClassVar",
    "Literal",
    "Optional",
    "Union",
    "t.Lsit",
    "Row",
    "Callable",
    "Iterator",
    "...",
    "1",
    "'x'",
    "b'x'",
    "True",
    "\"int\"",
    "'list[\"int\"]'",
    "f'{x}'",
    "lambda: 1",
    "x.y.z",
    "__import__('os')",
    "*int",
    "**x",
    "-1",
    "1j",
    "9007199254740993",
    "''",
    "'\\ud800'",
    "T",
    "datetime.now",
    "\u{e9}t\u{e9}",
    "\u{202e}",
    "qflow",
    "t",
    "int.x",
];
/// What takes others in brackets.
const HEADS: &[&str] = &[
    "list",
    "dict",
    "tuple",
    "Tuple",
    "set",
    "Optional",
    "Union",
    "t.Union",
    "Literal",
    "Annotated",
    "t.Dict",
    "Mapping",
    "Sequence",
    "Callable",
    "type",
    "Unpack",
    "*tuple",
    "Final",
    "Required",
    "ClassVar",
    "TypeGuard",
    "Generic",
    "Concatenate",
    "NDArray",
    "np.ndarray",
    "pd.Series",
    "pd.DataFrame",
    "Outcome",
    "Counter",
    "defaultdict",
    "ItemsView",
    "int",
    "None",
    "Row",
    "a.b",
    "typing.Literal",
    "np.dtype",
];
/// What stands between.
const BETWEEN: &[&str] = &[", ", " | ", ",", "|", " & ", " + ", " if 1 else ", ":", " ", "\n", "=", "."];

/// The annotation of a number.
pub(crate) fn text(number: u64) -> String {
    let mut chance = Mutator::new(&[], number);
    let mut text = grown(&mut chance, 0);
    for _ in 0..chance.below(3) {
        let at = chance.below(text.len() + 1);
        let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        match chance.below(4) {
            0 => text.truncate(at),
            1 => text.insert_str(at, chance.of(BETWEEN)),
            2 => text.insert_str(at, chance.of(NAMES)),
            _ => drop(at.checked_sub(1).filter(|at| text.is_char_boundary(*at)).map(|at| text.remove(at))),
        }
    }
    if chance.one_in(500) {
        let depth = 1 + chance.below(5_000);
        text = format!("{}{text}{}", format!("{}[", chance.of(HEADS)).repeat(depth), "]".repeat(depth));
    }
    text
}

fn grown(chance: &mut Mutator<'_>, level: usize) -> String {
    if level > 4 || chance.one_in(3) {
        return chance.of(NAMES).to_owned();
    }
    let many = 1 + chance.below(3);
    let between = if chance.one_in(6) { chance.of(BETWEEN) } else { ", " };
    let parts: Vec<String> = (0..many).map(|_| grown(chance, level + 1)).collect();
    match chance.below(8) {
        0 => parts.join(" | "),
        1 => format!("({})", parts.join(between)),
        2 => format!("\"{}\"", parts.join(between)),
        _ => format!("{}[{}]", chance.of(HEADS), parts.join(between)),
    }
}
