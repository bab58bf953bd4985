//! Whether a value of one type goes where another is declared. Each figure is of one edge.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qflow_criterion::{ORDINARY, RECORDS, classes, types, varied};
use qflow_model::class::Classes;
use qflow_types::{Edges, assignable, assignable_among, convertible};

fn edges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("edge");
    group.throughput(Throughput::Elements(1));
    let ordinary = types(ORDINARY);
    let mut next = ordinary.iter().cycle();
    group.bench_function("ordinary", |bench| {
        bench.iter(|| {
            let (source, target) = next.next().expect("it goes round");
            black_box(assignable(black_box(source), black_box(target)).is_ok())
        });
    });
    let none = Classes::new();
    let known = Edges::among(&none);
    let mut next = ORDINARY.iter().cycle();
    group.bench_function("ordinary, known as written", |bench| {
        bench.iter(|| {
            let (source, target) = next.next().expect("it goes round");
            black_box(known.written(black_box(source), black_box(target)).is_some())
        });
    });
    let mut next = ordinary.iter().cycle();
    group.bench_function("ordinary, known", |bench| {
        bench.iter(|| {
            let (source, target) = next.next().expect("it goes round");
            black_box(known.assignable(black_box(source), black_box(target)).is_ok())
        });
    });
    let (varied, own) = varied();
    let mut next = varied.iter().cycle();
    group.bench_function("varied", |bench| {
        bench.iter(|| {
            let (source, target) = next.next().expect("it goes round");
            black_box(assignable_among(black_box(source), black_box(target), &own).is_ok())
        });
    });
    let known = Edges::among(&own);
    let mut next = varied.iter().cycle();
    group.bench_function("varied, known", |bench| {
        bench.iter(|| {
            let (source, target) = next.next().expect("it goes round");
            black_box(known.assignable(black_box(source), black_box(target)).is_ok())
        });
    });
    let (records, classes) = (types(RECORDS), classes());
    let mut next = records.iter().cycle();
    group.bench_function("records", |bench| {
        bench.iter(|| {
            let (source, target) = next.next().expect("it goes round");
            black_box(assignable_among(black_box(source), black_box(target), &classes).is_ok())
        });
    });
    let mut next = ordinary.iter().cycle();
    group.bench_function("convertible", |bench| {
        bench.iter(|| {
            let (source, target) = next.next().expect("it goes round");
            black_box(convertible(black_box(source), black_box(target), &none))
        });
    });
    let mut next = ORDINARY.iter().cycle();
    group.bench_function("read an annotation", |bench| {
        bench.iter(|| qflow_python_source::annotation(next.next().expect("it goes round").1).expect("a type"));
    });
}

criterion_group!(benches, edges);
criterion_main!(benches);
