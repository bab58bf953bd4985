//! The catalogue: the one place where a metric is named, described and bounded.

use crate::{
    define::{Kind, MetricDef, catalogue},
    labels::{
        Cache, CacheName, Class, ContainerStatus, DataSize, Delivery, Dependency, EnvironmentFailure, ExitReason,
        HttpMethod, Label, NodeStatus, NodeType, Open, PackageCount, PauseCause, Phase, PoolName, Python, RetryReason,
        RunState, RunStatus, Serialization, Truth, TypeName, Validation,
    },
};

/// Fast things, in seconds.
const F: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10.];
/// Execution of code, in seconds.
const X: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60., 120., 300., 600., 1800., 3600.];
/// Whole workflows, in seconds.
const W: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 30., 60., 300., 900., 3600., 14400., 43200., 86400.];
/// Containers, in seconds.
const C: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2., 5., 10., 20., 30., 60., 120.];
/// Installations, in seconds.
const I: &[f64] = &[0.1, 0.5, 1., 2., 5., 10., 20., 30., 60., 120., 300., 600.];
/// Bytes.
const B: &[f64] = &[
    256.,
    1024.,
    4096.,
    16384.,
    65536.,
    262_144.,
    1_048_576.,
    4_194_304.,
    16_777_216.,
    67_108_864.,
    268_435_456.,
    1_073_741_824.,
];
/// Shares of what there may be.
const R: &[f64] = &[0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.];
/// Numbers of things.
const N: &[f64] = &[1., 2., 5., 10., 20., 50., 100., 200., 500., 1000.];

