//! What of a file a person reads as sentences: Markdown without code, comments and strings of a source. The
//! rest becomes [`CUT`], so that no phrase reaches across it, and every line keeps its number.

/// In place of what is no prose.
pub const CUT: char = '\u{1}';

/// Markdown's text: fenced blocks and `code` are cut out.
pub fn of_page(text: &str) -> String {
    let (mut out, mut fenced, mut code) = (String::new(), false, false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            code &= !line.trim().is_empty(); // a paragraph ends what was never closed
            for c in line.chars() {
                if c == '`' {
                    code = !code;
                }
                out.push(if code || c == '`' { CUT } else { c });
            }
            if line.trim().is_empty() || line.trim_start().starts_with(['|', '#', '-']) {
                out.push(CUT);
            }
        }
        out.push('\n');
    }
    out
}

/// A source's comments and strings: code is cut out, and the marks of comments and strings with it.
pub fn of_source(text: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    let mut at = 0;
    while at < chars.len() {
        if starts(at, "//") {
            // The marks of the next line's comment are white space, so that a sentence may go on there.
            while at < chars.len() && ['/', '!'].contains(&chars[at]) {
                at += 1;
            }
            let end = (at..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len());
            out.extend(&chars[at..end]);
            at = end;
        } else if starts(at, "skip_serializing_if") {
            // an attribute's string is the path of a function
            let end = (at..chars.len()).find(|at| chars[*at] == '\n').unwrap_or(chars.len());
            out.push(CUT);
            at = end;
        } else if chars[at] == '"' || starts(at, "r\"") || starts(at, "r#\"") {
            let raw = chars[at] == 'r';
            let hashes = if starts(at, "r#") { 1 } else { 0 };
            at += 1 + usize::from(raw) + hashes;
            let ends = if hashes > 0 { "\"#" } else { "\"" };
            while at < chars.len() && !starts(at, ends) {
                if chars[at] == '\\' && !raw {
                    // `\` at a line's end goes on in the next one; `\n` and its like are white space.
                    out.push(if chars.get(at + 1) == Some(&'\n') { '\n' } else { ' ' });
                    at += 2;
                } else {
                    out.push(chars[at]);
                    at += 1;
                }
            }
            out.push(CUT);
            at += ends.len();
        } else if chars[at] == '\'' && chars.get(at + 2) == Some(&'\'') {
            out.push(CUT);
            at += 3; // '"' begins no string
        } else {
            out.push(if chars[at].is_whitespace() { chars[at] } else { CUT });
            at += 1;
        }
    }
    out
}

#[test]
fn prose_is_told_from_code() {
    let page = of_page("One `two`\nthree.\n```sh\nfour\n```\nfive");
    let kept = |text: &str| text.replace(CUT, "");
    assert_eq!(kept(&page), "One \nthree.\n\n\n\nfive\n");
    let source = "/// It goes\n/// on.\nlet a = '\"'; call(\"this \\\n  too\", r#\"a \"b\"\"#); // end\n";
    let lines: Vec<String> = of_source(source).lines().map(|line| kept(line).trim().to_owned()).collect();
    assert_eq!(lines, ["It goes", "on.", "this", "too a \"b\"  end"]);
}
