//! docs/api.md says which method refuses what. Here it is held to the cases.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use tonic::Code;

use super::{case::MethodOutcome, cases, everywhere};
use crate::harness::{label, methods, root};

#[test]
fn the_table_of_methods_is_that_of_the_cases() {
    let file = root().join("docs/api.md");
    let text = fs::read_to_string(&file).expect("docs/api.md");
    let (before, rest) = text.split_once(BEGIN).expect(BEGIN);
    let (table, after) = rest.split_once(END).expect(END);
    if env::var_os("VIRIDIAN_WRITE_DOCS").is_some() {
        let written = format!("{before}{BEGIN}{}{END}{after}", by_method());
        fs::write(file, written).expect("it can be written");
    } else {
        let hint = "docs/api.md is not what the cases are; VIRIDIAN_WRITE_DOCS=1 rewrites it";
        assert_eq!(table, by_method(), "{hint}");
    }
}

/// Each reason is explained, and each explanation is of a reason.
#[test]
fn every_reason_is_explained() {
    let text = fs::read_to_string(root().join("docs/api.md")).expect("docs/api.md");
    let explained: BTreeSet<_> = text.lines().filter_map(explanation).collect();
    let mut given: BTreeSet<_> = everywhere::REFUSALS
        .into_iter()
        .map(|(code, reason)| (name(code).to_owned(), reason.to_owned()))
        .collect();
    given.extend(
        refusals()
            .into_values()
            .flatten()
            .map(|(code, reason)| (name(Code::from_i32(code)).to_owned(), reason.to_owned())),
    );
    assert_eq!(explained, given);
}

/// The code and the reason of a row "| `REASON` | CODE | … |".
fn explanation(line: &str) -> Option<(String, String)> {
    let mut cells = line.strip_prefix("| `")?.split(" | ");
    let reason = cells.next()?.strip_suffix('`')?;
    let code = cells.next()?;
    let upper = |text: &str| text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    (upper(reason) && upper(code)).then(|| (code.to_owned(), reason.to_owned()))
}

fn by_method() -> String {
    let mut table = String::from("\n| method | refuses with |\n|---|---|\n");
    let refusals = refusals();
    for method in methods() {
        let of_it = refusals.get(&label(&method)).cloned().unwrap_or_default();
        let mut by_code: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for (code, reason) in of_it {
            by_code.entry(code).or_default().push(format!("`{reason}`"));
        }
        let codes = by_code.into_iter().map(|(code, reasons)| {
            format!("{} {}", name(Code::from_i32(code)), reasons.join(", "))
        });
        let codes = codes.collect::<Vec<_>>().join("; ");
        table.push_str(&format!("| `{}` | {codes} |\n", label(&method)));
    }
    table.push('\n');
    table
}

/// By method: the number of the code, and the reason.
fn refusals() -> BTreeMap<String, BTreeSet<(i32, &'static str)>> {
    let mut refusals: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for case in cases::all() {
        if let MethodOutcome::Refused { code, reason, .. } = case.outcome {
            refusals
                .entry(case.method.to_owned())
                .or_default()
                .insert((code.into(), reason));
        }
    }
    // By tests of their own.
    let watch = refusals.entry("WatchDeployments".to_owned()).or_default();
    watch.insert((Code::OutOfRange.into(), "RESUME_TOKEN_EXPIRED"));
    watch.insert((Code::ResourceExhausted.into(), "SLOW_CONSUMER"));
    let watch = refusals.entry("WatchRoutes".to_owned()).or_default();
    watch.insert((Code::OutOfRange.into(), "RESUME_TOKEN_EXPIRED"));
    for method in methods() {
        if everywhere::locks_a_deployment(&method) {
            let held = (Code::Aborted.into(), "DEPLOYMENT_HELD");
            let of_it = refusals.entry(label(&method)).or_default();
            of_it.insert(held);
        }
    }
    refusals
}

fn name(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        code => panic!("no method gives {code:?}"),
    }
}

const BEGIN: &str = "<!-- by method, from tests/contract/cases -->\n";
const END: &str = "<!-- end -->";
