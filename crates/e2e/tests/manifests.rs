//! What lies in deploy/k8s: what is made from other files is fresh, and what stands there by hand agrees with what the programs say.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use qflow_e2e::{program, root, sources};
use qflow_telemetry::CATALOGUE;
use serde_json::Value;

const SERVICES: [&str; 4] = ["orchestrator", "container-runner", "type-validator", "health-aggregator"];
/// The first line of what is made; comments in YAML and in files of variables begin alike.
const MADE: &str = "by `UPDATE=1 make contract`; not edited by hand.\n";

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file.
fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let read = documents.map(serde::Deserialize::deserialize);
    read.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder that end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(&inside).unwrap_or_else(|error| panic!("{}: {error}", inside.display())) {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Every object that deploy/k8s has, with its file.
fn objects() -> Vec<(PathBuf, Value)> {
    let all = files(&root().join("deploy/k8s"), ".yaml").into_iter();
    let each = all.flat_map(|path| documents(&path).into_iter().map(move |one| (path.clone(), one)));
    each.filter(|(_, one)| one["kind"].is_string()).collect()
}

/// The variables of a program that have a default, by what it says of itself.
fn defaults(service: &str) -> BTreeMap<String, String> {
    let program = program().with_file_name(format!("qflow-{service}"));
    let said = Command::new(program).arg("--help").env_clear().output().expect("the program starts");
    let said = String::from_utf8(said.stdout).expect("help is a text");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let options = said.split("[env: ").skip(1);
    let with_default = options.filter_map(|rest| {
        let (name, rest) = rest.split_once(']')?;
        let value = rest.strip_prefix(" [default: ")?.split_once(']')?.0;
        Some((name.trim_end_matches('=').to_owned(), value.to_owned()))
    });
    with_default.collect()
}

/// What is made, by its path from the root.
fn made() -> BTreeMap<String, String> {
    let mut made = BTreeMap::new();
    for service in SERVICES {
        let lines: String = defaults(service).iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let path = format!("deploy/k8s/base/generated/{service}.env");
        made.insert(path, format!("# What `qflow-{service} --help` tells, {MADE}{lines}"));
    }
    for (stem, name) in [("qflow", "qflow-alerts"), ("slo", "qflow-slo")] {
        let from = format!("alerts/{stem}.rules.yml");
        let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
        let spec: String = text(&from).lines().map(indented).collect();
        let head = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n";
        let labels = "  labels: {release: kube-prometheus-stack}\nspec:\n";
        let rule = format!("# {from}, {MADE}{head}  name: {name}\n  namespace: qflow\n{labels}{spec}");
        made.insert(format!("deploy/k8s/components/prometheus-operator/generated/{stem}.rules.yaml"), rule);
    }
    for path in files(&root().join("dashboards"), ".json") {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        made.insert(format!("deploy/k8s/components/grafana/generated/{name}"), text(&format!("dashboards/{name}")));
    }
    let collector = text("deploy/otel-collector/config.yaml");
    made.insert("deploy/k8s/components/otel-collector/generated/config.yaml".to_owned(), collector);
    made
}

#[test]
fn what_is_made_for_kubernetes_is_fresh() {
    let made = made();
    if std::env::var_os("UPDATE").is_some() {
        for (path, text) in &made {
            std::fs::write(root().join(path), text).expect("deploy takes files");
        }
    }
    let stale: Vec<&String> = made
        .iter()
        .filter(|(path, text)| std::fs::read_to_string(root().join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path)
        .collect();
    assert!(stale.is_empty(), "run `UPDATE=1 make contract`: {stale:#?}");
    let there =
        files(&root().join("deploy/k8s"), "").into_iter().filter(|path| path.to_string_lossy().contains("/generated/"));
    let left: Vec<PathBuf> = there.filter(|path| !made.keys().any(|made| path.ends_with(made))).collect();
    assert!(left.is_empty(), "nothing makes these any more: {left:#?}");
    let listed = text("deploy/k8s/components/grafana/kustomization.yaml");
    let missing: Vec<&String> = made
        .keys()
        .filter(|path| path.contains("/grafana/"))
        .filter(|path| !listed.contains(&format!("[generated/{}]", path.rsplit('/').next().unwrap_or_default())))
        .collect();
    assert!(missing.is_empty(), "dashboards that are no ConfigMap: {missing:#?}");
}

#[test]
fn every_program_says_its_defaults() {
    for (service, at_least) in SERVICES.into_iter().zip([5, 6, 2, 20]) {
        let found = defaults(service);
        assert!(found.len() >= at_least, "{service}: {found:#?}");
        assert!(found.values().all(|value| !value.contains(' ')), "a value is one word: {found:#?}");
    }
}

/// Jobs that a text of rules or of Prometheus' configuration names.
fn jobs(text: &str, before: &str, after: char) -> BTreeSet<String> {
    let names = text.split(before).skip(1).filter_map(|rest| rest.split(after).next());
    let ours = names.filter(|name| name.starts_with("qflow-") || *name == "otel-collector");
    ours.filter(|name| !name.contains(['.', '(', '+'])).map(str::to_owned).collect()
}

#[test]
fn pods_are_scraped_under_the_jobs_that_the_rules_name() {
    let objects = objects();
    let monitors: Vec<&Value> = objects.iter().map(|(_, one)| one).filter(|one| one["kind"] == "PodMonitor").collect();
    let mut scraped = BTreeSet::new();
    for monitor in &monitors {
        let label = word(&monitor["spec"]["jobLabel"]);
        let job = word(&monitor["spec"]["selector"]["matchLabels"][label]);
        assert!(!job.is_empty(), "the label that `job` is taken from is selected by: {monitor:#}");
        let carrier =
            objects.iter().map(|(_, one)| one).find(|one| one["spec"]["template"]["metadata"]["labels"][label] == job);
        let carrier = carrier.unwrap_or_else(|| panic!("no Pods have {label}={job}"));
        let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
        let ports = list(&carrier["spec"]["template"]["spec"]["containers"][0]["ports"]);
        assert!(ports.iter().any(|one| one["name"] == *port), "{job} has no port {port}");
        scraped.insert(job.to_owned());
    }
    assert_eq!(
        scraped,
        jobs(&text("deploy/prometheus/prometheus.yml"), "job_name: ", '\n'),
        "as the plain Prometheus has them"
    );
    for rules in ["alerts/qflow.rules.yml", "alerts/slo.rules.yml"] {
        let mut named = jobs(&text(rules), "job=\"", '"');
        // The embedded one is no Pod.
        named.remove("qflow-dev");
        assert!(named.is_subset(&scraped), "{rules} names {named:?}");
    }
}

/// The seconds of a constant `NAME: Duration = Duration::from_secs(N)` of crates/service.
fn seconds(file: &str, name: &str) -> u64 {
    let source = text(&format!("crates/service/src/{file}.rs"));
    let rest = source.split(&format!("const {name}: Duration = Duration::from_secs(")).nth(1);
    rest.and_then(|rest| rest.split(')').next()?.parse().ok()).unwrap_or_else(|| panic!("{file}.rs has {name}"))
}

#[test]
fn a_pod_is_given_the_time_that_its_drain_takes_and_is_asked_where_its_probes_are() {
    // Listeners, the admin port's last requests and its closing, what is left of the runtime.
    let drain = seconds("server", "DRAIN") + 2 * seconds("admin", "LAST") + seconds("process", "LEFT");
    for service in SERVICES {
        let all = documents(&root().join(format!("deploy/k8s/base/{service}.yaml")));
        let workload = all.iter().find(|one| one["spec"]["template"].is_object()).expect("there is a workload");
        let pod = &workload["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("it waits");
        let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("it has time");
        assert!(before >= 5 && grace >= before + 2 * drain, "{service}: {grace} s for {before} and {drain}");
        let probes = [("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")];
        for (probe, path) in probes {
            let get = &container[probe]["httpGet"];
            assert_eq!((word(&get["path"]), word(&get["port"])), (path, "admin"), "{service}: {probe}");
        }
        let settings = text(&format!("deploy/k8s/base/settings/{service}.env"));
        let ports = list(&container["ports"]);
        for (name, said) in settings.lines().filter_map(|line| line.split_once("=0.0.0.0:")) {
            assert!(
                ports.iter().any(|port| port["containerPort"].as_u64() == said.parse().ok()),
                "{service}: {name} is no port"
            );
        }
        let account = all.iter().find(|one| one["kind"] == "ServiceAccount").expect("there is an account");
        assert_eq!([&account["automountServiceAccountToken"], &pod["automountServiceAccountToken"]], [false, false]);
    }
}

#[test]
fn what_the_manifests_set_is_a_setting_and_their_images_are_of_this_version() {
    let k8s = root().join("deploy/k8s");
    let mut all = String::new();
    for path in files(&k8s, ".yaml").into_iter().chain(files(&k8s, ".env")) {
        if !path.to_string_lossy().contains("/generated/") {
            all.push_str(&std::fs::read_to_string(&path).expect("it reads"));
        }
    }
    // The collector's and Filebeat's own are no setting of ours.
    let of_others = ["QFLOW_OTLP_TARGET", "QFLOW_ELASTICSEARCH"];
    let words = all.split(|c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()));
    let set: BTreeSet<&str> = words.filter(|word| word.starts_with("QFLOW_") && !of_others.contains(word)).collect();
    assert!(set.len() >= 20, "services are told much: {set:?}");
    let sources = sources();
    let read =
        |name: &str| sources.iter().any(|(path, text)| !path.contains("e2e") && text.contains(&format!("\"{name}\"")));
    let unknown: Vec<&&str> = set.iter().filter(|name| !read(name)).collect();
    assert!(unknown.is_empty(), "no program reads {unknown:?}");
    let version = text("Cargo.toml");
    let version =
        version.lines().find_map(|line| line.strip_prefix("version = ")).expect("there is a version").trim_matches('"');
    let tags: BTreeSet<&str> = all.split("newTag: ").skip(1).filter_map(|rest| rest.split('}').next()).collect();
    assert_eq!(tags, BTreeSet::from([version]), "of the images");
}

#[test]
fn what_runners_are_scaled_by_is_measured() {
    let objects = objects();
    let scaled = objects.iter().map(|(_, one)| one).find(|one| one["kind"] == "ScaledObject").expect("there is one");
    let query = word(&scaled["spec"]["triggers"][0]["metadata"]["query"]);
    let measured = CATALOGUE.iter().filter(|row| query.contains(row.name)).count();
    assert_eq!(measured, 1, "{query}");
}
