//! What the examples are read as.

use qflow_python_source::read;

use crate::source;

macro_rules! examples {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let file = concat!(stringify!($name), ".py");
            let read = read(&source(file, include_str!(concat!("../../../../examples/", stringify!($name), ".py"))));
            assert_eq!(read.problems, vec![]);
            insta::assert_json_snapshot!(stringify!($name), read.definition);
        }
    )*};
}

examples! { hello primes flaky branch spans airports }
