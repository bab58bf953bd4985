//! What an expression of Prometheus selects.

use std::collections::BTreeSet;

use promql_parser::parser::{self, Expr, VectorSelector};

/// The selectors of an expression, each as one that can be asked for by itself.
pub(crate) fn selectors(query: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(&parser::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")), &mut found);
    found
}

fn add(selector: &VectorSelector, found: &mut BTreeSet<String>) {
    let plain = VectorSelector { offset: None, at: None, ..selector.clone() };
    found.insert(plain.to_string());
}

fn walk(expr: &Expr, found: &mut BTreeSet<String>) {
    match expr {
        Expr::VectorSelector(selector) => add(selector, found),
        Expr::MatrixSelector(matrix) => add(&matrix.vs, found),
        Expr::Aggregate(aggregate) => walk(&aggregate.expr, found),
        Expr::Binary(binary) => {
            walk(&binary.lhs, found);
            walk(&binary.rhs, found);
        }
        Expr::Unary(unary) => walk(&unary.expr, found),
        Expr::Paren(paren) => walk(&paren.expr, found),
        Expr::Subquery(subquery) => walk(&subquery.expr, found),
        Expr::Call(call) => call.args.args.iter().for_each(|argument| walk(argument, found)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}
