//! Every refusal: with code, place, excerpt and remedy, all of a file's at once.

use crate::{shown, source};

macro_rules! refusals {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let file = concat!(stringify!($name), ".py");
            let read = qflow_python_source::read(&source(file, include_str!(concat!("refusals/", stringify!($name), ".py"))));
            let shown: Vec<_> = read.problems.iter().map(shown::problem).collect();
            insta::assert_snapshot!(stringify!($name), shown.join("\n"));
        }
    )*};
}

refusals! { body calls enums nodes options not_yet }
