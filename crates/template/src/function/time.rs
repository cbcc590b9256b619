//! `timestamp`: the time that the caller gives, in Go's layouts, always in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use super::arguments::text;
use super::builtin::written;
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::text::write_formatted;
use crate::value::{Buffer, Value};

pub(super) const FUNCTIONS: &[Function] =
    &[Function::new("timestamp", &[Parameter::Text], timestamp).optional(1).drop_in_only()];

fn timestamp(scope: &mut Scope<'_>, arguments: &[Value]) -> Result<Value, Fault> {
    let now = scope.resolver.now().ok_or(Fault::Function("there is no clock here"))?;
    let time = Time::of(now);
    if arguments.is_empty() {
        return written(|out| time.write(out, RFC_3339));
    }
    let layout = text(arguments, 0)?.as_str().ok_or(Fault::Function("the layout is not UTF-8"))?;
    written(|out| match layout {
        "unix" => write_formatted(out, format_args!("{}", time.seconds)),
        layout => time.write(out, layout),
    })
}

const RFC_3339: &str = "2006-01-02T15:04:05Z07:00";

/// A moment in parts; years from 1970 on.
struct Time {
    seconds: u64,
    nanoseconds: u32,
    year: u64,
    month: usize,
    day: u64,
    day_of_year: u64,
    weekday: usize,
}

impl Time {
    fn of(moment: SystemTime) -> Self {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut days = since.as_secs() / 86_400;
        let weekday = usize::try_from((days + 4) % 7).unwrap_or(0); // 1970 began on a Thursday
        let mut year = 1970;
        let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        while days >= 365 + u64::from(leap(year)) {
            days -= 365 + u64::from(leap(year));
            year += 1;
        }
        let day_of_year = days + 1;
        let mut month = 0;
        for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        let nanoseconds = since.subsec_nanos();
        Self { seconds: since.as_secs(), nanoseconds, year, month, day: days + 1, day_of_year, weekday }
    }

    /// Writes by a layout: the reference time, written as wanted.
    fn write(&self, out: &mut Buffer, layout: &str) -> Result<(), Fault> {
        let mut rest = layout;
        while let Some(first) = rest.chars().next() {
            let follows_small = |token: &str| {
                rest.get(token.len()..).is_some_and(|after| after.starts_with(|c: char| c.is_ascii_lowercase()))
            };
            let found = TOKENS
                .iter()
                .find(|token| rest.starts_with(**token) && !(matches!(**token, "Jan" | "Mon") && follows_small(token)));
            let length = match (found, first) {
                (Some(token), _) => {
                    self.element(out, token)?;
                    token.len()
                }
                (None, '.' | ',') => self.fraction(out, rest)?,
                (None, _) => 0,
            };
            if length == 0 {
                out.push_char(first)?;
            }
            rest = rest.get(length.max(if length == 0 { first.len_utf8() } else { 0 })..).unwrap_or_default();
        }
        Ok(())
    }

    fn element(&self, out: &mut Buffer, token: &str) -> Result<(), Fault> {
        let (hour, minute, second) = (self.seconds / 3600 % 24, self.seconds / 60 % 60, self.seconds % 60);
        let half = (hour + 11) % 12 + 1;
        let month = u64::try_from(self.month + 1).unwrap_or(0);
        let name = |names: &[&'static str], at: usize| names.get(at).copied().unwrap_or_default();
        let (month_name, day_name) = (name(&MONTHS, self.month), name(&DAYS, self.weekday));
        let short = |name: &'static str| name.get(..3).unwrap_or(name);
        match token {
            "January" => out.write(month_name.as_bytes()),
            "Jan" => out.write(short(month_name).as_bytes()),
            "Monday" => out.write(day_name.as_bytes()),
            "Mon" => out.write(short(day_name).as_bytes()),
            "MST" => out.write(b"UTC"),
            "PM" => out.write(if hour < 12 { b"AM" } else { b"PM" }),
            "pm" => out.write(if hour < 12 { b"am" } else { b"pm" }),
            "2006" => write_formatted(out, format_args!("{:04}", self.year)),
            "002" => write_formatted(out, format_args!("{:03}", self.day_of_year)),
            "__2" => write_formatted(out, format_args!("{:3}", self.day_of_year)),
            "_2006" => write_formatted(out, format_args!("_{:04}", self.year)),
            "_2" => write_formatted(out, format_args!("{:2}", self.day)),
            zone if zone.starts_with('Z') => out.push(b'Z'),
            zone if zone.starts_with('-') => out.write(zone.replace('-', "+").replace('7', "0").as_bytes()),
            number => {
                let value = match number.trim_start_matches('0') {
                    "1" => month,
                    "2" => self.day,
                    "15" => hour,
                    "3" => half,
                    "4" => minute,
                    "5" => second,
                    _ => self.year % 100,
                };
                let padded = number.starts_with('0') || number == "15";
                write_formatted(out, format_args!("{value:0width$}", width = if padded { 2 } else { 1 }))
            }
        }
    }

    /// `.000` or `.999`: the length of what was understood, or 0.
    fn fraction(&self, out: &mut Buffer, rest: &str) -> Result<usize, Fault> {
        let digits = rest.get(1..).unwrap_or_default();
        let kind = digits.chars().next().filter(|digit| matches!(digit, '0' | '9'));
        let Some(kind) = kind else { return Ok(0) };
        let count = digits.chars().take_while(|digit| *digit == kind).count();
        let goes_on = digits.get(count..).is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
        if count > 9 || goes_on {
            return Ok(0);
        }
        let text = format!("{:09}", self.nanoseconds);
        let text = text.get(..count).unwrap_or_default();
        let text = if kind == '9' { text.trim_end_matches('0') } else { text };
        if !text.is_empty() {
            out.write(rest.get(..1).unwrap_or_default().as_bytes())?;
            out.write(text.as_bytes())?;
        }
        Ok(1 + count)
    }
}

/// Of two that fit, the first counts.
const TOKENS: [&str; 34] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "PM",
    "pm",
    "2006",
    "_2006",
    "002",
    "__2",
    "_2",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "Z070000",
    "Z07:00:00",
    "Z0700",
    "Z07:00",
    "Z07",
    "-070000",
    "-07:00:00",
    "-0700",
    "-07:00",
    "-07",
    "1",
    "2",
    "3",
    "4",
    "5",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
