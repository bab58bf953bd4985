//! Who calls, and what they may: a tenant, a user of it, and one of four roles, each of which may all that the ones before it may.

use serde::{Deserialize, Serialize};

use crate::status::{UnknownName, named};

/// Letters of a tenant's name: it is a folder of secrets and of uploads.
const TENANT_LETTERS: usize = 63;
/// Letters of a user's name: an address of mail is one.
const USER_LETTERS: usize = 128;

named! {
    /// What somebody may do.
    Role {
        /// Sees runs, their lines and results.
        Viewer = "viewer",
        /// Acts on runs (cancels, pauses, resumes, retries, approves), and starts what is registered.
        Operator = "operator",
        /// Registers and starts workflows of their own, and uploads for them.
        Author = "author",
        /// Makes tokens and pools, and reads the audit.
        Admin = "admin",
    }
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// Whose everything is that they make, and all that they see.
    pub tenant: String,
    /// Who they are within it.
    pub user: String,
    /// What they may.
    pub role: Role,
    /// By what they are known: `local` for whoever has the server's own token, `token:ID`, `oidc:ISSUER`.
    pub by: String,
}

impl Caller {
    /// The tenant that is there without anybody making it.
    pub const TENANT: &str = "default";
    /// Whoever has the token that the server itself was given.
    pub const LOCAL: &str = "local";

    /// Whoever has the server's own token, and every service: may everything in the default tenant.
    pub fn local() -> Self {
        let (tenant, user) = (Self::TENANT.to_owned(), Self::LOCAL.to_owned());
        Self { tenant, user, role: Role::Admin, by: Self::LOCAL.to_owned() }
    }

    /// Whether it is whoever has the server's own token: no other is known by that.
    pub fn is_own(&self) -> bool {
        self.by == Self::LOCAL
    }
}

/// A name that cannot be one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadName {
    /// Of a tenant.
    #[error(
        "`{0}` is no tenant: it has 1 to {TENANT_LETTERS} of the letters a-z, 0-9, `-` and `_`, and begins with one of a-z or 0-9"
    )]
    Tenant(String),
    /// Of a user.
    #[error("`{0}` is no user: a name has 1 to {USER_LETTERS} letters, none of them a space or a control character")]
    User(String),
}

/// Refuses what is no tenant.
pub fn tenant(name: &str) -> Result<&str, BadName> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_one = name.len() <= TENANT_LETTERS
        && name.starts_with(is_plain)
        && name.chars().all(|c| is_plain(c) || matches!(c, '-' | '_'));
    if is_one { Ok(name) } else { Err(BadName::Tenant(name.to_owned())) }
}

/// Refuses what is no user.
pub fn user(name: &str) -> Result<&str, BadName> {
    let is_one = !name.is_empty()
        && name.chars().count() <= USER_LETTERS
        && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_one { Ok(name) } else { Err(BadName::User(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_what_the_ones_before_it_may() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Author && Role::Author < Role::Admin);
        let unknown = "root".parse::<Role>().unwrap_err().to_string();
        assert_eq!(unknown, "`root` is not one of viewer, operator, author, admin");
    }

    #[test]
    fn a_tenant_is_a_folder_that_nobody_can_leave() {
        for good in ["default", "acme", "team-7", "0", "a_b", &"a".repeat(63)] {
            assert_eq!(tenant(good), Ok(good));
        }
        for bad in ["", ".", "..", "a/b", "a.b", "A", "-a", "_a", "ä", "a b", "a\n", &"a".repeat(64)] {
            assert_eq!(tenant(bad), Err(BadName::Tenant(bad.to_owned())));
        }
    }

    #[test]
    fn a_user_is_a_word() {
        for good in ["ada", "ada@example.com", "Zoë", "auth0|1234"] {
            assert_eq!(user(good), Ok(good));
        }
        for bad in ["", "a b", "a\n", "\u{0}", &"a".repeat(129)] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
    }
}
