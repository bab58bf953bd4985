//! Who may: every route for every role, and each tenant by itself.

use serde_json::{Value, json};

use crate::house::{House, id};

#[test]
fn every_route_is_for_the_roles_that_its_document_names() {
    let house = House::new();
    let document = house.get("/api/v1/openapi.json", &house.own()).json();
    assert_eq!(document["openapi"], "3.1.0");
    let roles = ["viewer", "operator", "author", "admin"];
    let rank = |role: &str| roles.iter().position(|known| *known == role).expect("a role");
    let tokens = roles.map(|role| house.token(role, role, "acme"));
    let mut refused = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let least = operation["x-qflow-role"].as_str().expect("each says its role");
            let method = method.to_uppercase();
            let path = format!("/api/v1{path}").replace("{run_id}", "x").replace("{name}", "x").replace("{id}", "x");
            for (role, token) in roles.iter().zip(&tokens) {
                let answer = house.ask(&method, &path, token, &[]);
                assert_eq!(answer.status == 403, rank(role) < rank(least), "{role}: {method} {path}: {answer:?}");
                assert!(answer.status < 500, "{role}: {method} {path}: {answer:?}");
                refused += usize::from(answer.status == 403);
            }
            assert_eq!(house.ask(&method, &path, "", &[]).status, 401, "{method} {path}");
            assert_eq!(house.ask(&method, &path, "qflow_x_y", &[]).status, 401, "{method} {path}");
        }
    }
    let audit = house.get("/api/v1/audit?limit=500", &tokens[3]).json();
    let told = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["refused"] != "").count();
    assert_eq!(told, refused, "{audit:#}");
}

#[test]
fn no_kind_that_a_request_says_it_is_opens_more_than_its_role() {
    let house = House::new();
    let document = house.get("/api/v1/openapi.json", &house.own()).json();
    let roles = ["viewer", "operator", "author", "admin"];
    let tokens = roles.map(|role| house.token(role, role, "acme"));
    let frame = house.home.path().join("frame");
    std::fs::write(&frame, [0_u8; 5]).expect("the home takes files");
    let frame = format!("@{}", frame.display());
    let kinds = ["application/grpc", "Application/GRPC", "application/grpc-web", "application/json", "text/plain", ""];
    let asks = |method: &str, path: &str, token: &str, kind: &str| {
        house.ask(
            method,
            path,
            token,
            &["-H", &format!("Content-Type: {kind}"), "-H", "TE: trailers", "--data-binary", &frame],
        )
    };
    let mut served = 0;
    for (method, least) in document["x-qflow-methods"].as_object().expect("methods") {
        let least = roles.iter().position(|role| least == role).expect("a role");
        for (rank, token) in tokens.iter().enumerate() {
            for kind in kinds {
                let answer = asks("POST", &format!("/{method}"), token, kind);
                let head = answer.head.to_lowercase();
                // Of a method that is answered the status says what came of it; 7 is that it may not.
                let is_in = answer.status == 200 && !head.contains("grpc-status: 7");
                let may = rank >= least && kind == "application/grpc";
                assert_eq!(is_in, may, "{}: {method} as `{kind}`: {answer:?}", roles[rank]);
                served += usize::from(is_in);
            }
        }
    }
    assert!(served > 20, "{served}");
    // Nor does a route of HTTP.
    let [viewer, .., admin] = &tokens;
    for (method, path) in [
        ("GET", "/audit"),
        ("GET", "/tokens"),
        ("DELETE", "/tokens/x"),
        ("POST", "/runs/x/cancel"),
        ("POST", "/tokens"),
    ] {
        for kind in &kinds[..3] {
            let answer = asks(method, &format!("/api/v1{path}"), viewer, kind);
            let is_in = answer.status < 400 && !answer.head.to_lowercase().contains("grpc-status: ");
            assert!(!is_in, "{method} {path} as `{kind}`: {answer:?}");
        }
    }
    assert_eq!(house.get("/api/v1/tokens", admin).json()["tokens"].as_array().unwrap().len(), 4, "none was made");
    let seen = house.get("/api/v1/openapi.json%00", viewer);
    assert_eq!(seen.status, 400, "{seen:?}");
}

#[test]
fn what_is_one_tenants_is_no_others() {
    let house = House::new();
    let (ours, theirs) = (house.token("ada", "admin", "acme"), house.token("eve", "admin", "rival"));
    let run = id(&house.hello(&ours, &json!({})));
    house.ended(&run, &ours);
    let lists = |token: &str| house.get("/api/v1/runs", token).json()["runs"].as_array().unwrap().len();
    assert_eq!((lists(&ours), lists(&theirs)), (1, 0));
    for (method, path) in [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/logs"),
        ("GET", "/logs?follow=true"),
        ("GET", "/result"),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/retry"),
    ] {
        let answer = house.ask(method, &format!("/api/v1/runs/{run}{path}"), &theirs, &[]);
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        assert!(!answer.text.contains("acme"), "whose it is, is not told: {answer:?}");
    }
    let approve = house.send("POST", &format!("/api/v1/runs/{run}/approve"), &theirs, &json!({"approved": true}));
    assert_eq!(approve.status, 404, "{approve:?}");
    let seen = house.get("/api/v1/audit", &theirs).json();
    let refused: Vec<&Value> =
        seen["entries"].as_array().unwrap().iter().filter(|entry| entry["target"] == run.as_str()).collect();
    assert_eq!(refused.len(), 10, "{seen:#}");
    assert!(refused.iter().all(|entry| entry["refused"] != "" && entry["user"] == "eve"), "{seen:#}");
    // Nor are workflows, pools, tokens and the audit.
    assert_eq!(house.get("/api/v1/workflows", &theirs).json()["workflows"], json!([]));
    assert_eq!(house.send("PUT", "/api/v1/pools/p", &ours, &json!({"slots": 1})).status, 200);
    assert_eq!(house.get("/api/v1/pools", &theirs).json()["pools"], json!([]));
    let known = house.get("/api/v1/tokens", &theirs).json();
    assert_eq!(known["tokens"].as_array().unwrap().len(), 1, "{known:#}");
    let token = house.get("/api/v1/tokens", &ours).json()["tokens"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(house.ask("DELETE", &format!("/api/v1/tokens/{token}"), &theirs, &[]).status, 404);
    for reach in ["/api/v1/tokens", "/api/v1/audit"] {
        assert_eq!(house.get(&format!("{reach}?tenant=acme"), &theirs).status, 403, "{reach}");
    }
    assert_eq!(house.get("/api/v1/whoami", &ours).json()["tenant"], "acme");
    // What ada did is told to her house alone.
    let actions = |token: &str| -> Vec<String> {
        let audit = house.get("/api/v1/audit", token).json();
        audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    };
    assert!(actions(&ours).starts_with(&["pool.set".to_owned(), "run.start".to_owned()]), "{:?}", actions(&ours));
    assert!(!actions(&theirs).contains(&"run.start".to_owned()));
}
