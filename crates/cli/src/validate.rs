//! `qflow validate`: everything wrong with a file, told locally and without running it.

use qflow_model::{
    definition::{Conversion, Definition, Place, Problem, Source, Step, WorkflowDef},
    plan::plan,
};
use qflow_type_validator::validate::{Inspected, inspect};

use crate::{
    args::{Output, ValidateArgs},
    exit::{Exit, Fail},
    outln, problems,
    source::{self, Collected},
};

/// Validates the file.
pub fn validate(args: &ValidateArgs) -> Result<Exit, Fail> {
    let Collected { source, warnings } = source::collect(&args.file)?;
    let Inspected { definition, mut problems, .. } = inspect(&source);
    problems.extend(warnings);
    if args.strict {
        // What is stored says where calls begin; where their arguments are is read again.
        let spans = qflow_python_source::read(&source).spans;
        let all = definition.workflows.values().flat_map(|workflow| {
            conversions(workflow).map(|(ix, step, conversion)| {
                let place = spans.argument(&workflow.name, ix, &conversion.argument).unwrap_or(&step.place);
                refused(step, conversion, place, spans.end(place))
            })
        });
        let mut refused: Vec<Problem> = all.collect();
        quote(&mut refused, &source);
        problems.extend(refused);
    }
    problems.sort();
    if problems.iter().all(|p| p.warning) {
        problems.extend(unplannable(&definition, &source));
    }
    let failed = problems.iter().any(|p| !p.warning);
    if args.output == Output::Json {
        outln!("{:#}", serde_json::json!({ "valid": !failed, "problems": problems, "definition": definition }));
    } else {
        problems::tell(&problems, Some(&source));
    }
    if failed {
        return Err(Fail::new(Exit::Invalid, format!("{}: {}", args.file.display(), problems::count(&problems))));
    }
    if args.output == Output::Table {
        for workflow in definition.workflows.values() {
            outln!("{}: {} steps, {} parameters", workflow.name, workflow.steps.len(), workflow.params.len());
            for (_, step, conversion) in conversions(workflow) {
                let may_fail = if conversion.may_fail { "; may fail" } else { "" };
                outln!("  converts {}{may_fail}", conversion.ends(step.kind.callee()));
            }
        }
    }
    Ok(Exit::Completed)
}

/// What a workflow's nodes get as another type than it has.
fn conversions(workflow: &WorkflowDef) -> impl Iterator<Item = (usize, &Step, &Conversion)> {
    let steps = workflow.steps.iter().enumerate();
    steps.flat_map(|(ix, step)| step.conversions.iter().map(move |conversion| (ix, step, conversion)))
}

/// A conversion as an error: `--strict` allows none.
fn refused(step: &Step, conversion: &Conversion, place: &Place, end_column: Option<u32>) -> Problem {
    let Conversion { from, to, .. } = conversion;
    Problem {
        place: place.clone(),
        end_column: end_column.unwrap_or(place.column),
        code: "conversion".to_owned(),
        message: format!("{} is a conversion, which --strict refuses", conversion.ends(step.kind.callee())),
        remedy: Some(format!("declare {} there, or make {} of it in a node", from.0, to.0)),
        other: Some(conversion.source_place.clone()),
        excerpt: String::new(),
        warning: false,
    }
}

/// Fills in the lines of source that problems stand on.
fn quote(problems: &mut [Problem], source: &Source) {
    for problem in problems {
        let text = source.files.get(&problem.place.file).map_or("", String::as_str);
        problem.excerpt =
            text.lines().nth((problem.place.line as usize).saturating_sub(1)).unwrap_or_default().to_owned();
    }
}

/// What stands against a plan for the versions of Python that are configured here.
fn unplannable(definition: &Definition, source: &Source) -> Vec<Problem> {
    let configured = crate::parts::pythons();
    let plans = definition.workflows.keys().map(|name| plan(definition, name, source.digest(), &configured));
    let mut problems: Vec<Problem> = plans.filter_map(Result::err).flatten().collect();
    quote(&mut problems, source);
    problems.sort();
    problems.dedup();
    problems
}
