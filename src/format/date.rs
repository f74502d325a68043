//! Dates of the calendar, and instants as RFC 3339 writes them.
//!
//! Refuses to know: what time it is.

use std::time::Duration;

/// Days from 1970-01-01 to a day of a month that counts from 0; none for a day that is not there.
#[must_use]
pub fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1970..=9999).contains(&year) || month >= 12 {
        return None;
    }
    let leap_days = |year: u64| {
        let by = |step: u64| year.checked_div(step).unwrap_or(0);
        by(4).saturating_sub(by(100)).saturating_add(by(400))
    };
    let before = year.saturating_sub(1);
    let leap = leap_days(year).saturating_sub(leap_days(before));
    let length = |(at, length): (u64, u64)| if at == 1 { length.saturating_add(leap) } else { length };
    let mut months = (0..).zip(LENGTHS).map(length);
    let within: u64 = months.by_ref().take(usize::try_from(month).ok()?).sum();
    if !(1..=months.next()?).contains(&day) {
        return None;
    }
    let years = year.saturating_sub(1970).saturating_mul(365);
    let leaps = leap_days(before).saturating_sub(leap_days(1969));
    Some([years, leaps, within, day.saturating_sub(1)].into_iter().fold(0, u64::saturating_add))
}

/// The time from 1970 to `text`, as in `2026-08-20T07:05:00.5+02:00`; what lies before 1970 is 1970.
#[must_use]
pub fn rfc3339(text: &str) -> Option<Duration> {
    let (date, clock) = text.split_once('T')?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let at = clock.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.')?;
    let (clock, zone) = clock.split_at(at);
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, rest)| (clock, Some(rest)));
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    let fraction = fraction.map_or(Some(0), nanos)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if year < 1970 {
        // The day must be one all the same, as in a year of the same kind.
        return days(2000, month.checked_sub(1)?, day).map(|_| Duration::ZERO);
    }
    let hours = days(year, month.checked_sub(1)?, day)?.checked_mul(24)?.checked_add(hour)?;
    let minutes = hours.checked_mul(60)?.checked_add(minute)?;
    let seconds = minutes.checked_mul(60)?.checked_add(second)?;
    let seconds = seconds.checked_add_signed(east(zone)?.checked_neg()?).unwrap_or(0);
    Some(Duration::new(seconds, fraction))
}

/// Three numbers of fixed widths with `sign` between them.
fn fields(text: &str, sign: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(sign);
    let mut numbers = [0; 3];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        let legal = part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = part.parse().ok().filter(|_| legal)?;
    }
    parts.next().is_none().then_some(numbers)
}

/// The part of a second, of which nine digits count.
fn nanos(digits: &str) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<9}").get(..9)?.parse().ok()
}

/// The seconds that the clocks of a zone are ahead of UTC.
fn east(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1_i64, zone.strip_prefix('-')?),
    };
    let [hour, minute, _] = fields(&format!("{rest}:00"), ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 {
        return None;
    }
    let seconds = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?;
    i64::try_from(seconds).ok()?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_spans_since_1970() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("1994-11-06T08:49:37Z", 784_111_777),
            ("1994-11-06T10:49:37+02:00", 784_111_777),
            ("1994-11-06T03:19:37-05:30", 784_111_777),
            ("2100-12-31T00:00:00Z", 4_133_894_400),
            ("1969-12-31T00:00:00Z", 0),
            ("0001-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00+01:00", 0),
        ] {
            assert_eq!(rfc3339(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(rfc3339("1970-01-01T00:00:01.5Z"), Some(Duration::from_millis(1500)));
        assert_eq!(rfc3339("1970-01-01T00:00:01.1234567899Z"), Some(Duration::new(1, 123_456_789)));
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for text in [
            "",
            "tomorrow",
            "2026-08-20",
            "2026-08-20T07:05:00",
            "2026-08-20 07:05:00Z",
            "2026-8-20T07:05:00Z",
            "2026-02-29T07:05:00Z",
            "2026-00-20T07:05:00Z",
            "2026-13-20T07:05:00Z",
            "2026-08-32T07:05:00Z",
            "2026-08-20T24:00:00Z",
            "2026-08-20T07:05Z",
            "2026-08-20T07:05:00.Z",
            "2026-08-20T07:05:00+2:00",
            "2026-08-20T07:05:00+0200",
            "2026-08-20T07:05:00Z ",
            "2026-08-20T07:05:00+24:00",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
