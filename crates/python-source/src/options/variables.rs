//! Variables that a node does not set: those that Qflow sets itself, and those that come too late.

/// Where a node keeps its files, who it is, and where its programs and packages are found.
const OWN: [&str; 8] = ["HOME", "LOGNAME", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR", "TRACEPARENT", "USER"];

/// Why `env` does not take a variable, and what to do; nothing where it does.
pub(super) fn reserved(variable: &str) -> Option<(String, &'static str)> {
    let own = variable.starts_with("QFLOW_") || OWN.contains(&variable);
    // The dynamic linker reads its own as a program begins: a node's Python has begun by then.
    let late = variable.starts_with("LD_");
    if own {
        let remedy = "choose another name, or set it in the node for a program it starts: subprocess.run(…, env={…})";
        return Some((format!("Qflow sets `{variable}` of a node itself"), remedy));
    }
    let remedy = "set it in the node for a program it starts: subprocess.run(…, env={…})";
    late.then(|| (format!("`{variable}` comes too late for a node, whose Python has begun"), remedy))
}

#[cfg(test)]
mod tests {
    use super::reserved;

    #[test]
    fn what_qflow_sets_is_reserved_and_what_a_library_reads_is_not() {
        for name in ["QFLOW_SOCKET", "QFLOW_SECRET_DB", "HOME", "TMPDIR", "PATH", "PYTHONPATH", "LD_PRELOAD"] {
            assert!(reserved(name).is_some(), "{name}");
        }
        for name in ["TZ", "LANG", "OMP_NUM_THREADS", "QFLOW", "MY_HOME", "PYTHONWARNINGS", "AWS_REGION", "HTTPS_PROXY"]
        {
            assert!(reserved(name).is_none(), "{name}");
        }
    }
}
