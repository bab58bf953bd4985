//! Syntax that older Pythons lack.

use qflow_model::definition::PythonVersion;
use ruff_python_ast::PythonVersion as Target;
use ruff_python_parser::{Mode, ParseOptions, UnsupportedSyntaxError, UnsupportedSyntaxErrorKind as Kind};

use super::{OLDEST, spelling::Spelling};
use crate::text::Text;

/// What a file writes that the oldest Python lacks, and since when it is there.
pub(super) fn read(text: &Text<'_>) -> Vec<Spelling> {
    let target = Target { major: OLDEST.major, minor: OLDEST.minor };
    let options = ParseOptions::from(Mode::Module).with_target_version(target);
    let parsed = ruff_python_parser::parse_unchecked(text.content, options);
    parsed.unsupported_syntax_errors().iter().filter_map(spelling).collect()
}

fn spelling(error: &UnsupportedSyntaxError) -> Option<Spelling> {
    let said = error.to_string();
    // The version is told in words alone.
    let (_, version) = said.rsplit_once("added in Python ")?;
    let since: PythonVersion = version.trim_end_matches(')').parse().ok()?;
    let what = format!("{} stands here", named(error.kind, &said));
    let lacks = format!("none: it came with {since}");
    let remedy = remedy(error.kind).to_owned();
    Some(Spelling { range: error.range, code: "syntax", since, what, lacks, remedy, soft: false, backport: false })
}

fn named(kind: Kind, said: &str) -> &'static str {
    match kind {
        Kind::Match => "a `match` statement",
        Kind::Walrus => "an assignment in an expression (`:=`)",
        Kind::ExceptStar => "an `except*`",
        Kind::UnparenthesizedNamedExpr(_) => "a `:=` without parentheses",
        Kind::StarTuple(_) | Kind::UnparenthesizedUnpackInFor => "a tuple with a star and without parentheses",
        Kind::RelaxedDecorator(_) => "a decorator of more than a dotted name and a call",
        Kind::PositionalOnlyParameter => "a `/` among parameters",
        Kind::TypeParameterList => "a list of type parameters",
        Kind::TypeAliasStatement => "a `type` statement",
        Kind::TypeParamDefault => "a default of a type parameter",
        Kind::Pep701FString(_) if said.contains("backslash") => "an f-string with a backslash in a field",
        Kind::Pep701FString(_) if said.contains("comment") => "an f-string with a comment",
        Kind::Pep701FString(_) if said.contains("line break") => "an f-string with a line break in a field",
        Kind::Pep701FString(_) => "an f-string with its own quote in a field",
        Kind::ParenthesizedContextManager => "a `with` with its parts in parentheses",
        Kind::StarExpressionInIndex => "a star in an index",
        Kind::StarAnnotation => "a star in an annotation",
        Kind::UnparenthesizedExceptionTypes => "an `except` of several exceptions without parentheses",
        Kind::TemplateStrings => "a t-string",
        _ => "syntax of a newer Python",
    }
}

fn remedy(kind: Kind) -> &'static str {
    match kind {
        Kind::Match => "write if and elif",
        Kind::ExceptStar => "write except, and look at the group's exceptions",
        Kind::Walrus => "assign it on a line of its own",
        Kind::UnparenthesizedNamedExpr(_) => "put the assignment in parentheses",
        Kind::StarTuple(_) | Kind::UnparenthesizedUnpackInFor => "put the tuple in parentheses",
        Kind::RelaxedDecorator(_) => "give the decorator a name on a line of its own",
        Kind::TypeParameterList => "write T = TypeVar(\"T\")",
        Kind::TypeAliasStatement => "write Name = …, without type",
        Kind::TypeParamDefault => "leave out the default",
        Kind::Pep701FString(_) => "give the part a name, and write that in the f-string",
        Kind::ParenthesizedContextManager => "write the with without parentheses, or one within another",
        Kind::StarExpressionInIndex => "write a[(*b, c)]",
        Kind::StarAnnotation => "write Unpack[…]",
        Kind::UnparenthesizedExceptionTypes => "write except (A, B)",
        Kind::TemplateStrings => "write an f-string",
        _ => "write it as that Python has it",
    }
}
