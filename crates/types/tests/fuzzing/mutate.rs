//! Makes values out of good forms and hostile pieces; the same number gives the same value.

/// Forms that are good, and pieces that are not.
const PIECES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "9007199254740993",
    "18446744073709551616",
    "1.5",
    "-0.0",
    "1e308",
    "1e999",
    "5e-324",
    "NaN",
    "Infinity",
    "01",
    "\"a\"",
    "\"7\"",
    "\"2026-11-24\"",
    "\"2026-11-24T09:30Z\"",
    "\"$\"",
    "\"$$\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"é\"",
    "\"",
    "[]",
    "{}",
    "[1,2]",
    "[[1],[2]]",
    "[\"1\",\"01\"]",
    "{\"a\":1.5}",
    "{\"a\":1,\"a\":2}",
    "{\"$\":1}",
    "{\"$$\":1}",
    "{\"$\":\"other\",\"v\":1}",
    "{\"day\":\"2026-11-24\"}",
    "{\"day\":{\"$\":\"date\",\"v\":\"2026-11-24\"},\"rows\":[{\"day\":\"\"}]}",
    "{\"name\":\"x\"}",
    "{\"$\":\"int\",\"v\":\"123456789012345678901234567890\"}",
    "{\"$\":\"int\",\"v\":\"x\"}",
    "{\"$\":\"float\",\"v\":\"nan\"}",
    "{\"$\":\"float\",\"v\":\"-inf\"}",
    "{\"$\":\"complex\",\"v\":[\"1.0\",\"nan\"]}",
    "{\"$\":\"decimal\",\"v\":\"1.50\"}",
    "{\"$\":\"decimal\",\"v\":\"1E+999999999\"}",
    "{\"$\":\"decimal\",\"v\":\"NaN\"}",
    "{\"$\":\"decimal\",\"v\":\"1E-99999999999999\"}",
    "{\"$\":\"date\",\"v\":\"2026-11-24\"}",
    "{\"$\":\"date\",\"v\":\"2026-02-30\"}",
    "{\"$\":\"datetime\",\"v\":\"2026-11-24T09:30:00+01:00\",\"zone\":\"Europe/Berlin\",\"fold\":1}",
    "{\"$\":\"datetime\",\"v\":\"0001-01-01T00:00:00+23:59\"}",
    "{\"$\":\"time\",\"v\":\"09:30:00\"}",
    "{\"$\":\"timedelta\",\"v\":[1,2,3]}",
    "{\"$\":\"timedelta\",\"v\":[-999999999,0,0]}",
    "{\"$\":\"uuid\",\"v\":\"01234567-89ab-cdef-0123-456789abcdef\"}",
    "{\"$\":\"path\",\"v\":\"a/b\"}",
    "{\"$\":\"str\",\"v\":\"7aCA\"}",
    "{\"$\":\"bytes\",\"v\":\"aGk=\"}",
    "{\"$\":\"tuple\",\"v\":[1,\"x\"]}",
    "{\"$\":\"tuple\",\"v\":{}}",
    "{\"$\":\"set\",\"v\":[1,2]}",
    "{\"$\":\"set\",\"v\":[1,1]}",
    "{\"$\":\"frozenset\",\"v\":[\"a\"]}",
    "{\"$\":\"map\",\"v\":[[1,{\"$\":\"tuple\",\"v\":[\"x\"]}]]}",
    "{\"$\":\"map\",\"v\":[[1,2],[1.0,3]]}",
    "{\"$\":\"map\",\"v\":[[1]]}",
    "{\"$\":\"map\",\"v\":[1]}",
    "{\"$\":\"enum\",\"t\":\"w.Unit\",\"v\":\"DAY\"}",
    "{\"$\":\"enum\",\"t\":\"w.Unit\",\"v\":\"WEEK\"}",
    "{\"$\":\"enum\",\"v\":1}",
    "{\"$\":\"object\",\"t\":\"w.User\",\"v\":{\"name\":\"x\",\"boss\":null}}",
    "{\"$\":\"object\",\"t\":\"w.User\",\"v\":{\"name\":\"x\",\"boss\":{\"$\":\"object\",\"t\":\"w.User\",\"v\":{\"name\":1}}}}",
    "{\"$\":\"object\",\"t\":\"w.User\",\"v\":[]}",
    "{\"$\":\"object\",\"v\":{},\"t\":\"w.User\"}",
    "{\"$\":\"outcome\",\"v\":{\"ok\":true,\"value\":1,\"error\":null}}",
    "{\"$\":\"outcome\",\"v\":1}",
    "{\"$\":\"attachment\",\"k\":\"arrow\",\"i\":0}",
    "{\"$\":\"attachment\",\"k\":\"pickle\",\"i\":0,\"lock\":\"x\",\"user\":\"y\"}",
    "{\"$\":\"attachment\",\"k\":\"bytes\",\"i\":-1}",
    "{\"v\":1,\"$\":\"int\"}",
];