catalogue! {
    /// Duration of workflow executions.
    workflow_duration: Histogram(W) = "qflow_workflow_execution_duration_seconds"
        { workflow_id: Open, status: RunStatus, python_version: Python } max 200, owner Orchestrator

    /// Workflow executions that ended.
    workflow_executions: Counter = "qflow_workflow_executions_total"
        { status: RunStatus, python_version: Python } max 45, owner Orchestrator

    /// Share of completed runs over 15 minutes, 0 to 1.
    workflow_success_rate: Live = "qflow_workflow_success_rate"
        { workflow_id: Open } max 200, owner Orchestrator

    /// Runs that have not ended, by state.
    workflows_in_state: Gauge = "qflow_workflows_in_state"
        { state: RunState } max 4, owner Orchestrator

    /// How long the oldest run of a workflow that has not ended has been running.
    workflow_oldest_running: Live = "qflow_workflow_oldest_running_seconds"
        { workflow_id: Open } max 50, owner Orchestrator

    /// Runs that are paused, by what for.
    workflows_paused: Gauge = "qflow_workflows_paused"
        { cause: PauseCause } max 3, owner Orchestrator

    /// Runs that failed, by whose failure and which.
    workflow_failures: Counter = "qflow_workflow_failures_total"
        { failure_class: Class, error_type: Open } max 100, owner Orchestrator

    /// Runs that failed, by whose failure alone: a rate of it misses no first failure, since every series is there from the start.
    workflow_failures_by_class: Counter = "qflow_workflow_failures_by_class_total"
        { failure_class: Class } max 4, owner Orchestrator

    /// Duration of node executions.
    node_duration: Histogram(X) = "qflow_node_execution_duration_seconds"
        { node_type: NodeType, node_id: Open, status: NodeStatus } max 200, owner Orchestrator

    /// Node executions that ended.
    node_executions: Counter = "qflow_node_executions_total"
        { node_type: NodeType, status: NodeStatus } max 49, owner Orchestrator

    /// Share of failed node executions over 15 minutes, 0 to 1.
    node_error_rate: Live = "qflow_node_error_rate"
        { node_type: NodeType } max 7, owner Orchestrator

    /// Attempts that are tried again.
    node_retries: Counter = "qflow_node_retries_total"
        { reason: RetryReason } max 7, owner Orchestrator

    /// From ready to the start of an attempt.
    schedule_to_start: Histogram(F) = "qflow_node_schedule_to_start_seconds"
        {  } max 1, owner Orchestrator

    /// Where the time of attempts went.
    node_phase: Histogram(C) = "qflow_node_phase_duration_seconds"
        { phase: Phase, cache: Cache } max 12, owner Orchestrator

    /// Attempts that are ready and not leased, and those of runs whose environment no runner has taken on.
    queue_depth: Gauge = "qflow_queue_depth"
        {  } max 1, owner Orchestrator

    /// For how long the run that waits longest for a runner has.
    queue_oldest_age: Gauge = "qflow_queue_oldest_age_seconds"
        {  } max 1, owner Orchestrator

    /// From ready to leased.
    queue_wait: Histogram(F) = "qflow_queue_wait_seconds"
        {  } max 1, owner Orchestrator

    /// Looks into caches, by what they found.
    cache_requests: Counter = "qflow_cache_requests_total"
        { cache: CacheName, result: Cache } max 6, owner Every

    /// Orchestrators that live, as this one knows.
    orchestrators: Gauge = "qflow_orchestrators"
        {  } max 1, owner Orchestrator

    /// Orchestrators that ended without a word that they leave; each is counted by one of the others.
    orchestrators_missed: Counter = "qflow_orchestrators_missed_total"
        {  } max 1, owner Orchestrator

    /// Shards whose runs are written here; 64 in all.
    shards_held: Gauge = "qflow_shards_held"
        {  } max 1, owner Orchestrator

    /// Leases that ran out.
    lease_expired: Counter = "qflow_lease_expired_total"
        {  } max 1, owner Orchestrator

    /// Renewals of leases that failed.
    lease_renew_failed: Counter = "qflow_lease_renew_failed_total"
        {  } max 1, owner Orchestrator

    /// Duration of commits.
    store_commit_duration: Histogram(F) = "qflow_store_commit_duration_seconds"
        {  } max 1, owner Orchestrator

    /// Runs a commit writes.
    store_commit_batch: Histogram(N) = "qflow_store_commit_batch_size"
        {  } max 1, owner Orchestrator

    /// Connections of a pool: of Redis, which many calls share, those that are up.
    pool_size: Gauge = "qflow_pool_size"
        { pool: PoolName } max 3, owner Every

    /// Connections of a pool that are in use: of Redis, those that owe an answer.
    pool_in_use: Gauge = "qflow_pool_in_use"
        { pool: PoolName } max 3, owner Every

    /// How long callers waited for a connection of a pool: of Redis, how long words waited to go out.
    pool_wait: Histogram(F) = "qflow_pool_wait_seconds"
        { pool: PoolName } max 3, owner Every

    /// Connections of a pool that could not be had, and calls of Redis that failed or found no room.
    pool_errors: Counter = "qflow_pool_errors_total"
        { pool: PoolName } max 3, owner Every

    /// From the producer's commit to the consumer's start.
    data_flow: Histogram(X) = "qflow_data_flow_duration_seconds"
        { source_node_type: NodeType, target_node_type: NodeType } max 49, owner Orchestrator

    /// Time in user code.
    python_execution: Histogram(X) = "qflow_python_code_execution_duration_seconds"
        { python_version: Python, node_id: Open } max 85, owner ContainerRunner

    /// Time to install requirements.
    dependency_installation: Histogram(I) = "qflow_python_dependency_installation_duration_seconds"
        { python_version: Python, package_count: PackageCount } max 45, owner ContainerRunner

    /// Environments that did not come about, by why: what no versions satisfy is its author's, the rest ours.
    environment_failures: Counter = "qflow_environment_failures_total"
        { python_version: Python, reason: EnvironmentFailure } max 27, owner ContainerRunner

    /// Time to create a container.
    container_creation: Histogram(C) = "qflow_python_container_creation_duration_seconds"
        { python_version: Python } max 9, owner ContainerRunner

    /// Containers alive.
    active_containers: Gauge = "qflow_active_containers"
        { python_version: Python, status: ContainerStatus } max 45, owner ContainerRunner

    /// Use of the processors that a container may use, 0 to 100.
    container_cpu: Live = "qflow_container_cpu_usage_percent"
        { container_id: Open, python_version: Python } max 100, owner ContainerRunner

    /// Memory that a container cannot give back.
    container_memory: Live = "qflow_container_memory_usage_bytes"
        { container_id: Open, python_version: Python } max 100, owner ContainerRunner

    /// Memory that a container may use.
    container_memory_limit: Live = "qflow_container_memory_limit_bytes"
        { container_id: Open, python_version: Python } max 100, owner ContainerRunner

    /// Bytes that a container has written: its temporary folder, since its image is not written to.
    container_disk: Live = "qflow_container_disk_usage_bytes"
        { container_id: Open, python_version: Python } max 100, owner ContainerRunner

    /// Processor time of attempts.
    container_cpu_seconds: Sum = "qflow_container_cpu_seconds_total"
        {  } max 1, owner ContainerRunner

    /// Time for which attempts were held back, since they had used up their processors.
    container_throttled: Sum = "qflow_container_cpu_throttled_seconds_total"
        {  } max 1, owner ContainerRunner

    /// The most memory that an attempt had, as a share of what it may have.
    container_peak_memory: Histogram(R) = "qflow_container_peak_memory_ratio"
        {  } max 1, owner ContainerRunner

    /// Containers that ended.
    container_exits: Counter = "qflow_container_exits_total"
        { reason: ExitReason } max 8, owner ContainerRunner

    /// Attempts that ran out of memory.
    container_oom_kills: Counter = "qflow_container_oom_kills_total"
        {  } max 1, owner ContainerRunner

    /// Whether a version's environment can be had, 0 or 1.
    python_available: Gauge = "qflow_python_environment_available"
        { python_version: Python } max 9, owner ContainerRunner

    /// Containers that should be warm.
    warm_pool_target: Gauge = "qflow_warm_pool_target"
        {  } max 1, owner ContainerRunner

    /// Containers that are warm.
    warm_pool_available: Gauge = "qflow_warm_pool_available"
        {  } max 1, owner ContainerRunner

    /// Attempts that found no warm container.
    warm_pool_misses: Counter = "qflow_warm_pool_misses_total"
        {  } max 1, owner ContainerRunner

    /// Time to serialize values.
    serialization: Histogram(F) = "qflow_data_serialization_duration_seconds"
        { serialization_type: Serialization, data_size_bytes: DataSize } max 24, owner ContainerRunner

    /// Bytes of values handed from node to node.
    transfer_size: Histogram(B) = "qflow_data_transfer_size_bytes"
        { source_node_type: NodeType, target_node_type: NodeType } max 49, owner ContainerRunner

    /// Time to validate types: edges and parameters where workflows are judged, values where they are made.
    type_validation: Histogram(F) = "qflow_type_validation_duration_seconds"
        { validation_type: Validation } max 4, owner TypeValidator + ContainerRunner

    /// Checks of one type against another.
    type_checks: Counter = "qflow_type_compatibility_checks_total"
        { source_type: TypeName, target_type: TypeName, compatible: Truth } max 578, owner TypeValidator

    /// Time to convert values.
    type_conversion: Histogram(F) = "qflow_type_conversion_duration_seconds"
        { from_type: TypeName, to_type: TypeName } max 45, owner ContainerRunner

    /// Whether a dependency is up, 0 or 1.
    dependency_up: Gauge = "qflow_dependency_up"
        { dependency: Dependency, critical: Truth } max 22, owner HealthAggregator

    /// Duration of checks of a dependency.
    health_check_duration: Histogram(F) = "qflow_health_check_duration_seconds"
        { dependency: Dependency } max 11, owner HealthAggregator

    /// Age of what is known of a dependency.
    health_check_age: Gauge = "qflow_health_check_age_seconds"
        { dependency: Dependency } max 11, owner HealthAggregator

    /// Duration of calls served.
    rpc_server: Histogram(F) = "rpc_server_call_duration_seconds"
        { rpc_method: Open, rpc_response_status_code: Open } max 120, owner Every

    /// Calls served that failed by the server's fault, whatever the method.
    rpc_faults: Counter = "qflow_rpc_server_faults_total"
        {  } max 1, owner Every

    /// Duration of calls made.
    rpc_client: Histogram(F) = "rpc_client_call_duration_seconds"
        { rpc_method: Open, rpc_response_status_code: Open } max 40, owner Every

    /// Duration of HTTP requests until their answer begins; 499: whoever asked has gone before.
    http_server: Histogram(F) = "http_server_request_duration_seconds"
        { http_request_method: HttpMethod, http_route: Open, http_response_status_code: Open } max 36, owner Every

    /// Label sets that did not fit the bound of a metric, by that metric.
    label_overflow: Counter = "qflow_telemetry_label_overflow_total"
        { metric: Open } max 20, owner Every

    /// Log lines that were not written.
    log_lines_dropped: Counter = "qflow_log_lines_dropped_total"
        {  } max 1, owner Every

    /// Log lines by what became of them.
    log_lines: Counter = "qflow_telemetry_log_lines_total"
        { outcome: Delivery } max 2, owner Every

    /// Spans by what became of them.
    spans: Counter = "qflow_telemetry_spans_total"
        { outcome: Delivery } max 2, owner Every

    /// 1, with the version.
    build_info: Gauge = "qflow_build_info"
        { service: Open, version: Open } max 8, owner Every

    /// CPU time in user and system mode.
    process_cpu: Sum = "process_cpu_seconds_total"
        {  } max 1, owner Every

    /// Memory in use.
    process_resident_memory: Gauge = "process_resident_memory_bytes"
        {  } max 1, owner Every

    /// Memory mapped.
    process_virtual_memory: Gauge = "process_virtual_memory_bytes"
        {  } max 1, owner Every

    /// Open file descriptors.
    process_open_fds: Gauge = "process_open_fds"
        {  } max 1, owner Every

    /// Most file descriptors that may be open.
    process_max_fds: Gauge = "process_max_fds"
        {  } max 1, owner Every

    /// Threads.
    process_threads: Gauge = "process_threads"
        {  } max 1, owner Every

    /// Start of the process since 1970.
    process_start_time: Gauge = "process_start_time_seconds"
        {  } max 1, owner Every

    /// Threads that run tasks.
    tokio_workers: Gauge = "tokio_workers"
        {  } max 1, owner Every

    /// Tasks that have not ended.
    tokio_alive_tasks: Gauge = "tokio_alive_tasks"
        {  } max 1, owner Every

    /// Tasks that wait for a thread.
    tokio_queue_depth: Gauge = "tokio_global_queue_depth"
        {  } max 1, owner Every

    /// Time that threads spent in tasks.
    tokio_busy: Sum = "tokio_busy_seconds_total"
        {  } max 1, owner Every
}

/// The counter that families feed themselves, one series each.
pub(crate) const OVERFLOW: &str = label_overflow.name;
