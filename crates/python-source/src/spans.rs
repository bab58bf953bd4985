//! How far what bodies call and hand over reaches, for who tells of it: definitions keep only where each begins.

use std::collections::{BTreeMap, HashMap};

use qflow_model::definition::Place;

/// Where arguments stand and where things end, of all workflows of a submission. Kept beside definitions, which are stored with each run.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// By workflow and step: each argument by its parameter's name.
    arguments: BTreeMap<String, Vec<Vec<(String, Place)>>>,
    /// By workflow: the value that it returns; nothing where it returns in several places.
    results: BTreeMap<String, Option<Place>>,
    /// Past the last column of what begins at a place, on its line.
    ends: HashMap<Place, u32>,
}

impl Spans {
    /// Where the argument of a step is written.
    pub fn argument(&self, workflow: &str, step: usize, name: &str) -> Option<&Place> {
        let arguments = self.arguments.get(workflow)?.get(step)?;
        arguments.iter().find(|(known, _)| known == name).map(|(_, place)| place)
    }

    /// Where the value is written that a workflow returns, if that is one place.
    pub fn result(&self, workflow: &str) -> Option<&Place> {
        self.results.get(workflow)?.as_ref()
    }

    /// Past the last column of what begins at a place: of several the longest.
    pub fn end(&self, place: &Place) -> Option<u32> {
        self.ends.get(place).copied()
    }

    /// Notes what begins at a place.
    pub(crate) fn note(&mut self, place: &Place, end_column: u32) {
        let end = self.ends.entry(place.clone()).or_default();
        *end = end_column.max(*end);
    }

    /// Notes where a workflow returns.
    pub(crate) fn returned(&mut self, workflow: &str, place: Place) {
        let is_only = !self.results.contains_key(workflow);
        self.results.insert(workflow.to_owned(), is_only.then_some(place));
    }

    /// Notes the arguments of a workflow's next step.
    pub(crate) fn step(&mut self, workflow: &str, arguments: Vec<(String, Place)>) {
        self.arguments.entry(workflow.to_owned()).or_default().push(arguments);
    }
}
