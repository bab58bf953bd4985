//! Quiet minutes, and what a real Alertmanager tells its receivers of what breaks.

use std::{collections::BTreeMap, process::Command, sync::PoisonError};

use qflow_e2e::{Home, Stack, object, said, wait_for, wait_seeing};

use super::{ONE, text};

/// A symptom of much.
const BURN: &str = "QflowErrorBudgetBurn";

/// How often each receiver was told of an alert: `FIRING` or `RESOLVED`.
fn told(stack: &Stack, word: &str, alert: &str) -> BTreeMap<String, usize> {
    let headlines = [format!("[{word} critical] {alert}:"), format!("{word} {alert}:")];
    let mut told = BTreeMap::new();
    for (by, said) in stack.notifications() {
        if headlines.iter().any(|headline| said.starts_with(headline)) {
            *told.entry(by).or_default() += 1;
        }
    }
    told
}

/// What receivers were told of anything else; the dead man's switch hears its beat.
fn others(stack: &Stack, alert: &str) -> Vec<(String, String)> {
    let of_it = |said: &str| said.contains(&format!(" {alert}:"));
    stack.notifications().into_iter().filter(|(by, said)| by != "deadman" && !of_it(said)).collect()
}

/// Whether a headline is a mail of an alert that pages.
fn is_page(said: &str) -> bool {
    said.starts_with("[FIRING critical]")
}

/// Whether Alertmanager has an alert, critical, in a state.
fn has(stack: &Stack, alert: &str, state: &str) -> bool {
    let wanted = [alert, "critical", state];
    stack.alerts().iter().any(|one| one.iter().map(String::as_str).eq(wanted))
}

/// How long a symptom lasts that is played.
const PLAYED: &str = "6 seconds";

/// Has Alertmanager hear of a symptom besides, which keeps quiet until it is over.
fn keeps_quiet(stack: &Stack, symptom: &str) {
    let url = stack.address("Alertmanager");
    let end = format!("$(date -u -d '+{PLAYED}' +%Y-%m-%dT%H:%M:%SZ)");
    let line = format!("amtool --alertmanager.url={url} alert add {symptom} severity=critical team=qflow --end={end}");
    let played = Command::new("bash").args(["-c", &line]).output().expect("bash starts");
    assert!(played.status.success(), "{}", said(&played));
    wait_seeing(
        &format!("{symptom} keeps quiet"),
        || has(stack, symptom, "suppressed"),
        || format!("{:#?}", stack.alerts()),
    );
    wait_for("it is over", || !has(stack, symptom, "suppressed"));
    assert!(!has(stack, symptom, "active"), "its cause lasts longer");
}

/// Breaks something, and sees one alert told to each receiver, once, and its end once it is mended; and nothing else but
/// what may be told of `besides`, and pages nobody.
fn is_told(stack: &Stack, alert: &str, besides: &[&str], breaks: impl Fn(), meanwhile: impl Fn(), mends: impl Fn()) {
    // Where a minute is a second, what only just starts is told of as well.
    let seen = || format!("{:#?}\n{:#?}", stack.alerts(), stack.notifications());
    let over = || !has(stack, alert, "active") && !has(stack, BURN, "active");
    wait_seeing(&format!("{alert} is over"), over, seen);
    stack.forget_notifications();
    breaks();
    wait_seeing(&format!("{alert} is told"), || told(stack, "FIRING", alert).len() == 2, seen);
    assert!(has(stack, alert, "active"), "{:?}", stack.alerts());
    meanwhile();
    let others = || {
        let mut others = others(stack, alert);
        others.retain(|(_, said)| is_page(said) || !besides.iter().any(|known| said.contains(&format!(" {known}"))));
        others
    };
    assert_eq!(others(), [], "nothing else is told of while it lasts");
    mends();
    wait_seeing(&format!("the end of {alert} is told"), || told(stack, "RESOLVED", alert).len() == 2, seen);
    let once = BTreeMap::from([("email".to_owned(), 1), ("slack".to_owned(), 1)]);
    let both = (told(stack, "FIRING", alert), told(stack, "RESOLVED", alert));
    assert_eq!(both, (once.clone(), once), "{alert}: {}", seen());
    assert_eq!(others(), [], "nothing else is told of after it");
}

#[test]
fn quiet_minutes_are_quiet_and_what_breaks_is_told_once_and_its_end_too_while_its_symptoms_keep_quiet() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Home::new("process");
    let _dev = home.dev();
    let (stack, embedded) = (Stack::start("process", "metrics"), Stack::embedded(&home));
    let hello = ["run", "examples/hello.py", "-p", "name=Ada", "-o", "json"];
    object(&stack.cluster.run(1, &hello), 0);
    object(&home.run(&hello), 0);
    stack.is_quiet();
    embedded.is_quiet();
    drop(embedded);
    // Whoever asks all replicas how they are takes no question back, so nobody has failed to answer one.
    let checks = "rpc_server_call_duration_seconds_count{rpc_method=\"grpc.health.v1.Health/Check\"}";
    let answered = stack.query(&format!("sum by (rpc_response_status_code) ({checks}) > 0"));
    let codes: Vec<&str> = answered.iter().map(|series| text(&series["metric"], "rpc_response_status_code")).collect();
    assert_eq!(codes, ["OK"]);
    let burns = "qflow:slo_errors:ratio_rate5m{slo=\"grpc-availability\"} > on (slo) 14.4 * qflow:slo_budget:ratio";
    let refused = || {
        wait_for("calls that the database fails burn the budget", || {
            stack.cluster.run(1, &hello);
            !stack.query(burns).is_empty()
        });
        let failed = "sum(qflow_pool_errors_total{pool=\"database\"}) > 0";
        wait_for("connections that are not to be had are counted", || !stack.query(failed).is_empty());
    };
    let again = || stack.again();
    is_told(
        &stack,
        "QflowTargetDown",
        &[],
        || stack.cluster.kill("runner-1"),
        || keeps_quiet(&stack, "QflowWarmPoolExhausted"),
        again,
    );
    is_told(
        &stack,
        "RedisConnectionError",
        &[],
        || stack.cluster.kill("redis"),
        || keeps_quiet(&stack, "HighWorkflowFailureRate"),
        again,
    );
    // What it cost is a warning, and may be told.
    is_told(&stack, "DatabaseConnectionError", &[BURN], || stack.cluster.stop_postgres(), refused, again);
    object(&stack.cluster.run(2, &hello), 0);
    // The short windows still hold what the database failed when its end was told; nobody is called for that while they empty.
    let still = "qflow:slo_errors:ratio_rate30m{slo=\"grpc-availability\"} > on (slo) 6 * qflow:slo_budget:ratio";
    wait_for("the budget burns no more", || stack.query(burns).is_empty() && stack.query(still).is_empty());
    let again: Vec<_> =
        others(&stack, "DatabaseConnectionError").into_iter().filter(|(_, said)| is_page(said)).collect();
    assert_eq!(again, [], "nobody is called once more for what is over");
    stack.ends();
}
