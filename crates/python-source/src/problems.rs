//! Everything that is wrong with a submission: kept up to a bound, and counted past it.

use qflow_model::definition::Problem;

/// Errors that are told: who has more corrects these first.
const ERRORS: usize = 500;
/// Warnings that are told.
const WARNINGS: usize = 100;

/// What is wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    pushed: usize,
    /// The first error and the first warning past their bounds, and how many there are.
    more: [Option<(Problem, usize)>; 2],
}

impl Problems {
    /// Adds one.
    pub(crate) fn push(&mut self, problem: Problem) {
        self.pushed += 1;
        let (list, bound, more) = if problem.warning {
            (&mut self.warnings, WARNINGS, &mut self.more[1])
        } else {
            (&mut self.errors, ERRORS, &mut self.more[0])
        };
        if list.len() < bound {
            list.push(problem);
        } else if let Some((_, count)) = more {
            *count += 1;
        } else {
            *more = Some((problem, 1));
        }
    }

    /// How many were added: whether something was told meanwhile.
    pub(crate) fn count(&self) -> usize {
        self.pushed
    }

    /// Whether nothing stops the submission.
    pub(crate) fn none(&self) -> bool {
        self.errors.is_empty()
    }

    /// All that are told, ordered by place.
    pub(crate) fn told(self) -> Vec<Problem> {
        let mut all = self.errors;
        all.extend(self.warnings);
        for (first, count) in self.more.into_iter().flatten() {
            let word = if first.warning { "warnings" } else { "errors" };
            let message = format!("{count} more {word}, of which this is the first: {}", first.message);
            all.push(Problem { code: "too-many-problems".to_owned(), message, ..first });
        }
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;

    #[test]
    fn past_the_bound_problems_are_counted() {
        let text = Text::new("a.py", "x\n");
        let mut problems = Problems::default();
        for at in 0..ERRORS + 7 {
            let problem = text.problem(ruff_text_size::TextRange::default(), "c", format!("{at:04}"), "r");
            problems.push(Problem { warning: true, ..problem.clone() });
            assert_eq!(problems.none(), at == 0, "{at}");
            problems.push(problem);
        }
        assert_eq!(problems.count(), 2 * (ERRORS + 7));
        let told = problems.told();
        assert_eq!(told.len(), ERRORS + WARNINGS + 2);
        let more: Vec<_> = told.iter().filter(|p| p.code == "too-many-problems").map(|p| p.message.as_str()).collect();
        let warnings = "407 more warnings, of which this is the first: 0100";
        assert_eq!(more, [warnings, "7 more errors, of which this is the first: 0500"]);
    }
}
