//! `qflow validate`: everything wrong with a file, told locally and without running it.

use qflow_model::{
    definition::{Definition, Problem, Source},
    plan::plan,
};
use qflow_type_validator::validate::{Inspected, inspect};

use crate::{
    args::{Output, ValidateArgs},
    exit::{Exit, Fail},
    outln, render,
    source::{self, Collected},
};

/// Validates the file.
pub fn validate(args: &ValidateArgs) -> Result<Exit, Fail> {
    let Collected { source, warnings } = source::collect(&args.file)?;
    let Inspected { definition, mut problems, .. } = inspect(&source);
    problems.extend(warnings);
    problems.sort();
    if problems.iter().all(|p| p.warning) {
        problems.extend(unplannable(&definition, &source));
    }
    let failed = problems.iter().any(|p| !p.warning);
    if args.output == Output::Json {
        outln!("{:#}", serde_json::json!({ "valid": !failed, "problems": problems, "definition": definition }));
    } else {
        eprint!("{}", render::problems(&problems));
    }
    if failed {
        return Err(Fail::new(Exit::Invalid, format!("{}: {}", args.file.display(), render::count(&problems))));
    }
    if args.output == Output::Table {
        for workflow in definition.workflows.values() {
            outln!("{}: {} steps, {} parameters", workflow.name, workflow.steps.len(), workflow.params.len());
        }
    }
    Ok(Exit::Completed)
}

/// What stands against a plan for the versions of Python that are configured here.
fn unplannable(definition: &Definition, source: &Source) -> Vec<Problem> {
    let configured = crate::parts::pythons();
    let plans = definition.workflows.keys().map(|name| plan(definition, name, source.digest(), &configured));
    let mut problems: Vec<Problem> = plans.filter_map(Result::err).flatten().collect();
    for problem in &mut problems {
        let text = source.files.get(&problem.place.file).map_or("", String::as_str);
        problem.excerpt =
            text.lines().nth((problem.place.line as usize).saturating_sub(1)).unwrap_or_default().to_owned();
    }
    problems.sort();
    problems.dedup();
    problems
}
