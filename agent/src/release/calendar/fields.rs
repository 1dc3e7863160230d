//! A crontab line in the words of another cron, which knows numbers, lists and ranges only (robfig/cron, Argo
//! CD's). Lines that it cannot say are written as several.

use std::collections::BTreeSet;

/// Days of the month that some month has, by the longest.
const LONG: [u8; 7] = [1, 3, 5, 7, 8, 10, 12];
const SHORT: [u8; 4] = [4, 6, 9, 11];
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The lines that together are due whenever `line` is, and the words that say where they are due more often.
///
/// # Errors
/// The part of the line that cannot be said.
pub fn plain(line: &str) -> Result<(Vec<String>, Option<&'static str>), String> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts[..] else { return Err(line.to_owned()) };
    let time =
        format!("{} {}", text(&values(minute, 0, 59, &[])?, 0, 59), text(&values(hour, 0, 23, &[])?, 0, 23));
    let months = values(month, 1, 12, &MONTHS)?;
    let every = |part: &str| part == "*" || part == "?";
    let (mut lines, mut longer) = (Vec::new(), None);
    let mut add = |day: &str, months: &BTreeSet<u8>, weekday: &str| {
        lines.push(format!("{time} {day} {} {weekday}", text(months, 1, 12)));
    };
    if every(day) && every(weekday) {
        add("*", &months, "*");
    }
    if !every(day) {
        let (last, others): (Vec<&str>, Vec<&str>) = day.split(',').partition(|part| *part == "L");
        let days = if others.is_empty() { BTreeSet::new() } else { values(&others.join(","), 1, 31, &[])? };
        // A day that never comes is one that is always due to this cron.
        let length = |month: &u8| if *month == 2 { 29 } else { 30 + u8::from(LONG.contains(month)) };
        let longest = months.iter().map(length).max().unwrap_or(0);
        if days.first().is_some_and(|first| *first <= longest) {
            add(&text(&days, 1, 31), &months, "*");
        }
        if !last.is_empty() {
            let of = |some: &[u8]| months.iter().copied().filter(|one| some.contains(one)).collect();
            for (day, months) in [("31", of(&LONG)), ("30", of(&SHORT)), ("28,29", of(&[2]))] {
                let months: BTreeSet<u8> = months;
                if !months.is_empty() {
                    add(day, &months, "*");
                }
            }
            longer = months.contains(&2).then_some("in leap years also on 28 February: L is not known there");
        }
    }
    if !every(weekday) {
        // 7 is Sunday, which is 0 there.
        let days = values(weekday, 0, 7, &DAYS)?.into_iter().map(|day| day % 7).collect();
        add("*", &months, &text(&days, 0, 6));
    }
    Ok((lines, longer))
}

/// The values of a field.
fn values(field: &str, least: u8, most: u8, names: &[&str]) -> Result<BTreeSet<u8>, String> {
    let number = |word: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(word)).map(|at| at as u8 + least);
        let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        named.or_else(|| word.parse().ok().filter(|_| digits)).filter(|value| (least..=most).contains(value))
    };
    let mut all = BTreeSet::new();
    for part in field.split(',') {
        let cannot = || part.to_owned();
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                (range, step.parse::<usize>().ok().filter(|step| *step > 0).ok_or_else(cannot)?)
            }
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (least, most),
            Some((from, to)) => (number(from).ok_or_else(cannot)?, number(to).ok_or_else(cannot)?),
            None if step == 1 => (number(range).ok_or_else(cannot)?, number(range).ok_or_else(cannot)?),
            None => return Err(cannot()),
        };
        if from > to {
            return Err(cannot());
        }
        all.extend((from..=to).step_by(step));
    }
    Ok(all)
}

/// As a field: `*`, or numbers and ranges.
fn text(values: &BTreeSet<u8>, least: u8, most: u8) -> String {
    if (least..=most).all(|value| values.contains(&value)) {
        return "*".to_owned();
    }
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == *value => run.1 = *value,
            _ => runs.push((*value, *value)),
        }
    }
    let run = |(from, to): &(u8, u8)| match to - from {
        0 => from.to_string(),
        1 => format!("{from},{to}"),
        _ => format!("{from}-{to}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(line: &str) -> Vec<String> {
        plain(line).unwrap().0
    }

    #[test]
    fn what_the_other_cron_knows_stays_and_the_rest_is_several_lines() {
        assert_eq!(lines("0 18 * * *"), ["0 18 * * *"]);
        assert_eq!(lines("*/15 8-17 * * MON-FRI"), ["0,15,30,45 8-17 * * 1-5"]);
        assert_eq!(lines("0 0 * * 5-7"), ["0 0 * * 0,5,6"]);
        assert_eq!(lines("0 0 1,15 * 0"), ["0 0 1,15 * *", "0 0 * * 0"], "either of them matches");
        assert_eq!(
            lines("0 18 L * *"),
            ["0 18 31 1,3,5,7,8,10,12 *", "0 18 30 4,6,9,11 *", "0 18 28,29 2 *"]
        );
        assert_eq!(lines("0 18 15,L JUN-JUL *"), ["0 18 15 6,7 *", "0 18 31 7 *", "0 18 30 6 *"]);
        assert_eq!(lines("0 0 30 2 1"), ["0 0 * 2 1"], "30 February never comes");
        assert!(plain("0 18 L 2 *").unwrap().1.is_some() && plain("0 18 L 3 *").unwrap().1.is_none());
    }

    #[test]
    fn what_it_cannot_say_is_named() {
        for (line, part) in [
            ("0 18 * * 5L", "5L"),
            ("0 18 * * FRI#2", "FRI#2"),
            ("0 18 15W * *", "15W"),
            ("0 18 * * +MON", "+MON"),
            ("0 18 LW * *", "LW"),
            ("@monthly", "@monthly"),
        ] {
            assert_eq!(plain(line), Err(part.to_owned()));
        }
    }
}
