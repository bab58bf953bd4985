//! What came of the cases: a line each, and the whole as JSON and as `JUnit`'s XML.

use std::{fmt::Write as _, path::Path, time::Duration};

use serde_json::{Value, json};

use super::cases::Case;
use crate::{outln, render::printable};

/// What came of one case.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) run_id: String,
    pub(super) took: Duration,
    /// Why it failed; may have several lines.
    pub(super) why: Option<String>,
    pub(super) result: Option<Value>,
    pub(super) error_type: Option<String>,
    /// The last lines that the run's code wrote, where it failed.
    pub(super) lines: Vec<String>,
}

impl Verdict {
    /// A case that came to no run, or to no end.
    pub(super) fn refused(why: String, took: Duration) -> Self {
        Self { took, why: Some(why), ..Self::default() }
    }

    /// What there is to read of a failed case.
    fn told(&self) -> String {
        let mut told = self.why.clone().unwrap_or_default();
        if !self.lines.is_empty() {
            told = format!("{}\nit wrote:\n{}", told.trim_end(), self.lines.join("\n"));
        }
        told
    }
}

struct Row {
    name: String,
    workflow: String,
    verdict: Verdict,
}

/// All that has come so far.
pub(super) struct Report {
    /// The file as it was named.
    file: String,
    /// Its name without folder and ending.
    stem: String,
    /// Whether each line is printed as it comes.
    live: bool,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(file: &Path, live: bool) -> Self {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { file: file.display().to_string(), stem, live, rows: Vec::new() }
    }

    /// Takes a case in, and prints its line.
    pub(super) fn add(&mut self, case: &Case, verdict: Verdict) {
        let row = Row { name: case.name.clone(), workflow: case.workflow.clone(), verdict };
        if self.live {
            outln!("{}", line(&row));
        }
        self.rows.push(row);
    }

    pub(super) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.verdict.why.is_some()).count()
    }

    fn took(&self) -> Duration {
        self.rows.iter().map(|row| row.verdict.took).sum()
    }

    /// `2 passed, 1 failed in 1.20 s`
    pub(super) fn sum(&self) -> String {
        let failed = self.failed();
        format!("{} passed, {failed} failed in {:.2} s", self.rows.len() - failed, self.took().as_secs_f64())
    }

    /// The whole as one object.
    pub(super) fn json(&self) -> Value {
        let case = |row: &Row| {
            let Verdict { run_id, took, why, result, error_type, lines } = &row.verdict;
            let status = if why.is_some() { "failed" } else { "passed" };
            json!({
                "name": row.name, "workflow": row.workflow, "status": status, "seconds": took.as_secs_f64(),
                "run_id": run_id, "why": why, "result": result, "error_type": error_type, "lines": lines,
            })
        };
        let failed = self.failed();
        json!({
            "file": self.file, "passed": self.rows.len() - failed, "failed": failed,
            "seconds": self.took().as_secs_f64(), "cases": self.rows.iter().map(case).collect::<Vec<_>>(),
        })
    }

    /// The whole as CI servers read it.
    pub(super) fn junit(&self) -> String {
        let counts = format!(
            "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{:.3}\"",
            self.rows.len(),
            self.failed(),
            self.took().as_secs_f64()
        );
        let mut xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n");
        // Writing to a String cannot fail.
        let _ = writeln!(xml, "  <testsuite name=\"{}\" {counts}>", escaped(&self.file));
        for Row { name, workflow, verdict } in &self.rows {
            let class = escaped(&format!("{}.{workflow}", self.stem));
            let time = verdict.took.as_secs_f64();
            let _ = write!(xml, "    <testcase classname=\"{class}\" name=\"{}\" time=\"{time:.3}\"", escaped(name));
            match &verdict.why {
                None => xml.push_str("/>\n"),
                Some(why) => {
                    let first = escaped(why.lines().next().unwrap_or_default());
                    let told = escaped(&verdict.told());
                    let _ = writeln!(xml, ">\n      <failure message=\"{first}\">{told}</failure>\n    </testcase>");
                }
            }
        }
        xml + "  </testsuite>\n</testsuites>\n"
    }
}

fn line(Row { name, verdict, .. }: &Row) -> String {
    let word = if verdict.why.is_some() { "FAIL" } else { "ok  " };
    let mut line = format!("{word}  {:<48} {:.2} s", printable(name), verdict.took.as_secs_f64());
    if verdict.why.is_some() {
        for told in printable(&verdict.told()).trim_end().lines() {
            let _ = write!(line, "\n      {told}");
        }
    }
    line
}

/// Text for XML, whose characters are those that print.
fn escaped(text: &str) -> String {
    let text = printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::cases::Expected;

    fn report() -> Report {
        let mut report = Report::new(Path::new("jobs/sales.py"), false);
        let case = |name: &str| Case {
            name: name.to_owned(),
            workflow: "daily".to_owned(),
            params: std::collections::BTreeMap::new(),
            secrets: std::collections::BTreeMap::new(),
            timeout: Duration::ZERO,
            expected: Expected::Completed,
        };
        let took = Duration::from_millis(250);
        report.add(&case("a \"quiet\" day"), Verdict { took, run_id: "r1".to_owned(), ..Verdict::default() });
        let lines = vec!["load | <b>\u{1b}[2J".to_owned()];
        report.add(
            &case("x & y"),
            Verdict { lines, ..Verdict::refused("the run failed\nValueError: no\n".to_owned(), took) },
        );
        report
    }

    #[test]
    fn a_report_reads_like_a_test_runners() {
        let report = report();
        let lines: Vec<String> = report.rows.iter().map(line).collect();
        insta::assert_snapshot!(format!("{}\n{}", lines.join("\n"), report.sum()), @r#"
        ok    a "quiet" day                                    0.25 s
        FAIL  x & y                                            0.25 s
              the run failed
              ValueError: no
              it wrote:
              load | <b>�[2J
        1 passed, 1 failed in 0.50 s
        "#);
        assert_eq!(
            (report.json()["failed"].clone(), report.json()["cases"][1]["status"].clone()),
            (1.into(), "failed".into())
        );
    }

    #[test]
    fn the_xml_is_what_ci_servers_read() {
        insta::assert_snapshot!(report().junit(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites tests="2" failures="1" errors="0" skipped="0" time="0.500">
          <testsuite name="jobs/sales.py" tests="2" failures="1" errors="0" skipped="0" time="0.500">
            <testcase classname="sales.daily" name="a &quot;quiet&quot; day" time="0.250"/>
            <testcase classname="sales.daily" name="x &amp; y" time="0.250">
              <failure message="the run failed">the run failed
        ValueError: no
        it wrote:
        load | &lt;b&gt;�[2J</failure>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
