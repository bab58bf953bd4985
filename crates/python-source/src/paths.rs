//! Paths that go from one call to another: names of files, whose content stays behind.

use std::collections::BTreeMap;

use qflow_model::definition::{Definition, Step};
use qflow_types::Ty;
use ruff_text_size::Ranged;

use crate::{problems::Problems, project::Project, scope::Bound};

/// Warns of every node whose result holds a plain `Path` that another call takes.
pub(crate) fn check(project: &Project<'_>, definition: &Definition, problems: &mut Problems) {
    let mut handed: BTreeMap<&str, &str> = BTreeMap::new();
    for workflow in definition.workflows.values() {
        for step in &workflow.steps {
            let mut gives = |from: &Step| {
                let gives = project.nodes.get_key_value(from.kind.callee());
                if let Some((name, _)) = gives.filter(|(_, node)| node.returns.0.parse().is_ok_and(|ty| has_path(&ty)))
                {
                    handed.entry(name).or_insert(step.kind.callee());
                }
            };
            for (_, argument) in &step.arguments {
                argument.results(&mut |from, _| workflow.steps.get(from.0 as usize).into_iter().for_each(&mut gives));
            }
        }
    }
    for (from, to) in handed {
        let Some(node) = project.nodes.get(from) else { continue };
        let Some(at) = project.units.modules.position(&node.file) else { continue };
        let Some(Bound::Function(unit, def)) = project.units.named(at, &node.name) else { continue };
        let range = def.returns.as_deref().map_or(def.name.range(), Ranged::range);
        let message = format!("`{from}` hands a Path on to `{to}`: the name of a file, whose content stays behind");
        let remedy = "return qflow.File or qflow.Folder, which move the content";
        problems.push(project.units.files[unit].text.warning(range, "path-between-nodes", message, remedy));
    }
}

fn has_path(ty: &Ty) -> bool {
    *ty == Ty::class("Path") || ty.parts().into_iter().any(has_path)
}
