//! `/api/v1`: everything that gRPC offers to clients, in JSON. Handlers read a request, ask the same calls, and shape the answer.

mod access;
mod events;
mod extract;
mod logs;
mod pools;
mod problem;
mod results;
mod runs;
mod shapes;
mod uploads;
mod workflows;

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::HeaderValue, response::IntoResponse as _, routing::get};
use qflow_model::{
    access::{Caller, Role},
    limits,
};
use tonic::Request;
use utoipa::{
    OpenApi,
    openapi::{
        PathItem,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityScheme},
        server::Server as Address,
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::problem::Problem;
use super::{Server, table};

/// Where all of it stands.
pub(crate) const ROOT: &str = "/api/v1";

/// By which the document says the least role that may take a route.
const ROLE: &str = "x-qflow-role";

/// By which it says the same of methods of gRPC.
const METHODS: &str = "x-qflow-methods";

/// What a handler stands on.
type Shared = State<Arc<Server>>;
/// What every handler gives.
type Answer<T> = Result<T, Problem>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Qflow",
        description = "Runs workflows of Python functions. Errors are problem details (RFC 9457) with a code, and, where a submission is \
            wrong, every problem with its place and remedy. Lists have pages: `next` of one is `cursor` of the next.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    security(("token" = [])),
)]
struct Document;

/// A message as if it had come by gRPC, from somebody whom the edge knows.
fn asked<T>(caller: Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller);
    request
}

/// The routes, and the document that describes them.
fn described() -> (Router<Arc<Server>>, utoipa::openapi::OpenApi) {
    let uploads =
        OpenApiRouter::new().routes(routes!(uploads::upload)).layer(axum::extract::DefaultBodyLimit::disable());
    let routes = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(runs::start, runs::list))
        .routes(routes!(runs::get))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::pause))
        .routes(routes!(runs::resume))
        .routes(routes!(runs::retry))
        .routes(routes!(runs::approve))
        .routes(routes!(events::watch))
        .routes(routes!(logs::lines))
        .routes(routes!(results::result))
        .routes(routes!(workflows::register, workflows::list))
        .routes(routes!(pools::list))
        .routes(routes!(pools::get, pools::set, pools::remove))
        .routes(routes!(access::who_am_i))
        .routes(routes!(access::create_token, access::list_tokens))
        .routes(routes!(access::revoke_token))
        .routes(routes!(access::audit))
        .layer(axum::extract::DefaultBodyLimit::max(limits::MESSAGE_BYTES))
        .merge(uploads);
    let (router, mut document) = routes.split_for_parts();
    document.servers = Some(vec![Address::new(ROOT)]);
    let methods = table::ROUTES.iter().filter(|(route, _)| !route.contains(' '));
    let methods: serde_json::Map<String, serde_json::Value> =
        methods.map(|(method, least)| ((*method).to_owned(), least.as_str().into())).collect();
    document.extensions.get_or_insert_default().insert(METHODS.to_owned(), methods.into());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let least = table::least(&format!("{method} {ROOT}{path}")).map_or("nobody", Role::as_str);
            operation.extensions.get_or_insert_default().insert(ROLE.to_owned(), least.into());
        }
    }
    let scheme = SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).build());
    document.components.get_or_insert_default().add_security_scheme("token", scheme);
    (router, document)
}

/// What a path is asked for, by method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [("GET", &mut item.get), ("PUT", &mut item.put), ("POST", &mut item.post), ("DELETE", &mut item.delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The document that describes the routes.
pub fn document() -> utoipa::openapi::OpenApi {
    described().1
}

/// The routes under [`ROOT`].
pub(super) fn routes(server: Server) -> Router {
    let (router, document) = described();
    let router = router
        .route("/openapi.json", get(async move || Json(document)))
        .fallback(async || Problem::nowhere())
        .method_not_allowed_fallback(async || Problem::no_such_method());
    Router::new().nest(ROOT, router.with_state(Arc::new(server)))
}

/// A body of JSON as it was written, every digit of it.
fn json(text: String) -> axum::response::Response {
    let kind = HeaderValue::from_static("application/json");
    ([(axum::http::header::CONTENT_TYPE, kind)], text).into_response()
}
