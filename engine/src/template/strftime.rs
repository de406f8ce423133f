//! Dates and times as Python writes them: `datetime.now().strftime` with the C locale of GNU's library, of which templates
//! use flags (`%-d`), widths and its own letters (`%k`, `%P`, `%s`) too. What it does not know stays as it is.

use jiff::Zoned;

/// The widest field: more is asked for by nobody but to fill the memory.
const WIDEST: usize = 1000;
/// A format's bytes become at most this number of bytes each: those of `%1000d`.
pub const GROWTH: usize = WIDEST / 6 + 1;

/// What stands between the `%` of a directive and its letter.
#[derive(Default)]
struct Form {
    /// `_`, `-` or `0`: what fills a field up.
    padding: Option<char>,
    /// `^`.
    upper: bool,
    /// `#`: the other case.
    swap: bool,
    width: usize,
}

/// Writes a time as a format says.
pub fn strftime(time: &Zoned, format: &str) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (form, modifier, letter, length) = directive(rest);
        let written = letter.and_then(|letter| match letter {
            // Python's own, which knows no flags.
            'f' if length == 2 => Some(format!("{:06}", time.subsec_nanosecond() / 1000)),
            _ if !takes(letter, modifier) => None,
            _ => field(time, letter, &form),
        });
        match written {
            Some(written) => out.push_str(&written),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out + rest
}

/// The parts of the directive that a text begins with, and how long it is.
fn directive(text: &str) -> (Form, Option<char>, Option<char>, usize) {
    let mut form = Form::default();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some(&(_, c)) = chars.peek() {
        match c {
            '_' | '-' | '0' => form.padding = Some(c),
            '^' => form.upper = true,
            '#' => form.swap = true,
            _ => break,
        }
        chars.next();
    }
    while let Some(digit) = chars.peek().and_then(|(_, c)| c.to_digit(10)) {
        form.width = (form.width * 10 + digit as usize).min(WIDEST);
        chars.next();
    }
    let modifier = chars
        .next_if(|(_, c)| matches!(c, 'E' | 'O'))
        .map(|(_, c)| c);
    match chars.next() {
        Some((at, letter)) => (form, modifier, Some(letter), at + letter.len_utf8()),
        None => (form, modifier, None, text.len()),
    }
}

/// Whether a letter may have this modifier, which changes nothing in this locale.
fn takes(letter: char, modifier: Option<char>) -> bool {
    match modifier {
        Some('E') => "cCxXyY".contains(letter),
        Some(_) => "deHImMSuUVwWy".contains(letter),
        None => true,
    }
}