/// What nests when it is repeated: opened, and closed.
const NESTS: &[(&str, &str)] = &[
    ("[", "]"),
    ("{\"a\":", "}"),
    ("[1,", "]"),
    ("[\"x\",", "]"),
    ("{\"$\":\"tuple\",\"v\":[", "]}"),
    ("{\"$\":\"set\",\"v\":[", "]}"),
    ("{\"$\":\"map\",\"v\":[[1,", "]]}"),
    ("{\"$\":\"map\",\"v\":[[", ",1]]}"),
    ("{\"day\":\"\",\"rows\":[", "]}"),
    ("{\"$\":\"object\",\"t\":\"w.User\",\"v\":{\"name\":\"x\",\"boss\":", "}}"),
    ("{\"$\":\"outcome\",\"v\":{\"ok\":true,\"error\":null,\"value\":", "}}"),
    ("\"", "\""),
    ("{\"a\":1,\"a\":", "}"),
];

/// Chance from a number: `SplitMix64`.
pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    /// For the input of that number.
    pub(crate) fn new(number: u64) -> Self {
        Self { state: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }

    /// An encoding: as a rule nearly a good one.
    pub(crate) fn value(&mut self) -> Vec<u8> {
        let mut bytes = self.form(3).into_bytes();
        for _ in 0..[0, 0, 0, 1, 3][self.below(5)] {
            self.damage(&mut bytes);
        }
        if self.below(20) == 0 {
            let length = [bytes.len(), self.below(1000), usize::MAX][self.below(3)];
            bytes.extend(format!("\n{}\n{length:020}", ["1,3", "", "x"][self.below(3)]).into_bytes());
        }
        bytes
    }

    fn form(&mut self, depth: usize) -> String {
        let piece = PIECES[self.below(PIECES.len())].to_owned();
        match self.below(if depth == 0 { 1 } else { 8 }) {
            0..=2 => piece,
            3 => {
                let (open, close) = NESTS[self.below(NESTS.len())];
                // A deep one costs as much as hundreds of others.
                let times = if self.below(64) == 0 { 3_000 } else { [1, 2, 3, 10, 60, 200][self.below(6)] };
                format!("{}{piece}{}", open.repeat(times), close.repeat(times))
            }
            4 => {
                let times = if self.below(16) == 0 { 300 } else { [2, 3, 20][self.below(3)] };
                format!("[{}]", vec![piece; times].join(","))
            }
            5 => {
                let fields: Vec<_> = (0..self.below(30)).map(|key| format!("\"k{key}\":{}", self.form(0))).collect();
                format!("{{{}}}", fields.join(","))
            }
            _ => {
                let items: Vec<_> = (0..self.below(5)).map(|_| self.form(depth - 1)).collect();
                let (open, close) = NESTS[self.below(6)];
                format!("{open}{}{close}", items.join(","))
            }
        }
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        match self.below(6) {
            0 if !bytes.is_empty() => drop(bytes.remove(at)),
            1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            2 => bytes.truncate(at),
            3 => {
                let piece = PIECES[self.below(PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
            4 => bytes.insert(at, [b'"', b',', b'[', b'}', b'\\', 0xff, 0xc3, 0][self.below(8)]),
            _ => {
                let end = at + self.below(bytes.len() - at);
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
        }
    }
}
