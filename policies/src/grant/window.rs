//! `Window`: when a disruptive action may happen. A cron schedule, a duration, a time zone.
//!
//! Out of scope: computing the next opening (whoever restarts).

use vouchsafe_model::text::quoted;

use crate::fields::{Faults, Fields, Item};

/// When a restart may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Five cron fields: minute, hour, day of month, month, day of week.
    pub schedule: String,
    /// How long the window stays open, in seconds.
    pub seconds: u64,
    /// IANA name, `UTC` where absent.
    pub time_zone: String,
}

/// Reads `{schedule: "0 3 * * *", duration: 1h, timeZone: America/Toronto}`.
pub(super) fn window(item: &Item<'_>, faults: &mut Faults) -> Option<Window> {
    let mut fields = Fields::open(item, faults)?;
    let schedule = fields.required("schedule", "schedule: \"0 3 * * *\"", faults).and_then(|item| {
        let text = item.text(faults)?;
        check(&item, cron(text), text, faults)
    });
    let seconds = fields.required("duration", "duration: 1h", faults).and_then(|item| {
        let text = item.text(faults)?;
        let parsed = duration(text);
        let seconds = parsed.as_ref().ok().copied();
        check(&item, parsed.map(|_| ()), text, faults)?;
        seconds
    });
    let time_zone = match fields.optional("timeZone") {
        None => Some("UTC".to_owned()),
        Some(item) => item.text(faults).and_then(|text| check(&item, time_zone(text), text, faults)),
    };
    fields.finish(faults);
    Some(Window { schedule: schedule?, seconds: seconds?, time_zone: time_zone? })
}

fn check(item: &Item<'_>, result: Result<(), String>, text: &str, faults: &mut Faults) -> Option<String> {
    match result {
        Ok(()) => Some(text.to_owned()),
        Err(problem) => {
            item.wrong(faults, format!("{} {problem}", quoted(text)));
            None
        }
    }
}

fn cron(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(' ').collect();
    if parts.len() != CRON_FIELDS.len() {
        return Err(format!(
            "has {} fields instead of 5; write minute hour day month weekday, as in \"0 3 * * *\"",
            parts.len()
        ));
    }
    for (part, (name, least, most)) in parts.into_iter().zip(CRON_FIELDS) {
        for piece in part.split(',') {
            cron_piece(piece, least, most).map_err(|()| {
                format!("has {} as {name}; use *, {least} to {most}, ranges a-b and steps /n", quoted(piece))
            })?;
        }
    }
    Ok(())
}

fn cron_piece(piece: &str, least: u32, most: u32) -> Result<(), ()> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>().ok().filter(|value| digits && (least..=most).contains(value)).ok_or(())
    };
    let (range, step) = match piece.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (piece, None),
    };
    if let Some(step) = step {
        step.parse::<u32>().ok().filter(|step| (1..=most).contains(step)).ok_or(())?;
    }
    match range.split_once('-') {
        _ if range == "*" => Ok(()),
        Some((from, to)) if number(from)? <= number(to)? => Ok(()),
        Some(_) => Err(()),
        None => number(range).map(|_| ()),
    }
}

fn duration(text: &str) -> Result<u64, String> {
    let problem = || "is no duration; write 30m, 1h or 8h".to_owned();
    let (digits, unit) = match (text.strip_suffix('h'), text.strip_suffix('m')) {
        (Some(digits), _) => (digits, 3600),
        (_, Some(digits)) => (digits, 60),
        _ => return Err(problem()),
    };
    if digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(problem());
    }
    let seconds = digits.parse::<u64>().map_err(|_| problem())? * unit;
    if !(WINDOW_SECONDS_MIN..=WINDOW_SECONDS_MAX).contains(&seconds) {
        return Err("must be between 5m and 168h".to_owned());
    }
    Ok(seconds)
}

fn time_zone(text: &str) -> Result<(), String> {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+'))
    };
    if text == "UTC" || (text.len() <= 64 && text.contains('/') && text.split('/').all(part)) {
        return Ok(());
    }
    Err("is no time zone; write an IANA name such as America/Toronto, or UTC".to_owned())
}

/// Shortest window: a rolling restart of a few replicas takes minutes.
const WINDOW_SECONDS_MIN: u64 = 5 * 60;
/// Longest window: a week, which is always open.
const WINDOW_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Name, least and greatest value of each cron field.
const CRON_FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_five_cron_fields_in_their_ranges() {
        for good in ["0 3 * * *", "*/15 0-6 1,15 * 1-5", "59 23 31 12 7"] {
            assert_eq!(cron(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "@daily",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "* * * *",
            "+1 * * * *",
        ] {
            assert!(cron(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_hours_or_minutes_within_a_week() {
        assert_eq!(duration("1h"), Ok(3600));
        assert_eq!(duration("30m"), Ok(1800));
        for bad in ["", "h", "1", "1s", "5m5", "-1h", "1000000h", "NaN", "0h", "4m", "169h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn time_zones_look_like_iana_names() {
        for good in ["UTC", "America/Toronto", "Etc/GMT+5", "America/Argentina/Buenos_Aires"] {
            assert_eq!(time_zone(good), Ok(()), "{good}");
        }
        for bad in ["", "EST", "toronto", "../etc/passwd", "America/"] {
            assert!(time_zone(bad).is_err(), "{bad}");
        }
    }
}
