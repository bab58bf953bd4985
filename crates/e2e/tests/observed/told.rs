//! Quiet minutes, and what a real Alertmanager tells its receivers of what breaks.

use std::{collections::BTreeMap, sync::PoisonError};

use qflow_e2e::{Home, Stack, object, wait_for, wait_seeing};

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

/// Whether Alertmanager has an alert, critical, in a state.
fn has(stack: &Stack, alert: &str, state: &str) -> bool {
    let wanted = [alert, "critical", state];
    stack.alerts().iter().any(|one| one.iter().map(String::as_str).eq(wanted))
}

/// Breaks something, and sees one alert told to each receiver, once, and its end once it is mended.
fn is_told(stack: &Stack, alert: &str, breaks: impl Fn(), meanwhile: impl Fn(), mends: impl Fn()) {
    // Where a minute is a second, what only just starts is told of as well.
    let seen = || format!("{:#?}\n{:#?}", stack.alerts(), stack.notifications());
    let over = || !has(stack, alert, "active") && !has(stack, BURN, "active");
    wait_seeing(&format!("{alert} is over"), over, seen);
    stack.forget_notifications();
    breaks();
    wait_seeing(&format!("{alert} is told"), || told(stack, "FIRING", alert).len() == 2, seen);
    assert!(has(stack, alert, "active"), "{:?}", stack.alerts());
    meanwhile();
    mends();
    wait_seeing(&format!("the end of {alert} is told"), || told(stack, "RESOLVED", alert).len() == 2, seen);
    let once = BTreeMap::from([("email".to_owned(), 1), ("slack".to_owned(), 1)]);
    let both = (told(stack, "FIRING", alert), told(stack, "RESOLVED", alert));
    assert_eq!(both, (once.clone(), once), "{alert}: {}", seen());
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
    let refused = || {
        wait_for("calls that the database fails burn the budget, and nobody is told", || {
            stack.cluster.run(1, &hello);
            has(&stack, BURN, "suppressed")
        });
        assert!(told(&stack, "FIRING", BURN).is_empty(), "{:#?}", stack.notifications());
    };
    is_told(&stack, "DatabaseConnectionError", || stack.cluster.stop_postgres(), refused, || stack.again());
    is_told(&stack, "RedisConnectionError", || stack.cluster.kill("redis"), || {}, || stack.again());
    is_told(&stack, "QflowTargetDown", || stack.cluster.kill("runner-1"), || {}, || stack.again());
    object(&stack.cluster.run(2, &hello), 0);
}
