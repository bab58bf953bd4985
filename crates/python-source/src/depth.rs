//! Measures how deep a source nests before it is parsed, since the parser recurses.

use qflow_model::limits;

/// Operators, calls and attributes that one expression may chain.
const CHAIN: usize = 1_000;
/// Columns that a line may be indented by.
const INDENTATION: usize = 400;

struct Level {
    chain: usize,
    string: Option<(u8, bool, bool)>,
}

/// Where a source nests too deep: the offset, and what the bound is.
pub(crate) fn too_deep(text: &str) -> Option<(usize, String)> {
    let bytes = text.as_bytes();
    let mut levels = vec![Level { chain: 0, string: None }];
    let (mut at, mut chain, mut line_start, mut lambdas) = (0, 0, 0, 0);
    while at < bytes.len() {
        let byte = bytes[at];
        let depth = levels.len();
        let level = levels.last_mut()?;
        if let Some((quote, triple, format)) = level.string {
            let closing = byte == quote && (!triple || bytes[at..].starts_with(&[quote; 3]));
            if byte == b'\\' {
                at += 1;
            } else if closing || (byte == b'\n' && !triple) {
                levels.pop();
                at += if closing && triple { 2 } else { 0 };
            } else if format && byte == b'{' {
                if bytes.get(at + 1) == Some(&b'{') {
                    at += 1;
                } else {
                    levels.push(Level { chain: 0, string: None });
                }
            }
            at += 1;
            continue;
        }
        match byte {
            b'#' => {
                at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'\'' | b'"' => {
                let triple = bytes[at..].starts_with(&[byte; 3]);
                let word = bytes[..at].iter().rev().take(2).take_while(|b| b.is_ascii_alphabetic());
                let format = word.into_iter().any(|b| matches!(b, b'f' | b'F' | b't' | b'T'));
                levels.push(Level { chain: 0, string: Some((byte, triple, format)) });
                at += if triple { 2 } else { 0 };
            }
            b'(' | b'[' | b'{' => levels.push(Level { chain: 0, string: None }),
            b')' | b']' | b'}' => {
                if depth > 1 {
                    chain -= level.chain;
                    levels.pop();
                }
                if let Some(outer) = levels.last_mut() {
                    outer.chain += 1;
                    chain += 1;
                }
            }
            b'\\' => at += 1,
            b'\n' if depth == 1 => {
                (level.chain, chain, lambdas, line_start) = (0, 0, 0, at + 1);
            }
            b',' | b';' => {
                chain -= level.chain;
                level.chain = 0;
            }
            b'.' | b'+' | b'-' | b'*' | b'/' | b'~' | b'%' | b'@' | b'&' | b'|' | b'^' | b'<' | b'>' | b'=' => {
                level.chain += 1;
                chain += 1;
            }
            b if b.is_ascii_alphabetic() && !at.checked_sub(1).is_some_and(|i| bytes[i].is_ascii_alphanumeric()) => {
                if bytes[line_start..at].iter().all(|b| matches!(b, b' ' | b'\t' | 0x0c)) && at - line_start > INDENTATION {
                    return Some((at, format!("a line may be indented by {INDENTATION} columns")));
                }
                let word = bytes[at..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
                match &bytes[at..at + word] {
                    b"lambda" => lambdas += 1,
                    b"not" | b"await" | b"else" | b"yield" | b"if" => {
                        level.chain += 1;
                        chain += 1;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        if levels.len() > limits::DEPTH || lambdas > limits::DEPTH {
            return Some((at, format!("brackets may nest {} deep", limits::DEPTH)));
        }
        if chain > CHAIN {
            return Some((at, format!("an expression may chain {CHAIN} operators")));
        }
        at += 1;
    }
    None
}
