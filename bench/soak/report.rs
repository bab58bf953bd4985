//! What was seen, as a page; and what must hold.

use std::{fmt::Write as _, path::Path};

/// The page of one soak.
pub(crate) struct Report {
    head: String,
    text: String,
    gates: Vec<(String, String, bool)>,
}

/// The first value of a file of /proc, for the page's head.
fn proc(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "dates the page")]
fn today() -> anyhow::Result<String> {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    Ok(qflow_model::instant::text(qflow_model::ids::Timestamp(i64::try_from(seconds)? * 1_000_000)))
}

impl Report {
    /// Begins with what it is about.
    pub(crate) fn new(bin: &Path) -> anyhow::Result<Self> {
        let build = if bin.ends_with("release") { "release" } else { "debug" };
        let cpus = std::thread::available_parallelism()?;
        let head = format!(
            "{} · {build} build · {cpus} processors ({}) · memory {} · load average at its start {}\n",
            today()?,
            proc("/proc/cpuinfo", "model name"),
            proc("/proc/meminfo", "MemTotal"),
            proc("/proc/loadavg", ""),
        );
        Ok(Self { head, text: String::new(), gates: Vec::new() })
    }

    /// Begins a section.
    pub(crate) fn section(&mut self, title: &str, about: &str) {
        crate::say(title);
        // Writing to a String cannot fail.
        let _ = write!(self.text, "\n## {title}\n\n{about}\n\n");
    }

    /// A table.
    pub(crate) fn table<const N: usize>(&mut self, head: [&str; N], rows: &[[String; N]]) {
        let _ = writeln!(self.text, "| {} |\n|{}", head.join(" | "), "---|".repeat(N));
        for row in rows {
            let _ = writeln!(self.text, "| {} |", row.join(" | "));
            crate::say(&format!("  {}", row.join(" · ")));
        }
        self.text.push('\n');
    }

    /// A sentence.
    pub(crate) fn tell(&mut self, sentence: &str) {
        crate::say(&format!("  {sentence}"));
        let _ = writeln!(self.text, "{sentence}");
    }

    /// What must hold, and what was seen.
    pub(crate) fn gate(&mut self, must: impl Into<String>, seen: impl Into<String>, holds: bool) {
        let (must, seen) = (must.into(), seen.into());
        crate::say(&format!("  {}: {must}: {seen}", if holds { "holds" } else { "DOES NOT HOLD" }));
        self.gates.push((must, seen, holds));
    }

    /// Whether all that must hold does.
    pub(crate) fn holds(&self) -> bool {
        self.gates.iter().all(|(_, _, holds)| *holds)
    }

    /// All of it.
    pub(crate) fn page(&self) -> String {
        let mut page = format!("# Soak\n\nWritten by `make soak`; not edited by hand. {}\n", self.head);
        page.push_str("| Must hold | Seen | |\n|---|---|---|\n");
        for (must, seen, holds) in &self.gates {
            let _ = writeln!(page, "| {must} | {seen} | {} |", if *holds { "yes" } else { "**NO**" });
        }
        page + &self.text
    }
}

/// A duration, a quantile or a size as the page has it.
pub(crate) fn ms(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// Kilobytes as mebibytes.
pub(crate) fn mib(kib: u64) -> String {
    format!("{:.0} MiB", kib as f64 / 1024.0)
}

/// A quantile by rank; zero of nothing.
pub(crate) fn quantile(sample: &mut [f64], at: f64) -> f64 {
    sample.sort_unstable_by(f64::total_cmp);
    let rank = (sample.len() as f64 * at) as usize;
    sample.get(rank.min(sample.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_first_what_must_hold_and_fails_with_one_that_does_not() {
        let mut report = Report { head: "today".into(), text: String::new(), gates: Vec::new() };
        report.gate("all complete", "9 of 9", true);
        assert!(report.holds());
        report.section("A flood", "Many at once.");
        report.gate("memory is bounded", "9 GiB", false);
        assert!(!report.holds());
        let page = report.page();
        assert!(page.contains("| memory is bounded | 9 GiB | **NO** |"), "{page}");
        assert!(page.find("all complete") < page.find("## A flood"), "{page}");
    }
}
