//! A value checked and converted, 10,000 rows each; beside pydantic-core the check is in `make bench` (goal 12).

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use qflow_criterion::{classes, rows};
use qflow_model::class::Classes;
use qflow_types::{Ty, value};

const ROWS: u32 = 10_000;

fn values(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("value");
    let (tree, classes) = (rows(ROWS), classes());
    let bytes = value::encode(&tree).bytes;
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    let mappings: Ty = "list[dict[str, int | str | float | None]]".parse().expect("a type");
    group.bench_function("check mappings", |bench| {
        bench.iter(|| value::check_encoding(black_box(&bytes), &mappings, &Classes::new()).expect("it fits"));
    });
    let records: Ty = "list[Row]".parse().expect("a type");
    group.bench_function("check TypedDicts", |bench| {
        bench.iter(|| value::check_encoding(black_box(&bytes), &records, &classes).expect("it fits"));
    });
    let decimals: Ty = "tuple[dict[str, str | Decimal | None], ...]".parse().expect("a type");
    group.bench_function("convert", |bench| {
        let convert = |given| value::convert_taken(given, &decimals, &Classes::new(), true);
        bench.iter_batched(|| tree.clone(), |given| convert(given).expect("it converts"), BatchSize::LargeInput);
    });
    let text = value::to_plain(&tree).to_string();
    group.bench_function("read as a parameter", |bench| {
        bench.iter(|| value::from_json(black_box(text.as_bytes()), &records, &classes).expect("it reads"));
    });
}

criterion_group!(benches, values);
criterion_main!(benches);
