//! Which system calls user code may make: moby's default profile, pinned, without what reads other processes or goes round the rest.
//!
//! `seccomp.json` is `default.json` of `github.com/moby/profiles/seccomp` v0.3.0 (Apache-2.0), unchanged.

use std::sync::LazyLock;

use serde_json::Value;

/// The profile as it comes.
const DEFAULT: &str = include_str!("seccomp.json");
/// Calls that are taken out, by the beginning of their names: `io_uring` does what is asked where no filter looks.
const REFUSED: [&str; 3] = ["io_uring_", "ptrace", "process_vm_"];

/// The option of a container, `seccomp=` and the profile.
pub(super) static OPTION: LazyLock<String> = LazyLock::new(|| {
    let profile = serde_json::from_str(DEFAULT).expect("the profile that is compiled in is JSON: a test reads it");
    format!("seccomp={}", without(profile))
});

/// A profile that allows none of the refused calls; a rule that names no other is gone, since a rule of no names is an error.
fn without(mut profile: Value) -> Value {
    let refused = |name: &Value| name.as_str().is_some_and(|name| REFUSED.iter().any(|r| name.starts_with(r)));
    if let Some(rules) = profile["syscalls"].as_array_mut() {
        rules.retain_mut(|rule| {
            let Some(names) = rule["names"].as_array_mut() else { return true };
            names.retain(|name| !refused(name));
            !names.is_empty()
        });
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(profile: &Value) -> Vec<&str> {
        let rules = profile["syscalls"].as_array().unwrap();
        rules.iter().flat_map(|rule| rule["names"].as_array().unwrap()).map(|name| name.as_str().unwrap()).collect()
    }

    #[test]
    fn the_profile_refuses_what_it_should_and_allows_the_rest_of_the_default() {
        let default: Value = serde_json::from_str(DEFAULT).unwrap();
        let ours: Value = serde_json::from_str(OPTION.strip_prefix("seccomp=").unwrap()).unwrap();
        assert_eq!(ours["defaultAction"], "SCMP_ACT_ERRNO");
        let (before, after) = (names(&default), names(&ours));
        assert!(
            before.contains(&"ptrace") && before.contains(&"process_vm_readv"),
            "the default has what is taken out"
        );
        let refused = |name: &&str| REFUSED.iter().any(|r| name.starts_with(r));
        assert_eq!(after, before.into_iter().filter(|name| !refused(name)).collect::<Vec<_>>());
    }

    #[test]
    fn a_profile_that_allows_io_uring_loses_it() {
        let rule = |names: &[&str]| serde_json::json!({"names": names, "action": "SCMP_ACT_ALLOW"});
        let profile = serde_json::json!({"syscalls": [rule(&["io_uring_setup", "read"]), rule(&["io_uring_enter"])]});
        assert_eq!(without(profile), serde_json::json!({"syscalls": [rule(&["read"])]}));
    }
}
