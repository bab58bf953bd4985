//! How deep a text nests, told by its tokens before anything recurses over it.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer::lex};

/// Brackets and replacement fields within one another: Python's own bound.
const BRACKETS: usize = 200;
/// Blocks within one another: Python's own bound.
const BLOCKS: usize = 100;
/// Operators, dots and calls in a chain between two commas: each may nest the next.
const CHAIN: usize = 1000;
/// All chains around one place together.
const CHAINS: usize = 4000;

/// What a text holds too much of, and the byte at which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooDeep {
    pub(crate) what: &'static str,
    pub(crate) bound: usize,
    pub(crate) byte: usize,
}

/// Whether a text nests deeper than what is read here.
pub(crate) fn check(text: &str, mode: Mode) -> Result<(), TooDeep> {
    let Err((what, bound)) = scan(text, mode) else { return Ok(()) };
    // Tokens do not tell where they stand, but the shortest beginning that is too deep does.
    let (mut good, mut bad) = (0, text.len());
    while bad - good > 1 {
        let middle = text.floor_char_boundary(good + (bad - good) / 2);
        if middle == good {
            break;
        }
        match scan(&text[..middle], mode) {
            Ok(()) => good = middle,
            Err(_) => bad = middle,
        }
    }
    Err(TooDeep { what, bound, byte: good })
}

fn scan(text: &str, mode: Mode) -> Result<(), (&'static str, usize)> {
    let mut lexer = lex(text, mode);
    let (mut blocks, mut chains, mut all) = (0_usize, vec![0_usize], 0_usize);
    loop {
        match lexer.next_token() {
            TokenKind::EndOfFile => return Ok(()),
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            TokenKind::Newline => (chains, all) = (vec![0], 0),
            TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart => {
                // A call or a subscript is one more link of the chain that it stands in.
                if let Some(last) = chains.last_mut() {
                    *last += 1;
                    all += 1;
                }
                chains.push(0);
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace | TokenKind::FStringEnd | TokenKind::TStringEnd
                if chains.len() > 1 =>
            {
                all -= chains.pop().unwrap_or(0);
            }
            TokenKind::Comma => {
                if let Some(last) = chains.last_mut() {
                    all -= std::mem::take(last);
                }
            }
            kind if links(kind) => {
                if let Some(last) = chains.last_mut() {
                    *last += 1;
                    all += 1;
                }
            }
            _ => {}
        }
        if chains.len() > BRACKETS {
            return Err(("brackets within one another", BRACKETS));
        }
        if blocks > BLOCKS {
            return Err(("blocks within one another", BLOCKS));
        }
        if chains.last().is_some_and(|last| *last > CHAIN) {
            return Err(("operators in one expression", CHAIN));
        }
        if all > CHAINS {
            return Err(("operators around one another", CHAINS));
        }
    }
}

/// Whether an expression may nest at such a token without a bracket.
fn links(kind: TokenKind) -> bool {
    kind.is_operator()
        && !matches!(kind, TokenKind::Comma | TokenKind::Colon | TokenKind::Semi | TokenKind::Equal | TokenKind::Rarrow)
        || matches!(
            kind,
            TokenKind::Not
                | TokenKind::And
                | TokenKind::Or
                | TokenKind::If
                | TokenKind::Else
                | TokenKind::Lambda
                | TokenKind::Await
                | TokenKind::Async
                | TokenKind::Yield
                | TokenKind::From
                | TokenKind::In
                | TokenKind::Is
                | TokenKind::Plus
                | TokenKind::Minus
                | TokenKind::Tilde
                | TokenKind::Star
                | TokenKind::DoubleStar
                | TokenKind::Dot
                | TokenKind::At
                | TokenKind::ColonEqual
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nests_5000_deep_is_found_before_anything_recurses() {
        let within = |open: &str, close: &str| format!("x = {}1{}\n", open.repeat(5000), close.repeat(5000));
        for text in [
            within("[", "]"),
            within("(", ")"),
            within("f(", ")"),
            within("a[", "]"),
            within("{1: ", "}"),
            within("-", ""),
            within("not ", ""),
            within("await ", ""),
            within("lambda: ", ""),
            within("1 if 1 else ", ""),
            within("1**", ""),
            within("1 + ", ""),
            within("", ".a"),
            within("", "()"),
            within("", "[0]"),
            within("1+(", ")"),
            within("f'{", "}'"),
            within("async ", ""),
        ] {
            assert!(check(&text, Mode::Module).is_err(), "{}", &text[..20]);
        }
        let blocks = (0..150).map(|i| format!("{}if x:\n", " ".repeat(i))).collect::<Vec<_>>().concat();
        assert!(check(&format!("{blocks}{}pass\n", " ".repeat(150)), Mode::Module).is_err());
    }

    #[test]
    fn the_place_is_where_the_bound_is_passed() {
        let text = format!("x = {}", "[".repeat(300));
        let found = check(&text, Mode::Module).unwrap_err();
        assert_eq!((found.byte, found.bound), (4 + BRACKETS - 1, BRACKETS));
    }

    #[test]
    fn ordinary_code_is_not_deep() {
        let table = (0..20_000).map(|i| format!("-{i}, ")).collect::<Vec<_>>().concat();
        assert_eq!(check(&format!("x = [{table}]\n"), Mode::Module), Ok(()));
        let sum = (0..400).map(|i| format!("'{i}' + ")).collect::<Vec<_>>().concat();
        assert_eq!(check(&format!("x = {sum}''\n"), Mode::Module), Ok(()));
    }
}
