//! What is made of a value is what pydantic's lax mode makes of it, or a rule of `differences.rs` says why not. Pydantic runs in a
//! container, or where there is no Docker in a virtual environment of this machine, which is told then.

mod differences;
mod pairs;
mod texts;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use qflow_types::{Ty, value};
use serde_json::{Value, json};

use differences::{Pair, Side};

/// Pairs of deeper types, by the generator.
const DEEPER: usize = 6_000;
/// Differences that are listed when some have no rule.
const LISTED: usize = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A value and the type that it is given for; the parts of the deeper ones besides.
fn pairs() -> Vec<(Value, String)> {
    let scalars = pairs::scalars();
    let mut all: Vec<(Value, String)> = Vec::new();
    for value in &scalars {
        let types = pairs::SCALARS.iter().chain(pairs::CLASSES);
        all.extend(types.map(|ty| (value.clone(), (*ty).to_owned())));
    }
    all.extend(pairs::descriptions().into_iter().map(|(value, ty)| (value, ty.to_owned())));
    let mut numbers = pairs::Numbers(7);
    for _ in 0..DEEPER {
        let ty = numbers.ty(2);
        // As it is spelled: `None | None` is nothing that Python reads.
        let spelled = ty.parse::<Ty>().expect("a type").to_string();
        all.push((numbers.value(&ty, &scalars), spelled));
    }
    let mut known: BTreeSet<String> = all.iter().map(|(value, ty)| format!("{value} as {ty}")).collect();
    let mut parts = Vec::new();
    for (value, ty) in &all {
        of_parts(value, &ty.parse().expect("a type"), &mut |value, ty| {
            if known.insert(format!("{value} as {ty}")) {
                parts.push((value.clone(), ty.to_string()));
            }
        });
    }
    all.extend(parts);
    all
}

/// Each part of a value with the type that it is given for: members of a union have the whole value.
/// Fields have theirs.
fn of_parts(value: &Value, ty: &Ty, each: &mut dyn FnMut(&Value, &Ty)) {
    let part = |value: &Value, ty: &Ty, each: &mut dyn FnMut(&Value, &Ty)| {
        each(value, ty);
        of_parts(value, ty, each);
    };
    let items = qflow_model::tagged::items(value).unwrap_or_default();
    match ty {
        Ty::Union(members) => members.iter().for_each(|member| part(value, member, each)),
        Ty::Tuple(types) => items.iter().zip(types).for_each(|(item, ty)| part(item, ty, each)),
        Ty::Tuples(item_ty) => items.iter().for_each(|item| part(item, item_ty, each)),
        Ty::Generic(name, types) if name == "Counter" => {
            let counts = Ty::Generic("dict".to_owned(), vec![types[0].clone(), Ty::class("int")]);
            of_parts(value, &counts, each);
        }
        Ty::Generic(_, types) if types.len() == 2 => {
            for (key, inner) in
                value.as_object().into_iter().flatten().filter(|_| qflow_model::tagged::tag(value).is_none())
            {
                part(&Value::from(key.as_str()), &types[0], each);
                part(inner, &types[1], each);
            }
        }
        Ty::Class(name) => {
            let classes = pairs::classes();
            for field in classes.get(name).into_iter().flat_map(|class| &class.fields) {
                if let Some(inner) = value.get(&field.name) {
                    part(inner, &field.ty.0.parse().expect("a type"), each);
                }
            }
        }
        Ty::Generic(_, types) => items.iter().for_each(|item| part(item, &types[0], each)),
        _ => {}
    }
}

/// What pydantic answers for each pair, in order.
fn asked(pairs: &[(Value, String)]) -> Vec<Value> {
    let made = Command::new(root().join("deploy/local/pydantic")).output().expect("the script starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    print!("{}", String::from_utf8_lossy(&made.stderr));
    let command = String::from_utf8(made.stdout).expect("UTF-8");
    let mut words = command.lines();
    let in_container = command.starts_with("docker\n");
    // As the script spells it, which is where the clone is mounted.
    let program = std::fs::canonicalize(root()).expect("the root is there").join("crates/types/tests/pydantic/lax.py");
    let mut child = Command::new(words.next().expect("a program"))
        .args(words)
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines: Vec<u8> = pairs
        .iter()
        .flat_map(|(value, ty)| format!("{}\n", json!({"value": value, "type": ty})).into_bytes())
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(&lines));
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "pydantic's side broke down");
    writer.join().expect("it writes").expect("it reads all");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(answers[0]["pydantic"].as_str().is_some_and(|version| version.starts_with("2.")), "{}", answers[0]);
    // What the script says is held to what the program sees.
    assert_eq!(answers[0]["container"], in_container, "{}", answers[0]);
    println!("{}", answers[0]);
    answers[1..].to_vec()
}

