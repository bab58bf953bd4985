//! Makes submissions out of real files and hostile pieces; the same number gives the same submission.

use std::collections::BTreeMap;

use qflow_model::definition::Source;

use crate::pieces::PIECES;

/// What nests when it is repeated: opened, and closed.
const NESTS: &[(&str, &str)] = &[
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("f(", ")"),
    ("a[", "]"),
    ("{1: ", "}"),
    ("-", ""),
    ("not ", ""),
    ("await ", ""),
    ("lambda: ", ""),
    ("1 if 1 else ", ""),
    ("1**", ""),
    ("1 + ", ""),
    ("", ".a"),
    ("", "()"),
    ("", "[0]"),
    ("f'{", "}'"),
    ("list[", "]"),
    ("\"", "\""),
    ("a | ", ""),
    ("x = ", ""),
    ("@", "\n"),
    ("if x:\n ", ""),
    ("[x for x in ", "]"),
    ("*", ""),
];

/// Chance from a number: `SplitMix64`.
pub(crate) struct Mutator<'c> {
    corpus: &'c [String],
    state: u64,
}

impl<'c> Mutator<'c> {
    /// For the input of that number.
    pub(crate) fn new(corpus: &'c [String], number: u64) -> Self {
        Self { corpus, state: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A submission of one file or a few.
    pub(crate) fn source(mut self) -> Source {
        let mut files = BTreeMap::from([("a.py".to_owned(), self.text())]);
        if self.one_in(6) {
            for path in ["b.py", "pack/__init__.py", "pack/c.py", "data.sql", "../up.py"] {
                if self.one_in(2) {
                    files.insert(path.to_owned(), self.text());
                }
            }
        }
        let entry = if self.one_in(200) { "missing.py" } else { "a.py" };
        Source { entry: entry.to_owned(), files }
    }

    fn text(&mut self) -> String {
        let mut text = match self.below(20) {
            0 => self.noise(),
            1 => (0..self.below(80)).map(|_| self.of(PIECES)).collect(),
            2 => self.nested(),
            _ => self.window(),
        };
        for _ in 0..self.below(8) {
            text = self.mutated(text);
        }
        text
    }

    /// A part of a real file, mostly with the beginning that makes it a submission.
    fn window(&mut self) -> String {
        let file = &self.corpus[self.below(self.corpus.len())];
        let lines: Vec<&str> = file.split_inclusive('\n').collect();
        // Most inputs are short, so that many are read; some are whole.
        let most = if self.one_in(40) { lines.len() } else { 60 };
        let from = if self.one_in(2) { 0 } else { self.below(lines.len()) };
        lines.into_iter().skip(from).take(1 + self.below(most)).collect()
    }

    fn noise(&mut self) -> String {
        let bytes: Vec<u8> = (0..self.below(300)).map(|_| self.next() as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn nested(&mut self) -> String {
        let (open, close) = self.of(NESTS);
        let depth = self.of(&[3, 30, 99, 101, 150, 199, 201, 400, 999, 1001, 3000]);
        let head = self.of(&[
            "x = ",
            "",
            "def f(x: ",
            "@node\ndef f(x = ",
            "    return ",
            "class A(",
            "from qflow import node\n@node(env=",
        ]);
        format!("{head}{}1{}\n", open.repeat(depth), close.repeat(depth))
    }

    fn mutated(&mut self, mut text: String) -> String {
        let (from, to) = self.span(&text);
        match self.below(12) {
            0 => {
                // Flips bits of one byte; what is no text then is replaced.
                let mut bytes = text.into_bytes();
                if !bytes.is_empty() {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            1 => text.truncate(from),
            2 => text.replace_range(from..to, ""),
            3 => {
                let part = text[from..to].to_owned();
                text.insert_str(to, &part);
            }
            4 => {
                let other = self.window();
                let (start, end) = self.span(&other);
                text.replace_range(from..to, &other[start..end]);
            }
            5 => text = self.swapped_lines(&text),
            6 => {
                let nested = self.nested();
                text.insert_str(from, &nested);
            }
            7 => {
                // The same part many times: what adds up.
                let part = text[from..to].to_owned();
                let times = self.of(&[2, 10, 100]);
                if part.len() * times < 30_000 {
                    text.insert_str(to, &part.repeat(times));
                }
            }
            8 => text = self.renamed(&text),
            _ => {
                let piece = self.of(PIECES);
                text.replace_range(from..to.min(from + 8).max(from), "");
                text.insert_str(from, piece);
            }
        }
        text
    }

    /// A span between two places where tokens may begin.
    fn span(&mut self, text: &str) -> (usize, usize) {
        let mut from = text.floor_char_boundary(self.below(text.len() + 1));
        let mut to = text.floor_char_boundary((from + self.below(80)).min(text.len()));
        if self.one_in(2) {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            from = text[..from].trim_end_matches(word).len();
            to += text[to..].len() - text[to..].trim_start_matches(word).len();
        }
        // A piece cut by eight bytes must still end at a character.
        if !text.is_char_boundary(to.min(from + 8)) {
            to = from;
        }
        (from, to)
    }

    fn swapped_lines(&mut self, text: &str) -> String {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if lines.len() > 1 {
            let (a, b) = (self.below(lines.len()), self.below(lines.len()));
            lines.swap(a, b);
        }
        lines.concat()
    }

    /// One name of the text stands for another: what is called becomes a node, a type, itself.
    fn renamed(&mut self, text: &str) -> String {
        let words: Vec<&str> =
            text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| word.len() > 1).collect();
        if words.is_empty() {
            return text.to_owned();
        }
        let (from, to) = (words[self.below(words.len())], words[self.below(words.len())]);
        text.replace(from, to)
    }
}
