//! What a schedule fills: a parameter that takes a slot, beside which all others have defaults.

use qflow_model::{
    definition::Param,
    schedule::{Gets, Into, Schedule},
};
use qflow_types::Ty;

use crate::options::{Bad, Cron, nearest};

/// The schedule of a workflow with these parameters.
pub(super) fn filled(cron: Cron, workflow: &str, params: &[(Param, Ty)]) -> Result<Schedule, Bad> {
    let Cron { expression, tz, into, catch_up, overlap, jitter_ms } = cron;
    let into = into.map(|name| param(&name, workflow, params)).transpose()?;
    let open = params
        .iter()
        .map(|(param, _)| param)
        .find(|param| param.default.is_none() && into.as_ref().is_none_or(|into| into.param != param.name));
    if let Some(open) = open {
        let remedy = match &into {
            None => format!("name it, into=\"{}\", or give it a default", open.name),
            Some(_) => "give it a default".to_owned(),
        };
        return Err(bad(format!("a slot gives `{workflow}` no `{}`, which has no default", open.name), remedy));
    }
    Ok(Schedule { expression, tz, into, catch_up, overlap, jitter_ms })
}

fn bad(message: String, remedy: String) -> Bad {
    Bad { code: "bad-option", message, remedy }
}

/// The parameter of a name, and what it gets of a slot.
fn param(name: &str, workflow: &str, params: &[(Param, Ty)]) -> Result<Into, Bad> {
    let Some((_, ty)) = params.iter().find(|(param, _)| param.name == name) else {
        let names = || params.iter().map(|(param, _)| param.name.as_str());
        let remedy = match nearest(name, names()).or_else(|| names().next()) {
            Some(near) => format!("name one of its parameters: into=\"{near}\""),
            None => "leave into out, or give the workflow a parameter".to_owned(),
        };
        return Err(bad(format!("the schedule fills `{name}`, which is no parameter of `{workflow}`"), remedy));
    };
    gets(ty).map(|gets| Into { param: name.to_owned(), gets }).ok_or_else(|| {
        let message = format!("the schedule fills `{name}`, and a slot is no `{ty}`");
        bad(message, format!("declare {name}: date, {name}: datetime or {name}: str"))
    })
}

/// What a type takes of a slot; of `date | None` that which is not `None`.
fn gets(ty: &Ty) -> Option<Gets> {
    match ty {
        Ty::Class(name) => match name.as_str() {
            "date" => Some(Gets::Date),
            "datetime" => Some(Gets::Datetime),
            "str" => Some(Gets::Text),
            _ => None,
        },
        Ty::Union(members) => {
            let mut others = members.iter().filter(|member| **member != Ty::None);
            let one = others.next().filter(|_| others.next().is_none());
            one.and_then(gets)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::definition::{ParamDefault, Place, TypeText};
    use serde_json::json;

    fn cron(into: Option<&str>) -> Cron {
        let schedule: Schedule = serde_json::from_value(json!({"expression": "0 2 * * *", "tz": "UTC"})).unwrap();
        let Schedule { expression, tz, catch_up, overlap, jitter_ms, .. } = schedule;
        Cron { expression, tz, into: into.map(str::to_owned), catch_up, overlap, jitter_ms }
    }

    /// Parameters as `name: type`, those that end in `=` with a default.
    fn params(written: &[&str]) -> Vec<(Param, Ty)> {
        let param = |text: &&str| {
            let (name, ty) = text.trim_end_matches('=').split_once(": ").unwrap();
            let default = text.ends_with('=').then(|| ParamDefault::Value(json!(null)));
            let param = Param { name: name.into(), ty: TypeText(ty.into()), default, place: Place::default() };
            (param, ty.parse().unwrap())
        };
        written.iter().map(param).collect()
    }

    #[test]
    fn a_slot_fills_what_takes_a_day_a_time_or_a_text() {
        for (ty, gets) in [
            ("date", Gets::Date),
            ("datetime", Gets::Datetime),
            ("str", Gets::Text),
            ("date | None", Gets::Date),
            ("None | str", Gets::Text),
        ] {
            let schedule = filled(cron(Some("day")), "daily", &params(&["x: int=", &format!("day: {ty}")])).unwrap();
            assert_eq!(schedule.into, Some(Into { param: "day".into(), gets }), "{ty}");
        }
        assert_eq!(filled(cron(None), "daily", &params(&["x: int="])).unwrap().into, None);
        assert_eq!(filled(cron(None), "daily", &[]).unwrap().into, None);
    }

    #[test]
    fn what_no_slot_fills_is_told_with_what_to_write() {
        for (into, written, message, remedy) in [
            (
                Some("day"),
                &["x: int="][..],
                "the schedule fills `day`, which is no parameter of `daily`",
                "name one of its parameters: into=\"x\"",
            ),
            (
                Some("days"),
                &["x: int=", "day: date"],
                "the schedule fills `days`, which is no parameter of `daily`",
                "name one of its parameters: into=\"day\"",
            ),
            (
                Some("day"),
                &[],
                "the schedule fills `day`, which is no parameter of `daily`",
                "leave into out, or give the workflow a parameter",
            ),
            (
                Some("day"),
                &["day: int"],
                "the schedule fills `day`, and a slot is no `int`",
                "declare day: date, day: datetime or day: str",
            ),
            (
                Some("day"),
                &["day: date | str"],
                "the schedule fills `day`, and a slot is no `date | str`",
                "declare day: date, day: datetime or day: str",
            ),
            (
                Some("day"),
                &["day: Any"],
                "the schedule fills `day`, and a slot is no `Any`",
                "declare day: date, day: datetime or day: str",
            ),
            (
                Some("day"),
                &["day: date", "region: str"],
                "a slot gives `daily` no `region`, which has no default",
                "give it a default",
            ),
            (
                None,
                &["day: date"],
                "a slot gives `daily` no `day`, which has no default",
                "name it, into=\"day\", or give it a default",
            ),
        ] {
            let wrong = filled(cron(into), "daily", &params(written)).unwrap_err();
            assert_eq!((wrong.message.as_str(), wrong.remedy.as_str()), (message, remedy));
        }
    }
}
