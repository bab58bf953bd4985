//! Problems of edges as people read them: both ends, and what to write instead.

use qflow_model::definition::{NodeDef, Place, Problem};
use qflow_types::{Ty, Way, assignable};

/// Where a value comes from: what it is called, and where that is declared.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) place: Option<Place>,
}

/// What a value must go into.
pub(super) struct Target<'a> {
    pub(super) label: String,
    pub(super) ty: &'a Ty,
    pub(super) declared: &'a Place,
    /// Where the value is handed over.
    pub(super) place: &'a Place,
    pub(super) code: &'static str,
    /// The node that takes it, where one does: nothing else converts.
    pub(super) taker: Option<Taker<'a>>,
}

impl Target<'_> {
    /// The end that is shown besides the one where the value is handed over.
    pub(super) fn other(&self, origin: &Origin) -> Place {
        origin.place.clone().unwrap_or_else(|| self.declared.clone())
    }
}

/// A node's argument, by the step that calls it.
#[derive(Clone, Copy)]
pub(super) struct Taker<'a> {
    pub(super) node: &'a NodeDef,
    pub(super) step: usize,
    pub(super) argument: &'a str,
}

/// What to write where None may come and is not taken.
pub(super) const HANDLE_NONE: &str = "handle it before: if x is None: …";

/// A problem at a place, without the line that it stands on.
pub(crate) fn problem(place: &Place, code: &str, message: String, remedy: &str) -> Problem {
    Problem {
        place: place.clone(),
        end_column: place.column,
        code: code.to_owned(),
        message,
        remedy: Some(remedy.to_owned()),
        other: None,
        excerpt: String::new(),
        warning: false,
    }
}

/// `total.rows: list[X] ← fetch → dict[X] (sales.py:9 → sales.py:15)`
pub(super) fn ends(found: &Ty, origin: &Origin, target: &Target<'_>) -> String {
    let at = |place: &Place| format!("{}:{}", place.file, place.line);
    let from = origin.place.as_ref().unwrap_or(target.place);
    let places = format!("({} → {})", at(from), at(target.declared));
    format!("{}: {} ← {} → {found} {places}", target.label, target.ty, origin.name)
}

/// What does not go from one end to the other, and why.
pub(super) fn edge(found: &Ty, way: Way, origin: &Origin, reason: &str, target: &Target<'_>) -> Problem {
    let mut message = ends(found, origin, target);
    // What the two types already say is not said again.
    let said = format!("{found} is not {}", target.ty);
    let more = reason.strip_prefix(&said).map_or(reason, |rest| rest.trim_start_matches(": "));
    if !more.is_empty() {
        message.push_str(": ");
        message.push_str(more);
    }
    let told = problem(target.place, target.code, message, &remedy(found, way, origin, target));
    Problem { other: Some(target.other(origin)), ..told }
}

fn remedy(found: &Ty, way: Way, origin: &Origin, target: &Target<'_>) -> String {
    let takes = |ty: &Ty| assignable(ty, target.ty).is_ok();
    let (none, others): (Vec<_>, Vec<_>) = found.members().iter().partition(|ty| **ty == Ty::None);
    if !none.is_empty() && others.iter().all(|ty| takes(ty)) {
        // What takes a value is somebody's to declare, or Qflow's own.
        let declared = target.declared != target.place && !others.is_empty();
        let or = if declared { format!(", or declare {} | None", target.ty) } else { String::new() };
        let handled = if origin.name.rsplit_once('.').is_some_and(|(_, part)| part == "value") {
            "ask for it before: if x.ok: …"
        } else {
            HANDLE_NONE
        };
        return format!("{handled}{or}");
    }
    if let Some(value) = found.outcome().filter(|value| takes(value)) {
        return format!("hand on its .value where .ok holds, which is {value}");
    }
    let converts = matches!(way, Way::Converted | Way::MayFail);
    match target.taker {
        Some(Taker { node, .. }) if converts => {
            format!("write convert=True on node `{}`: a value that does not convert then fails it", node.name)
        }
        None if converts => {
            // What `sleep` takes is Qflow's own to declare.
            let declared = target.declared != target.place || target.code == "incompatible-result";
            let or = if declared { format!(", or declare {found} here") } else { String::new() };
            format!("values are converted only where a node takes them: convert it in a node{or}")
        }
        _ => "correct one of the two declarations, or make what is asked for in a node between them".to_owned(),
    }
}
