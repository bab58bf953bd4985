//! The metrics of the document that Qflow was born from: their names, kinds and label keys are public, and stay.

use qflow_telemetry::{
    CATALOGUE,
    define::Kind::{self, Counter, Gauge, Histogram},
};

/// Each as that document has it: its name, its kind, its label keys in their order.
const SEED: [(&str, Kind, &[&str]); 19] = [
    ("qflow_workflow_execution_duration_seconds", Histogram, &["workflow_id", "status", "python_version"]),
    ("qflow_workflow_executions_total", Counter, &["status", "python_version"]),
    ("qflow_workflow_success_rate", Gauge, &["workflow_id"]),
    ("qflow_node_execution_duration_seconds", Histogram, &["node_type", "node_id", "status"]),
    ("qflow_node_executions_total", Counter, &["node_type", "status"]),
    ("qflow_node_error_rate", Gauge, &["node_type"]),
    ("qflow_python_code_execution_duration_seconds", Histogram, &["python_version", "node_id"]),
    ("qflow_python_dependency_installation_duration_seconds", Histogram, &["python_version", "package_count"]),
    ("qflow_python_container_creation_duration_seconds", Histogram, &["python_version"]),
    ("qflow_container_cpu_usage_percent", Gauge, &["container_id", "python_version"]),
    ("qflow_container_memory_usage_bytes", Gauge, &["container_id", "python_version"]),
    ("qflow_container_disk_usage_bytes", Gauge, &["container_id", "python_version"]),
    ("qflow_active_containers", Gauge, &["python_version", "status"]),
    ("qflow_type_validation_duration_seconds", Histogram, &["validation_type"]),
    ("qflow_type_compatibility_checks_total", Counter, &["source_type", "target_type", "compatible"]),
    ("qflow_type_conversion_duration_seconds", Histogram, &["from_type", "to_type"]),
    ("qflow_data_serialization_duration_seconds", Histogram, &["serialization_type", "data_size_bytes"]),
    ("qflow_data_transfer_size_bytes", Histogram, &["source_node_type", "target_node_type"]),
    ("qflow_data_flow_duration_seconds", Histogram, &["source_node_type", "target_node_type"]),
];

#[test]
fn the_seeds_metrics_keep_their_names_kinds_and_label_keys() {
    for (name, kind, labels) in SEED {
        let row = CATALOGUE.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name} has no row"));
        let keys: Vec<&str> = row.labels.iter().map(|(key, _)| *key).collect();
        assert_eq!((row.kind, keys.as_slice()), (kind, labels), "{name}");
    }
}
