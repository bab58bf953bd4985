//! Where values come from: which kind of node made what a node run takes, and since when it is there.

use std::collections::BTreeMap;

use qflow_model::{
    expression::Expr,
    ids::{FrameIx, NodeKey, Timestamp},
    plan::Plan,
    progress::RunState,
};

/// One source of an argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct From {
    /// The argument's name.
    pub(super) argument: String,
    /// What made the value: `python`, `workflow`, `wait`, `approval`, or `input` for a parameter of the run.
    pub(super) node_type: &'static str,
    /// When it was there.
    pub(super) at: Timestamp,
}

/// What the arguments of a node run come from: each kind of node once an argument, at its latest; literals come from nowhere.
pub(super) fn into(state: &RunState, key: NodeKey) -> impl Iterator<Item = From> {
    let mut all = Vec::new();
    for (name, expr) in &state.planned(key).arguments {
        let argument = |(node_type, at)| From { argument: name.clone(), node_type, at };
        all.extend(of(state, key.frame, expr, key.index).into_iter().map(argument));
    }
    all.into_iter()
}

/// What the run's own result comes from.
pub(super) fn out_of(state: &RunState) -> BTreeMap<&'static str, Timestamp> {
    of(state, FrameIx::ROOT, &state.plan.root().result, None)
}

fn of(state: &RunState, frame: FrameIx, expr: &Expr, element: Option<u32>) -> BTreeMap<&'static str, Timestamp> {
    let mut sources = BTreeMap::new();
    let mut add = |node_type, at: Timestamp| {
        let latest = sources.entry(node_type).or_insert(at);
        *latest = at.max(*latest);
    };
    expr.results(&mut |step, _| {
        let own = NodeKey { frame, step, index: None };
        if let Some(at) = ended(state, own, element) {
            add(Plan::node_type(state.planned(own)), at);
        }
    });
    if has_param(expr) {
        match state.caller(frame) {
            None => add("input", state.spec.created_at),
            // What a called workflow is given comes by its call.
            Some(caller) => drop(state.node(caller).and_then(|run| run.ready_at).map(|at| add("workflow", at))),
        }
    }
    sources
}

/// When a step's value was there: the element's where a mapped step is mapped over, else the last element's.
fn ended(state: &RunState, own: NodeKey, element: Option<u32>) -> Option<Timestamp> {
    let at = |key| state.node(key)?.detail.as_ref()?.ended_at;
    if !state.planned(own).is_mapped() {
        return at(own);
    }
    let last = || state.node(own)?.map.as_ref()?.length.checked_sub(1);
    element.and_then(|index| at(own.element(index))).or_else(|| at(own.element(last()?)))
}

/// Whether a parameter of the frame is read.
fn has_param(expr: &Expr) -> bool {
    match expr {
        Expr::Param { .. } => true,
        Expr::List(parts) | Expr::Tuple(parts) | Expr::Format(parts) => parts.iter().any(has_param),
        Expr::Dict(parts) => parts.iter().any(|(_, part)| has_param(part)),
        Expr::Select { then, otherwise, .. } => has_param(then) || has_param(otherwise),
        Expr::Literal(_) | Expr::Result { .. } | Expr::Condition(_) => false,
    }
}
