//! `qflow token …`, `qflow whoami`, `qflow audit`: who may call, and who asked for what.

use std::{path::Path, time::Duration};

use clap::Subcommand;
use qflow_model::{access::Role, duration};
use serde_json::json;

use crate::{
    args::{ListArgs, Output},
    exit::{Exit, Fail},
    out, outln, render,
    run::call,
    submit::{Audited, Client, Create, Token},
};

/// What stands below the help of `qflow token`.
pub const TOKEN_HELP: &str = "\
A role may all that the ones before it may:
  viewer    sees runs, their lines and results
  operator  cancels, pauses, resumes, retries, approves; starts what is registered
  author    registers and runs workflows of their own
  admin     makes tokens and pools, reads the audit

  qflow token create ci --role author --expires 90d --for 'the nightly build'
  QFLOW_TOKEN=$(qflow token create ada --role viewer -o raw) qflow runs list";

/// `qflow token`.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token. Its text is printed now and never again.
    Create {
        /// As whom it lets in: a word, an address of mail.
        user: String,
        /// What they may.
        #[arg(long, value_parser = role)]
        role: Role,
        /// What it is for.
        #[arg(long = "for", value_name = "TEXT", default_value = "")]
        name: String,
        /// For how long it lets in, e.g. `90d`; without end where it is left out.
        #[arg(long, value_name = "DURATION", value_parser = lifetime)]
        expires: Option<Duration>,
        /// Whose.
        #[command(flatten)]
        whose: Whose,
    },
    /// Tokens, newest first, also those that let nobody in any more.
    List(Whose),
    /// Have a token let nobody in, within 5 s.
    Revoke {
        /// Its id, as `qflow token list` names it.
        id: String,
        /// Whose.
        #[command(flatten)]
        whose: Whose,
    },
}

/// A tenant, the form and the server.
#[derive(Clone, Debug, clap::Args)]
pub struct Whose {
    /// Of another tenant; only the server's own token reaches those.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub tenant: String,
    /// Form and server.
    #[command(flatten)]
    pub list: ListArgs,
}

/// `qflow audit`.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    /// At most so many lines.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
    /// Whose.
    #[command(flatten)]
    pub whose: Whose,
}

fn role(text: &str) -> Result<Role, String> {
    text.parse().map_err(|error: qflow_model::status::UnknownName| error.to_string())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let micros = duration::micros(text).ok_or_else(|| format!("`{text}` is no duration: write e.g. 90d, 12h"))?;
    let seconds = u64::try_from(micros / 1_000_000).ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| "a token lives for a second at least".to_owned())
}

/// Does what was asked.
pub async fn token(command: TokenCommand, data_dir: &Path) -> Result<Exit, Fail> {
    match command {
        TokenCommand::Create { user, role, name, expires, whose } => {
            let lifetime_seconds = expires.map_or(0, |expires| expires.as_secs());
            let tenant = whose.tenant.clone();
            let create = Create { user, role: role.to_string(), name, tenant, lifetime_seconds };
            let made = async move |client: Client| client.create_token(create).await;
            let (token, secret) = call(&whose.list, data_dir, made).await?;
            match whose.list.output {
                Output::Json => outln!("{:#}", json!({ "token": token, "secret": secret })),
                Output::Raw => outln!("{secret}"),
                Output::Table => {
                    out!("{}", tokens(&[token]));
                    outln!(
                        "\n{secret}\n\nKeep it now: nobody is told it again. QFLOW_TOKEN takes it, or the file that QFLOW_TOKEN_FILE names."
                    );
                }
            }
        }
        TokenCommand::List(whose) => {
            let tenant = whose.tenant.clone();
            let known = call(&whose.list, data_dir, async move |client| client.tokens(&tenant).await).await?;
            match whose.list.output {
                Output::Json => outln!("{:#}", json!(known)),
                Output::Raw => known.iter().for_each(|token| outln!("{}", token.id)),
                Output::Table => out!("{}", tokens(&known)),
            }
        }
        TokenCommand::Revoke { id, whose } => {
            let (named, tenant) = (id.clone(), whose.tenant.clone());
            call(&whose.list, data_dir, async move |client| client.revoke_token(&named, &tenant).await).await?;
            if whose.list.output == Output::Json {
                outln!("{:#}", json!({ "id": id, "revoked": true }));
            }
        }
    }
    Ok(Exit::Completed)
}

/// Says who the server takes the caller for.
pub async fn whoami(list: ListArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let who = call(&list, data_dir, async |client| client.who_am_i().await).await?;
    match list.output {
        Output::Json => outln!("{:#}", json!(who)),
        Output::Raw => outln!("{}", who.user),
        Output::Table => {
            out!("{}", render::table(["TENANT", "USER", "ROLE", "BY"], [[who.tenant, who.user, who.role, who.by]]));
        }
    }
    Ok(Exit::Completed)
}

/// Shows who asked for what.
pub async fn audit(AuditArgs { limit, whose }: AuditArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let tenant = whose.tenant.clone();
    let lines = call(&whose.list, data_dir, async move |client| client.audit(&tenant, limit).await).await?;
    match whose.list.output {
        Output::Json => outln!("{:#}", json!(lines)),
        Output::Raw => lines.iter().for_each(|line| outln!("{}", json!(line))),
        Output::Table => out!("{}", audited(&lines)),
    }
    Ok(Exit::Completed)
}

fn tokens(tokens: &[Token]) -> String {
    let state = |token: &Token| match (&token.revoked_at, &token.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "without end".to_owned(),
    };
    let rows = tokens.iter().map(|token| {
        let made = token.created_at.clone().unwrap_or_default();
        let (id, user, role, name) = (token.id.clone(), token.user.clone(), token.role.clone(), token.name.clone());
        [id, user, role, state(token), made, name]
    });
    render::table(["ID", "USER", "ROLE", "LETS IN", "MADE", "FOR"], rows)
}

fn audited(lines: &[Audited]) -> String {
    let rows = lines.iter().map(|line| {
        let at = line.at.clone().unwrap_or_default();
        let (user, by, action) = (line.user.clone(), line.by.clone(), line.action.clone());
        [at, user, by, action, line.target.clone(), line.refused.clone()]
    });
    render::table(["AT", "USER", "BY", "ACTION", "OF", "REFUSED"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_listed_with_what_became_of_them() {
        let token = |id: &str, expires_at: Option<&str>, revoked_at: Option<&str>| Token {
            id: id.into(),
            tenant: "default".into(),
            user: "ada".into(),
            role: "viewer".into(),
            name: "a test".into(),
            created_at: None,
            created_by: "local".into(),
            expires_at: expires_at.map(str::to_owned),
            revoked_at: revoked_at.map(str::to_owned),
        };
        let shown = tokens(&[token("a", None, None), token("b", Some("x"), None), token("c", Some("x"), Some("y"))]);
        for part in ["without end", "until x", "revoked y", "viewer", "a test"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn a_lifetime_is_a_duration_of_a_second_or_more() {
        assert_eq!(lifetime("90d").unwrap(), Duration::from_secs(90 * 24 * 3600));
        for wrong in ["", "0s", "10ms", "x", "-1d"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
