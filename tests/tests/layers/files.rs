//! docs/architecture.md says of every source file what its own first sentence says: compared here, and
//! rewritten by `UPDATE=1 cargo test -p lifeboat-tests --test layers`.

use std::fs;
use std::path::Path;

use lifeboat_tests::compare::walk;
use lifeboat_tests::program::workspace_root;

const PAGE: &str = "docs/architecture.md";
/// How wide Markdown is at most.
const COLUMNS: usize = 100;

/// The first paragraph of a file's own comment, without its full stop.
fn sentence(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let paragraph: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let text = paragraph.join(" ");
    assert!(!text.is_empty(), "{} does not say what it is", path.display());
    let end = text.find(". ").unwrap_or(text.trim_end_matches('.').len());
    text[..end].to_owned()
}

/// One line a file below `source`; a directory stands for its `mod.rs`.
fn list(source: &Path, top: &[&str]) -> String {
    let mut files = Vec::new();
    walk(source, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(source).unwrap().to_str().unwrap();
            files.push((name.trim_end_matches("mod.rs").to_owned(), sentence(path)));
        }
    });
    let rank = |name: &str| {
        let module = name.split('/').next().unwrap_or(name).trim_end_matches(".rs");
        top.iter().position(|known| *known == module).unwrap_or(top.len())
    };
    files.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    let mut lines = String::new();
    for (name, says) in files {
        let depth = name.trim_end_matches('/').matches('/').count().min(1);
        let shown = if depth == 0 { &name } else { &name[name.find('/').unwrap() + 1..] };
        lines += &item(&"  ".repeat(depth), &format!("`{shown}`: {says}"));
    }
    lines
}

/// One item of a list, wrapped as all of our Markdown is.
fn item(indent: &str, text: &str) -> String {
    let (mut out, mut line) = (String::new(), format!("{indent}-"));
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS {
            out += &format!("{line}\n");
            line = format!("{indent} ");
        }
        line += &format!(" {word}");
    }
    out + &line + "\n"
}

#[test]
fn the_page_of_the_architecture_lists_every_file() {
    let root = workspace_root();
    let page = fs::read_to_string(root.join(PAGE)).unwrap();
    let mut now = page.clone();
    let agent: Vec<&str> = ["lib", "main"].into_iter().chain(super::top_down()).collect();
    for (package, top) in [
        ("agent/src", agent.as_slice()),
        ("restore-drill/src", &["lib", "main", "cli", "drill", "steps", "stages"]),
    ] {
        let heading = format!("\n### {package}\n\n");
        let begin = now.find(&heading).expect("the page has the heading") + heading.len();
        let end = begin + now[begin..].find("\n\n").expect("a blank line ends the list") + 1;
        now.replace_range(begin..end, &list(&root.join(package), top));
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root.join(PAGE), &now).unwrap();
        return;
    }
    let differs = page.lines().zip(now.lines()).find(|(a, b)| a != b);
    assert!(
        page == now,
        "{PAGE} is not what the sources say, first at {differs:?}: UPDATE=1 cargo test -p lifeboat-tests --test layers"
    );
}
