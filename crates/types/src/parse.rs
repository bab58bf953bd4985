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

/// Classes that Qflow knows, by their canonical name.
const KNOWN: &[&str] = &[
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

/// The canonical name of a class that Qflow knows.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    KNOWN.iter().copied().find(|k| *k == name)
}

fn canonical(name: &str) -> &str {
    match name {
        "List" | "MutableSequence" => "list",
        "Dict" | "MutableMapping" => "dict",
        "Tuple" => "tuple",
        "FrozenSet" => "frozenset",
        "AbstractSet" => "Set",
        "object" => "Any",
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
        let mut items = vec![self.union()?];
        while self.take(",") {
            if self.take("...") {
                return Ok(Ty::Tuples(Box::new(items.remove(0))));
            }
            items.push(self.union()?);
        }
        Ok(Ty::Tuple(items))
    }

    fn literals(&mut self) -> Result<Ty, String> {
        let mut values = Vec::new();
        let mut none = false;
        loop {
            match self.literal()? {
                Some(value) => values.push(value),
                None => none = true,
            }
            if !self.take(",") {
                break;
            }
        }
        values.sort();
        values.dedup();
        let ty = if values.is_empty() { Ty::Never } else { Ty::Literal(values) };
        Ok(if none { ty.optional() } else { ty })
    }

    fn literal(&mut self) -> Result<Option<Literal>, String> {
        if self.take("True") {
            return Ok(Some(Literal::Bool(true)));
        }
        if self.take("False") {
            return Ok(Some(Literal::Bool(false)));
        }
        if self.take("None") {
            return Ok(None);
        }
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut text = String::new();
            let mut chars = quoted.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        self.at = self.text.len() - rest.len() + 1 + at + 1;
                        return Ok(Some(Literal::Text(text)));
                    }
                    '\\' => match chars.next() {
                        Some((_, 'n')) => text.push('\n'),
                        Some((_, c)) => text.push(c),
                        None => break,
                    },
                    c => text.push(c),
                }
            }
            return Err("a text is not closed".to_owned());
        }
        let len = rest.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(rest.len());
        let value = rest[..len].parse().map_err(|_| format!("expected a literal at `{}`", cut(rest)))?;
        self.at = self.text.len() - rest.len() + len;
        Ok(Some(Literal::Int(value)))
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
            ("Literal['a']", ""),
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
