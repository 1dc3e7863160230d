//! The lines that differ between two texts, as `diff -u` prints them.

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// Above so many comparisons, the differing middle is shown as a whole.
const COMPARISONS_MAX: usize = 4_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Same,
    Removed,
    Added,
}

/// The differences of two texts with their context; empty where they are equal. `a` and `b` are the names in
/// the head. Lines that are not UTF-8 are shown with replacement characters.
pub fn unified((a, before): (&str, &[u8]), (b, after): (&str, &[u8])) -> String {
    if before == after {
        return String::new();
    }
    if before.contains(&0) || after.contains(&0) {
        return format!("binary content differs: {a} {b}\n");
    }
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let steps = steps(&old, &new);
    let mut out = format!("--- {a}\n+++ {b}\n");
    let changes: Vec<usize> =
        steps.iter().enumerate().filter(|(_, step)| **step != Step::Same).map(|(at, _)| at).collect();
    let mut from = 0;
    while from < changes.len() {
        let mut to = from;
        while changes.get(to + 1).is_some_and(|next| next - changes[to] <= 2 * CONTEXT) {
            to += 1;
        }
        let range = changes[from].saturating_sub(CONTEXT)..(changes[to] + CONTEXT + 1).min(steps.len());
        hunk(&mut out, &steps, range, &old, &new);
        from = to + 1;
    }
    out
}

fn hunk(out: &mut String, steps: &[Step], range: std::ops::Range<usize>, old: &[&str], new: &[&str]) {
    let count = |steps: &[Step], not: Step| steps.iter().filter(|step| **step != not).count();
    let (skipped, shown) = (&steps[..range.start], &steps[range]);
    let (mut o, mut n) = (count(skipped, Step::Added), count(skipped, Step::Removed));
    let (old_lines, new_lines) = (count(shown, Step::Added), count(shown, Step::Removed));
    // As diff has it: an empty range begins before its line.
    let begin = |at: usize, lines: usize| if lines == 0 { at } else { at + 1 };
    out.push_str(&format!(
        "@@ -{},{old_lines} +{},{new_lines} @@\n",
        begin(o, old_lines),
        begin(n, new_lines)
    ));
    for step in shown {
        let (sign, line) = match step {
            Step::Same => (' ', old[o]),
            Step::Removed => ('-', old[o]),
            Step::Added => ('+', new[n]),
        };
        o += usize::from(*step != Step::Added);
        n += usize::from(*step != Step::Removed);
        out.push(sign);
        out.push_str(line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// How to come from the old lines to the new ones: the longest common lines stay.
fn steps(old: &[&str], new: &[&str]) -> Vec<Step> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (left, right) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut steps = vec![Step::Same; head];
    match left.len().saturating_mul(right.len()) > COMPARISONS_MAX {
        true => {
            steps.extend(vec![Step::Removed; left.len()]);
            steps.extend(vec![Step::Added; right.len()]);
        }
        false => steps.extend(common(left, right)),
    }
    steps.extend(vec![Step::Same; tail]);
    steps
}

/// By the table of longest common subsequences of all ends.
fn common(left: &[&str], right: &[&str]) -> Vec<Step> {
    let width = right.len() + 1;
    let mut longest = vec![0u32; (left.len() + 1) * width];
    for l in (0..left.len()).rev() {
        for r in (0..right.len()).rev() {
            longest[l * width + r] = match left[l] == right[r] {
                true => longest[(l + 1) * width + r + 1] + 1,
                false => longest[(l + 1) * width + r].max(longest[l * width + r + 1]),
            };
        }
    }
    let (mut l, mut r, mut steps) = (0, 0, Vec::new());
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() && left[l] == right[r] {
            steps.push(Step::Same);
            (l, r) = (l + 1, r + 1);
        } else if r == right.len()
            || (l < left.len() && longest[(l + 1) * width + r] >= longest[l * width + r + 1])
        {
            steps.push(Step::Removed);
            l += 1;
        } else {
            steps.push(Step::Added);
            r += 1;
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(a: &str, b: &str) -> String {
        unified(("a", a.as_bytes()), ("b", b.as_bytes()))
    }

    #[test]
    fn differences_are_shown_as_diff_shows_them() {
        assert_eq!(diff("x\n", "x\n"), "");
        assert_eq!(
            diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        );
        assert_eq!(diff("", "new"), "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+new\n\\ No newline at end of file\n");
        assert_eq!(diff("gone\n", ""), "--- a\n+++ b\n@@ -1,1 +0,0 @@\n-gone\n");
        assert!(diff("a\0", "b").starts_with("binary content differs"));
        let far: String = (0..40).map(|n| format!("{n}\n")).collect();
        assert_eq!(
            diff(&far, &far.replacen("2\n", "x\n", 1).replacen("38\n", "y\n", 1)).matches("@@ -").count(),
            2
        );
        let long: String = (0..3000).map(|n| format!("{n}\n")).collect();
        let other: String = (0..3000).map(|n| format!("-{n}\n")).collect();
        assert_eq!(diff(&long, &other).lines().count(), 6003, "too much to compare: shown as a whole");
    }
}
