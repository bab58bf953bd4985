//! `qflow validate`: everything wrong with a file, told locally and without running it.

use qflow_type_validator::validate::{Inspected, inspect};

use crate::{
    args::{Output, ValidateArgs},
    exit::{Exit, Fail},
    outln, render, source,
};

/// Validates the file.
pub fn validate(args: &ValidateArgs) -> Result<Exit, Fail> {
    let source = source::collect(&args.file)?;
    let Inspected { definition, problems, .. } = inspect(&source);
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
