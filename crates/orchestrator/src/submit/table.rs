//! Every route of clients and the least role that may take it: what is not in the table is open to nobody.

use std::borrow::Cow;

use qflow_model::access::{Caller, Role};

use crate::record::Command;

/// gRPC methods as `package.Service/Method`, HTTP routes as the method and the route as it is declared.
pub(crate) const ROUTES: &[(&str, Role)] = &[
    ("qflow.v1.AccessService/CreateToken", Role::Admin),
    ("qflow.v1.AccessService/ListAudit", Role::Admin),
    ("qflow.v1.AccessService/ListTokens", Role::Admin),
    ("qflow.v1.AccessService/RevokeToken", Role::Admin),
    ("qflow.v1.AccessService/WhoAmI", Role::Viewer),
    ("qflow.v1.OrchestratorService/ApproveNode", Role::Operator),
    ("qflow.v1.OrchestratorService/CancelRun", Role::Operator),
    ("qflow.v1.OrchestratorService/DownloadResult", Role::Viewer),
    ("qflow.v1.OrchestratorService/GetRun", Role::Viewer),
    ("qflow.v1.OrchestratorService/ListPools", Role::Viewer),
    ("qflow.v1.OrchestratorService/ListRuns", Role::Viewer),
    ("qflow.v1.OrchestratorService/ListWorkflows", Role::Viewer),
    ("qflow.v1.OrchestratorService/Overview", Role::Viewer),
    ("qflow.v1.OrchestratorService/PauseRun", Role::Operator),
    ("qflow.v1.OrchestratorService/RegisterWorkflow", Role::Author),
    ("qflow.v1.OrchestratorService/RemovePool", Role::Admin),
    ("qflow.v1.OrchestratorService/ResumeRun", Role::Operator),
    ("qflow.v1.OrchestratorService/RetryRun", Role::Operator),
    ("qflow.v1.OrchestratorService/SetPool", Role::Admin),
    // What is registered; a source of one's own takes an author.
    ("qflow.v1.OrchestratorService/StartRun", Role::Operator),
    ("qflow.v1.OrchestratorService/StreamLogs", Role::Viewer),
    ("qflow.v1.OrchestratorService/UploadBlob", Role::Operator),
    ("qflow.v1.OrchestratorService/WatchRun", Role::Viewer),
    ("DELETE /api/v1/pools/{name}", Role::Admin),
    ("DELETE /api/v1/tokens/{id}", Role::Admin),
    ("GET /api/v1/audit", Role::Admin),
    ("GET /api/v1/openapi.json", Role::Viewer),
    ("GET /api/v1/pools", Role::Viewer),
    ("GET /api/v1/pools/{name}", Role::Viewer),
    ("GET /api/v1/runs", Role::Viewer),
    ("GET /api/v1/runs/{run_id}", Role::Viewer),
    ("GET /api/v1/runs/{run_id}/events", Role::Viewer),
    ("GET /api/v1/runs/{run_id}/logs", Role::Viewer),
    ("GET /api/v1/runs/{run_id}/result", Role::Viewer),
    ("GET /api/v1/tokens", Role::Admin),
    ("GET /api/v1/whoami", Role::Viewer),
    ("GET /api/v1/workflows", Role::Viewer),
    ("POST /api/v1/runs", Role::Operator),
    ("POST /api/v1/runs/{run_id}/approve", Role::Operator),
    ("POST /api/v1/runs/{run_id}/cancel", Role::Operator),
    ("POST /api/v1/runs/{run_id}/pause", Role::Operator),
    ("POST /api/v1/runs/{run_id}/resume", Role::Operator),
    ("POST /api/v1/runs/{run_id}/retry", Role::Operator),
    ("POST /api/v1/tokens", Role::Admin),
    ("POST /api/v1/uploads", Role::Operator),
    ("POST /api/v1/workflows", Role::Author),
    ("PUT /api/v1/pools/{name}", Role::Admin),
];

/// The least role that may take a route; nothing where the table has no such route. Whoever may read may ask what there is to read.
pub(crate) fn least(route: &str) -> Option<Role> {
    let route = route.strip_prefix("HEAD ").map_or(Cow::from(route), |path| format!("GET {path}").into());
    ROUTES.iter().find(|(known, _)| *known == route).map(|(_, role)| *role)
}

/// Whether somebody has a role or one above it; else what to do about it.
pub(crate) fn has(caller: &Caller, least: Role) -> Result<(), String> {
    if caller.role >= least {
        return Ok(());
    }
    let Caller { user, role, .. } = caller;
    Err(format!(
        "`{user}` is {role} here, and this takes {least}: ask an admin for a token (qflow token create --role {least})"
    ))
}

/// What a command is called in the audit.
pub(super) fn action(command: &Command) -> &'static str {
    match command {
        Command::Start { .. } => "run.start",
        Command::Cancel { .. } => "run.cancel",
        Command::Pause { .. } => "run.pause",
        Command::Resume { .. } => "run.resume",
        Command::RetryFailed { .. } => "run.retry",
        Command::Approve { approved: true, .. } => "run.approve",
        Command::Approve { .. } => "run.reject",
        Command::Crashed => "run.crashed",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use qflow_proto::DESCRIPTORS;

    use super::*;
    use crate::submit::http::{ROOT, document};

    /// Every route that is served to clients, as the descriptors and the document tell them.
    fn served() -> BTreeSet<String> {
        let set: prost_types::FileDescriptorSet = prost::Message::decode(DESCRIPTORS).unwrap();
        let services = set.file.into_iter().flat_map(|file| file.service);
        let ours = services.filter(|service| matches!(service.name(), "OrchestratorService" | "AccessService"));
        let methods = ours.flat_map(|service| {
            let name = service.name().to_owned();
            service.method.into_iter().map(move |method| format!("qflow.v1.{name}/{}", method.name()))
        });
        let document: serde_json::Value = serde_json::to_value(document()).unwrap();
        let paths = document["paths"].as_object().unwrap().clone();
        let routes = paths.into_iter().flat_map(|(path, item)| {
            let methods: Vec<String> = item.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
            methods.into_iter().map(move |method| format!("{method} {ROOT}{path}"))
        });
        methods.chain(routes).chain([format!("GET {ROOT}/openapi.json")]).collect()
    }

    #[test]
    fn every_route_is_in_the_table_once_and_there_is_none_else() {
        let table: Vec<String> = ROUTES.iter().map(|(route, _)| (*route).to_owned()).collect();
        assert_eq!(table.len(), table.iter().collect::<BTreeSet<_>>().len(), "once each");
        assert_eq!(table.into_iter().collect::<BTreeSet<_>>(), served());
    }

    #[test]
    fn what_is_not_in_the_table_is_open_to_nobody() {
        assert_eq!(least("qflow.v1.OrchestratorService/StartRun"), Some(Role::Operator));
        for unknown in ["", "qflow.v1.OrchestratorService/", "qflow.v1.DispatchService/Work", "GET /", "/x"] {
            assert_eq!(least(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_role_may_what_lower_ones_may_and_no_more() {
        for role in Role::ALL {
            let caller = Caller { role: *role, ..Caller::local() };
            for least in Role::ALL {
                assert_eq!(has(&caller, *least).is_ok(), role >= least, "{role} where {least} is asked");
            }
        }
        let viewer = Caller { role: Role::Viewer, user: "ada".into(), ..Caller::local() };
        let refused = has(&viewer, Role::Admin).unwrap_err();
        assert_eq!(
            refused,
            "`ada` is viewer here, and this takes admin: ask an admin for a token (qflow token create --role admin)"
        );
    }
}
