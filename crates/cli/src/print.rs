//! Standard output: results and nothing else; a reader that has gone ends the program as it does any other, without a word.

use std::{
    fmt,
    io::{Error, ErrorKind, Write as _},
};

use crate::exit::Exit;

/// What a shell sees of a program that SIGPIPE ended.
const SIGPIPE: i32 = 128 + 13;

/// Ends the program, which has told nobody what it was asked for.
fn end(error: &Error) -> ! {
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(SIGPIPE);
    }
    eprintln!("error: write to standard output: {error}");
    std::process::exit(Exit::Failed as i32);
}

/// Writes to standard output.
pub fn write(text: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    out.write_fmt(text).and_then(|()| out.flush()).unwrap_or_else(|error| end(&error));
}

/// Writes bytes as they are, likewise.
pub fn bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).unwrap_or_else(|error| end(&error));
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
