//! Reads the canonical spelling of a type, and the older spellings of the same (`Optional[int]`, `List[int]`).

use std::str::FromStr;

use qflow_model::limits;

use crate::ty::{Literal, Ty};

/// A text that is not a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a type: {why}")]
pub struct NotAType {
    /// What was read, cut to what a line holds.
    pub text: String,
    /// Why not.
    pub why: String,
}

/// Classes that metrics tell apart: a closed set, each pair of which is a series.
const LABELS: &[&str] = &[
    "bool",
    "int",
    "float",
    "complex",
    "str",
    "bytes",
    "Decimal",
    "date",
    "datetime",
    "time",
    "timedelta",
    "UUID",
    "Path",
    "list",
    "set",
    "frozenset",
    "tuple",
    "dict",
    "Sequence",
    "Iterable",
    "Collection",
    "Mapping",
    "Set",
    "DataFrame",
    "Series",
    "ndarray",
    "File",
    "Folder",
    "Outcome",
    "OutcomeError",
    "object",
];

/// A class's name where metrics tell it from others.
pub(crate) fn label(name: &str) -> Option<&'static str> {
    let name = match name {
        "MutableSequence" => "list",
        "MutableMapping" => "dict",
        "MutableSet" => "set",
        name => name,
    };
    LABELS.iter().copied().find(|label| *label == name)
}

fn canonical(name: &str) -> &str {
    match name {
        "List" => "list",
        "Dict" => "dict",
        "Tuple" => "tuple",
        "FrozenSet" => "frozenset",
        "AbstractSet" => "Set",
        "Deque" => "deque",
        "DefaultDict" => "defaultdict",
        "Type" => "type",
        "Text" | "LiteralString" => "str",
        "NoReturn" => "Never",
        "NoneType" => "None",
        other => other,
    }
}

impl FromStr for Ty {
    type Err = NotAType;

