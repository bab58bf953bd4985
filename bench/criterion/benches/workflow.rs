//! A workflow of 10,000 edges: its types alone, and from its source to the last word on it. Goal 12 has 10 ms for the types.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use qflow_criterion::large_workflow;
use qflow_type_validator::validate::{check, inspect};

fn workflow(criterion: &mut Criterion) {
    let source = large_workflow();
    let read = qflow_python_source::read(&source);
    assert_eq!(read.problems, [], "it is sound");
    let inspected = inspect(&source);
    assert_eq!(inspected.problems, [], "all edges go");
    let edges: usize = inspected.edges.values().map(Vec::len).sum();
    assert!((9_990..=10_000).contains(&edges), "{edges} edges");
    let mut group = criterion.benchmark_group("workflow");
    group.throughput(Throughput::Elements(edges as u64)).sample_size(30);
    group.bench_function("check", |bench| {
        bench.iter_batched(|| read.definition.clone(), check, BatchSize::LargeInput);
    });
    group.bench_function("read and check", |bench| bench.iter(|| inspect(&source)));
}

criterion_group!(benches, workflow);
criterion_main!(benches);
