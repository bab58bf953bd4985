//! The names that a function binds itself: in Python they hide the file's throughout the function.

use std::collections::HashSet;

use ruff_python_ast::{
    Alias, Comprehension, ExceptHandler, Expr, Pattern, Stmt, StmtFunctionDef,
    visitor::{Visitor, walk_except_handler, walk_expr, walk_pattern, walk_stmt},
};

/// The names that a function binds anywhere in its body, and its parameters.
pub(crate) fn locals(function: &StmtFunctionDef) -> HashSet<&str> {
    let mut stored = Stored { names: function.parameters.iter().map(|p| p.name().id.as_str()).collect() };
    stored.visit_body(&function.body);
    stored.names
}

/// The names that one statement binds.
pub(crate) fn stored(stmt: &Stmt) -> HashSet<&str> {
    let mut stored = Stored { names: HashSet::new() };
    stored.visit_stmt(stmt);
    stored.names
}

struct Stored<'a> {
    names: HashSet<&'a str>,
}

impl<'a> Visitor<'a> for Stored<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(def) => drop(self.names.replace(def.name.id.as_str())),
            Stmt::ClassDef(class) => drop(self.names.replace(class.name.id.as_str())),
            other => walk_stmt(self, other),
        }
    }

    fn visit_alias(&mut self, alias: &'a Alias) {
        let dotted = alias.name.id.as_str();
        let first = dotted.split('.').next().unwrap_or(dotted);
        self.names.insert(alias.asname.as_ref().map_or(first, |name| name.id.as_str()));
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(inner) = handler;
        self.names.extend(inner.name.as_ref().map(|name| name.id.as_str()));
        walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        let name = match pattern {
            Pattern::MatchAs(inner) => inner.name.as_ref(),
            Pattern::MatchStar(inner) => inner.name.as_ref(),
            Pattern::MatchMapping(inner) => inner.rest.as_ref(),
            _ => None,
        };
        self.names.extend(name.map(|name| name.id.as_str()));
        walk_pattern(self, pattern);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if !name.ctx.is_load() => drop(self.names.replace(name.id.as_str())),
            Expr::Lambda(_) => {}
            other => walk_expr(self, other),
        }
    }

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        // The targets of a comprehension are its own.
        self.visit_expr(&comprehension.iter);
        comprehension.ifs.iter().for_each(|test| self.visit_expr(test));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_bind_a_name_is_known() {
        let text = "def f(a, *b, c=1, **d):
    e = g.x = h[0] = 1
    i: int = 2
    j += 1
    (k, [l, *m]) = a
    for n in a: o = 1
    with a as p: pass
    try: pass
    except E as q: pass
    match a:
        case {'x': r, **s}: pass
        case [t, *u] as v: pass
    import w.x, y as z
    def aa(bb): cc = 1
    class dd: ee = 1
    [ff for ff in (gg := a)]
    lambda hh: 1
";
        let module = ruff_python_parser::parse_module(text).unwrap();
        let function = module.syntax().body[0].as_function_def_stmt().unwrap();
        let mut names: Vec<&str> = locals(function).into_iter().collect();
        names.sort_unstable();
        let expected = "a aa b c d dd e gg i j k l m n o p q r s t u v w z";
        assert_eq!(names.join(" "), expected);
    }
}