/// A field, or nothing if there is no such letter.
fn field(time: &Zoned, letter: char, form: &Form) -> Option<String> {
    const DAYS: [&str; 7] = [
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
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
    let number = |value: i64, digits: usize| Some(form.number(value, digits, '0'));
    let spaced = |value: i64| Some(form.number(value, 2, '_'));
    let name = |text: &str| Some(form.text(text, str::to_uppercase));
    let several = |format: &str| Some(form.text(&strftime(time, format), str::to_owned));
    let (year, hour) = (i64::from(time.year()), i64::from(time.hour()));
    let (day, of_year) = (i64::from(time.day()), i64::from(time.day_of_year()));
    let twelve = match hour % 12 {
        0 => 12,
        hour => hour,
    };
    let weekday = time.weekday().to_sunday_zero_offset();
    // Days of the week since Sunday and since Monday.
    let (since_sunday, since_monday) = (i64::from(weekday), (i64::from(weekday) + 6) % 7);
    let (day_name, month_name) = (DAYS[weekday as usize], MONTHS[time.month() as usize - 1]);
    let half = if hour < 12 { "AM" } else { "PM" };
    let week = time.date().iso_week_date();
    match letter {
        'a' => name(&day_name[..3]),
        'A' => name(day_name),
        'b' | 'h' => name(&month_name[..3]),
        'B' => name(month_name),
        'c' => several("%a %b %e %H:%M:%S %Y"),
        'C' => number(year.div_euclid(100), 2),
        'd' => number(day, 2),
        'D' | 'x' => several("%m/%d/%y"),
        'e' => spaced(day),
        'F' => several("%Y-%m-%d"),
        'g' => number(i64::from(week.year()).rem_euclid(100), 2),
        'G' => number(week.year().into(), 1),
        'H' => number(hour, 2),
        'I' => number(twelve, 2),
        'j' => number(of_year, 3),
        'k' => spaced(hour),
        'l' => spaced(twelve),
        'm' => number(time.month().into(), 2),
        'M' => number(time.minute().into(), 2),
        'n' => Some(form.text("\n", str::to_owned)),
        'p' => Some(form.text(half, str::to_lowercase)),
        'P' => Some(form.text(&half.to_lowercase(), str::to_owned)),
        'r' => several("%I:%M:%S %p"),
        'R' => several("%H:%M"),
        's' => number(time.timestamp().as_second(), 1),
        'S' => number(time.second().into(), 2),
        't' => Some(form.text("\t", str::to_owned)),
        'T' | 'X' => several("%H:%M:%S"),
        'u' => number(since_monday + 1, 1),
        'U' => number((of_year + 6 - since_sunday) / 7, 2),
        'V' => number(week.week().into(), 2),
        'w' => number(since_sunday, 1),
        'W' => number((of_year + 6 - since_monday) / 7, 2),
        'y' => number(year.rem_euclid(100), 2),
        'Y' => number(year, 1),
        // A time of day without a zone, as Python's `now` is, has none to name.
        'z' | 'Z' => Some(form.text("", str::to_owned)),
        '%' => Some(form.text("%", str::to_owned)),
        _ => None,
    }
}

impl Form {
    /// A number of at least this many digits; `filled`: with what, if nothing else is said.
    fn number(&self, value: i64, digits: usize, filled: char) -> String {
        let text = value.to_string();
        let padding = self.padding.unwrap_or(filled);
        match padding {
            '-' => format!("{text:>0$}", self.width),
            '_' => format!("{text:>0$}", digits.max(self.width)),
            _ => format!("{value:00$}", digits.max(self.width)),
        }
    }

    /// A text; `swapped`: what `#` makes of it.
    fn text(&self, text: &str, swapped: fn(&str) -> String) -> String {
        let text = match (self.swap, self.upper) {
            (true, _) => swapped(text),
            (_, true) => text.to_uppercase(),
            _ => text.to_owned(),
        };
        let missing = self.width.saturating_sub(text.chars().count());
        let filled = match self.padding {
            Some('0') => "0",
            _ => " ",
        };
        filled.repeat(missing) + &text
    }
}

#[cfg(test)]
mod tests {
    use super::strftime;

    /// What Python 3 says on Linux, of 2026-01-05T09:07:03.000420 in the zone UTC.
    #[test]
    fn as_python_writes_it() {
        let time: jiff::Zoned = "2026-01-05T09:07:03.00042+00:00[UTC]".parse().unwrap();
        for (format, expected) in CASES {
            assert_eq!(strftime(&time, format), *expected, "{format}");
        }
        let time: jiff::Zoned = "2024-12-31T23:59:59+00:00[UTC]".parse().unwrap();
        for (format, expected) in LATE_CASES {
            assert_eq!(strftime(&time, format), *expected, "{format}");
        }
    }

    const CASES: &[(&str, &str)] = &[
        ("%x", "01/05/26"),
        ("%X", "09:07:03"),
        ("%c", "Mon Jan  5 09:07:03 2026"),
        ("%Z", ""),
        ("%z", ""),
        ("%f", "000420"),
        ("%Q", "%Q"),
        ("100%", "100%"),
        ("%Ey", "26"),
        ("%Od", "05"),
        ("%_d", " 5"),
        ("%^a", "MON"),
        ("%#Z", ""),
        ("%r", "09:07:03 AM"),
        ("%P%p", "amAM"),
        ("%k|%l", " 9| 9"),
        ("%s", "1767604023"),
        ("%U %W %j", "01 01 005"),
        ("%-I:%M %p", "9:07 AM"),
        ("%Y", "2026"),
        ("%-d %B %Y", "5 January 2026"),
        ("%d %b %Y", "05 Jan 2026"),
        ("%A, %e %B", "Monday,  5 January"),
        ("%D %F %T %R", "01/05/26 2026-01-05 09:07:03 09:07"),
        ("%C %g %G %V %u %w", "20 26 2026 02 1 1"),
        ("%%", "%"),
        ("%n%t|", "\n\t|"),
        ("%h", "Jan"),
        (
            "%10d|%_10d|%-10d|%010d",
            "0000000005|         5|         5|0000000005",
        ),
        ("%10a|%-10a|%010a", "       Mon|       Mon|0000000Mon"),
        ("%^B %#B %#p %^p", "JANUARY JANUARY am AM"),
        ("%_H:%_M", " 9: 7"),
        ("%-m/%-d/%y", "1/5/26"),
        ("%_j|%-j", "  5|5"),
        ("%0e|%-e|%0k", "05|5|09"),
        ("%EY %Oy %EH %Ec", "2026 26 %EH Mon Jan  5 09:07:03 2026"),
        ("%", "%"),
        ("%-", "%-"),
        ("%é", "%é"),
        ("ünï %d é", "ünï 05 é"),
        ("%10c|", "Mon Jan  5 09:07:03 2026|"),
        ("%^c", "MON JAN  5 09:07:03 2026"),
        ("%20F|", "          2026-01-05|"),
        ("%_Y", "2026"),
        ("%E", "%E"),
        ("%+", "%+"),
        ("%i", "%i"),
        ("%L", "%L"),
        ("%:z", "%:z"),
        ("%5Z|", "     |"),
        ("%3S|", "003|"),
        ("%#a", "MON"),
        ("%-s", "1767604023"),
        ("%v", "%v"),
        ("%0-d", "5"),
        ("%-0d", "05"),
        ("%N", "%N"),
        ("%_5m", "    1"),
    ];
    const LATE_CASES: &[(&str, &str)] = &[
        ("%U %W %j %V %G %g %u %w", "52 53 366 01 2025 25 2 2"),
        ("%I %p %l %P", "11 PM 11 pm"),
        ("%c", "Tue Dec 31 23:59:59 2024"),
        ("%-I:%M", "11:59"),
    ];
}