    fn from_str(text: &str) -> Result<Self, NotAType> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        let result = reader.union().and_then(|ty| {
            if reader.rest().is_empty() { Ok(ty) } else { Err(format!("`{}` is left over", cut(reader.rest()))) }
        });
        result.map_err(|why| NotAType { text: cut(text), why })
    }
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text[self.at..].trim_start()
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest();
        let found = rest.starts_with(token);
        if found {
            self.at = self.text.len() - rest.len() + token.len();
        }
        found
    }

    fn union(&mut self) -> Result<Ty, String> {
        if self.depth >= limits::DEPTH {
            return Err(format!("it is nested deeper than {}", limits::DEPTH));
        }
        self.depth += 1;
        let mut members = vec![self.term()?];
        while self.take("|") {
            members.push(self.term()?);
        }
        self.depth -= 1;
        Ok(Ty::union(members))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let rest = self.rest();
        let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        if len == 0 || rest.starts_with(|c: char| c.is_numeric() || c == '.') {
            return Err(format!("expected a name at `{}`", cut(rest)));
        }
        self.at = self.text.len() - rest.len() + len;
        Ok(&rest[..len])
    }

    fn term(&mut self) -> Result<Ty, String> {
        if self.take("~") {
            return Ok(Ty::Variable(self.name()?.to_owned()));
        }
        let name = canonical(self.name()?);
        if !self.take("[") {
            return Ok(match name {
                "Any" => Ty::Any,
                "Never" => Ty::Never,
                "None" => Ty::None,
                "tuple" => Ty::Tuples(Box::new(Ty::Any)),
                other => Ty::class(other),
            });
        }
        let ty = match name {
            "Literal" => self.literals()?,
            "tuple" => self.tuple()?,
            "Optional" => self.union()?.optional(),
            "Union" => Ty::union(self.parameters()?),
            other => Ty::Generic(other.to_owned(), self.parameters()?),
        };
        if self.take("]") { Ok(ty) } else { Err(format!("expected `]` at `{}`", cut(self.rest()))) }
    }

    fn parameters(&mut self) -> Result<Vec<Ty>, String> {
        let mut parameters = vec![self.union()?];
        while self.take(",") {
            parameters.push(self.union()?);
        }
        Ok(parameters)
    }

    fn tuple(&mut self) -> Result<Ty, String> {
        if self.take("()") {
            return Ok(Ty::Tuple(vec![]));
        }
        let (mut before, mut any, mut after) = (Vec::new(), None, Vec::new());
        loop {
            if self.take("...") && before.len() == 1 && any.is_none() {
                return Ok(Ty::Tuples(Box::new(before.remove(0))));
            }
            let unpacked = self.take("*");
            match (self.union()?, unpacked) {
                (Ty::Tuple(items), true) if any.is_none() => before.extend(items),
                (Ty::Tuple(items), true) => after.extend(items),
                (Ty::Tuples(item), true) if any.is_none() => any = Some(item),
                (Ty::Spread(first, item, last), true) if any.is_none() => {
                    before.extend(first);
                    any = Some(item);
                    after = last;
                }
                (_, true) => return Err("`*` takes one tuple of any length, and others of a fixed one".to_owned()),
                (item, false) if any.is_none() => before.push(item),
                (item, false) => after.push(item),
            }
            if !self.take(",") {
                return Ok(Ty::spread(before, any.map(|item| *item), after));
            }
        }
    }

    fn literals(&mut self) -> Result<Ty, String> {
        let (mut values, mut none) = (Vec::new(), false);
        loop {
            if self.take("None") {
                none = true;
            } else {
                values.push(self.literal()?);
            }
            if !self.take(",") {
                let ty = Ty::literal(values);
                return Ok(if none { ty.optional() } else { ty });
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, String> {
        for (word, literal) in [("True", Literal::Bool(true)), ("False", Literal::Bool(false))] {
            if self.take(word) {
                return Ok(literal);
            }
        }
        let is_bytes = ["b\"", "b'"].iter().any(|open| self.rest().starts_with(open)) && self.take("b");
        if let Some(quote) = ["\"", "'"].into_iter().find(|quote| self.take(quote)) {
            let text = self.quoted(quote)?;
            let bytes = |text: String| {
                text.chars()
                    .map(|c| u8::try_from(c).map_err(|_| format!("`{c}` is no byte")))
                    .collect::<Result<Vec<_>, _>>()
            };
            return if is_bytes { bytes(text).map(Literal::Bytes) } else { Ok(Literal::Text(text)) };
        }
        let rest = self.rest();
        if rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            let name = self.name()?;
            let (class, member) = name.rsplit_once('.').ok_or_else(|| format!("`{name}` is no literal"))?;
            return Ok(Literal::Member(class.to_owned(), member.to_owned()));
        }
        let len = rest.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(rest.len());
        let value = rest[..len].parse().map_err(|_| format!("expected a literal at `{}`", cut(rest)))?;
        self.at = self.text.len() - rest.len() + len;
        Ok(Literal::Int(value))
    }

    /// A text up to its quote, with `\\`, `\"`, `\n`, `\r`, `\t` and `\x00` read; of a text as it is written here, nothing else is escaped.
    fn quoted(&mut self, quote: &str) -> Result<String, String> {
        let (mut text, mut chars) = (String::new(), self.text[self.at..].char_indices());
        let open = || "a text is not closed".to_owned();
        loop {
            let (at, c) = chars.next().ok_or_else(open)?;
            match c {
                '\\' => match chars.next().ok_or_else(open)?.1 {
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    'x' => {
                        let digits: String = chars.by_ref().take(2).map(|(_, c)| c).collect();
                        let code =
                            u8::from_str_radix(&digits, 16).map_err(|_| format!("`\\x{digits}` is no character"))?;
                        text.push(char::from(code));
                    }
                    c => text.push(c),
                },
                c if quote.starts_with(c) => {
                    self.at += at + 1;
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_spellings_are_read_as_the_canonical_one() {
        for (written, canonical) in [
            ("Optional[int]", "int | None"),
            ("Union[str, int, None]", "int | str | None"),
            ("List[Dict[str, float]]", "list[dict[str, float]]"),
            ("Tuple[int, ...]", "tuple[int, ...]"),
            ("tuple[()]", "tuple[()]"),
            ("tuple", "tuple[Any, ...]"),
            ("Literal['a']", "Literal[\"a\"]"),
            ("Literal[b'\\x00\"']", "Literal[b\"\\x00\\\"\"]"),
            ("Literal[shapes.Color.RED, -1]", "Literal[-1, shapes.Color.RED]"),
            ("Literal[1] | Literal[2] | Literal[1]", "Literal[1, 2]"),
            ("Literal[x]", ""),
            ("Literal['a", ""),
            ("tuple[int, *tuple[str, ...], bool]", "tuple[int, *tuple[str, ...], bool]"),
            ("tuple[int, *tuple[str, bool]]", "tuple[int, str, bool]"),
            ("tuple[*tuple[int, ...]]", "tuple[int, ...]"),
            ("tuple[*tuple[int, ...], *tuple[int, ...]]", ""),
            ("list[~T]", "list[~T]"),
            ("object", "object"),
            ("Literal[\"b\", 1, True, None]", "Literal[True, 1, \"b\"] | None"),
            ("int | Any", "Any"),
            ("list[int", ""),
            ("", ""),
        ] {
            let read = written.parse::<Ty>().map_or(String::new(), |ty| ty.to_string());
            assert_eq!(read, canonical, "{written}");
        }
    }

    #[test]
    fn a_type_nested_5000_deep_is_an_error_that_names_the_bound() {
        let deep = format!("{}int{}", "list[".repeat(5000), "]".repeat(5000));
        let error = deep.parse::<Ty>().unwrap_err().to_string();
        assert!(error.contains("deeper than 200"), "{error}");
    }
}