/// Where the two differ, if they do.
fn side(ours: Option<&Value>, theirs: Option<&Value>) -> Option<Side> {
    match (ours, theirs) {
        (None, None) => None,
        (Some(_), None) => Some(Side::Ours),
        (None, Some(_)) => Some(Side::Theirs),
        (Some(ours), Some(theirs)) => (!same(ours, theirs)).then_some(Side::Both),
    }
}

/// Whether two values are one: their forms, but for the order of a set.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            if let (Some("set" | "frozenset"), Some(Value::Array(a)), Some(Value::Array(b))) =
                (one.get("$").and_then(Value::as_str), one.get("v"), other.get("v"))
            {
                let sorted = |items: &[Value]| items.iter().map(Value::to_string).collect::<BTreeSet<_>>();
                return one["$"] == other["$"] && sorted(a) == sorted(b);
            }
            one.len() == other.len() && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| same(a, b)))
        }
        // `0.0` and `-0.0` are two floats.
        (Value::Number(one), Value::Number(other)) => format!("{one}") == format!("{other}"),
        _ => one == other,
    }
}

#[test]
fn what_is_made_is_what_pydantic_makes_but_where_a_rule_says_why_not() {
    let pairs = pairs();
    let answers = asked(&pairs);
    assert_eq!(answers.len(), pairs.len());
    let classes = pairs::classes();
    let made = |value: &Value, ty: &Ty| value::convert(value, ty, &classes);
    let mut sides = BTreeMap::new();
    for ((value, text), theirs) in pairs.iter().zip(&answers) {
        let ours = made(value, &text.parse().expect("a type"));
        sides.insert(format!("{value} as {text}"), side(ours.as_ref().ok(), theirs.get("made")));
    }
    let (mut unnamed, mut used, mut agreed) = (Vec::new(), BTreeMap::<&str, usize>::new(), [0, 0]);
    for ((value, text), theirs) in pairs.iter().zip(&answers) {
        let ty: Ty = text.parse().expect("a type");
        let ours = made(value, &ty);
        let Some(side) = sides[&format!("{value} as {text}")] else {
            agreed[usize::from(ours.is_ok())] += 1;
            continue;
        };
        let mut rules = differences::of(&Pair { value, ty: &ty, side, classes: &classes });
        // Of a value that holds others a part says why: one that differs itself.
        of_parts(value, &ty, &mut |value, ty| {
            if let Some(Some(side)) = sides.get(&format!("{value} as {ty}")) {
                rules.extend(differences::of(&Pair { value, ty, side: *side, classes: &classes }));
            }
        });
        for rule in rules.iter().collect::<BTreeSet<_>>() {
            *used.entry(rule).or_default() += 1;
        }
        if rules.is_empty() {
            let ours = ours.as_ref().map_or_else(|error| format!("no: {error}"), Value::to_string);
            unnamed.push(format!("{value} as {text}: we {ours}, pydantic {theirs}"));
        }
    }
    println!(
        "{} pairs: {} made alike, {} refused alike; differences by rule: {used:?}",
        pairs.len(),
        agreed[1],
        agreed[0]
    );
    assert!(pairs.len() > 12_000 && agreed[1] > 3_000 && agreed[0] > 3_000, "too little to tell");
    let count = unnamed.len();
    unnamed.truncate(LISTED);
    assert!(unnamed.is_empty(), "{count} differences that no rule names:\n{}", unnamed.join("\n"));
    let unused: Vec<_> =
        differences::ALL.iter().map(|rule| rule.name).filter(|name| !used.contains_key(name)).collect();
    assert!(unused.is_empty(), "rules that nothing uses: {unused:?}");
}
