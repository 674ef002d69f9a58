//! Times as l2logger writes them: 20210415T145944.077807.

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// Writes microseconds since the beginning of 1970 as a time.
pub(super) fn written(micros: u64) -> String {
    let (year, month, day) = date(micros / DAY);
    let seconds = micros % DAY / SECOND;
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}.{:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        micros % SECOND
    )
}

/// Reads a time as microseconds since the beginning of 1970; `None` if it is none.
pub(super) fn read(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let (time, fraction) = time.split_once('.')?;
    let digits = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    if (date.len(), time.len(), fraction.len()) != (8, 6, 6) {
        return None;
    }
    let (month, day) = (digits(date, 4, 6)?, digits(date, 6, 8)?);
    let days = days(digits(date, 0, 4)?, month, day)?;
    let minutes = digits(time, 0, 2)? * 60 + digits(time, 2, 4)?;
    let seconds = minutes * 60 + digits(time, 4, 6)?;
    Some(days * DAY + seconds * SECOND + digits(fraction, 0, 6)?)
}

/// Days from the beginning of 1970 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || day == 0 || day > *months(year).get(month.checked_sub(1)? as usize)? {
        return None;
    }
    let years: u64 = (1970..year)
        .map(|year| months(year).iter().sum::<u64>())
        .sum();
    let months: u64 = months(year)[..month as usize - 1].iter().sum();
    Some(years + months + day - 1)
}

fn date(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    while days >= months(year).iter().sum() {
        days -= months(year).iter().sum::<u64>();
        year += 1;
    }
    let mut month = 0;
    while days >= months(year)[month] {
        days -= months(year)[month];
        month += 1;
    }
    (year, month as u64 + 1, days + 1)
}

/// Days of the months of a year.
fn months(year: u64) -> [u64; 12] {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if leap { 29 } else { 28 };
    [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_back() {
        for (micros, text) in [
            (0, "19700101T000000.000000"),
            (951_782_400_000_001, "20000229T000000.000001"),
            (1_618_498_784_077_807, "20210415T145944.077807"),
        ] {
            assert_eq!(written(micros), text);
            assert_eq!(read(text), Some(micros));
        }
        for text in [
            "",
            "20210415",
            "20210231T000000.000000",
            "20210415T145944.07",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
