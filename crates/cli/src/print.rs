//! Standard output: results and nothing else; a reader that has gone ends the program as it does any other.

use std::{fmt, io::Write as _};

/// What a shell sees of a program that SIGPIPE ended.
const SIGPIPE: i32 = 128 + 13;

/// Writes to standard output; where nobody reads it any more the program ends without a word.
pub fn write(text: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if out.write_fmt(text).and_then(|()| out.flush()).is_err() {
        std::process::exit(SIGPIPE);
    }
}

/// Writes bytes as they are, likewise.
pub fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(SIGPIPE);
    }
}

/// `print!` that bears a closed pipe.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::print::write(format_args!($($text)*)) };
}

/// `println!` that bears a closed pipe.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::print::write(format_args!("{}\n", format_args!($($text)*))) };
}
