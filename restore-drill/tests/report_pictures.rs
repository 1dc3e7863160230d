//! The page as people see it: in a headless Chromium, on a phone, on a desktop, in the dark, and on paper.
//! `REPORT_PICTURES=DIR` keeps the pictures.

#![allow(clippy::unwrap_used)] // a test panics where it fails

mod common;
#[path = "common/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lifeboat::disk;
use restore_drill::report::{Report, html};

/// Prints how wide the page is and what sticks out of it. It is in the test's copy of the page only, whose
/// policy allows no script.
const MEASURE: &str = "<pre id=\"measured\"></pre><script>addEventListener('load',()=>{const w=innerWidth;\
const out=[...document.body.querySelectorAll('*')].filter(e=>!e.closest('svg')&&e.getBoundingClientRect().right>w+1)\
.map(e=>e.tagName+'.'+e.className);document.getElementById('measured').textContent=\
'MEASURED '+w+' '+document.documentElement.scrollWidth+' '+out.join(',')+' END'})</script></body>";

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let all = std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
    all.into_iter().find(|candidate| candidate.is_file())
}

fn run(program: &Path, home: &Path, more: &[&str], page: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
    command.args(["--disable-dev-shm-usage", "--virtual-time-budget=2000", "--timeout=30000"]);
    command.arg(format!("--user-data-dir={}", home.join("profile").display())).env("HOME", home);
    command.args(more).arg(format!("file://{}", page.display())).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn the_page_fits_a_phone_and_a_desktop_light_dark_and_paper() {
    let Some(program) = chromium() else {
        return common::skip("the_page_fits_a_phone_and_a_desktop_light_dark_and_paper", "no chromium here");
    };
    let dir = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("REPORT_PICTURES").map(PathBuf::from);
    let pictures = kept.as_deref().unwrap_or(dir.path());
    let reports: [(&str, Report); 4] = [
        ("passed", sample::passed()),
        ("failed", sample::failed()),
        ("could-not-run", sample::could_not_run()),
        ("hostile", sample::hostile()),
    ];
    for (name, report) in reports {
        let text = html::page(&report);
        let page = dir.path().join(format!("{name}.html"));
        disk::write_new_durable(&page, text.as_bytes()).unwrap();
        for (width, least) in [(390, 380), (1280, 1200)] {
            // A window of Chromium is never narrower than 500 pixels; a frame in it is.
            let inner = text
                .replace("</body>", MEASURE)
                .replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'");
            let measured = dir.path().join(format!("{name}-{width}-inner.html"));
            disk::write_new_durable(&measured, inner.as_bytes()).unwrap();
            let frame = dir.path().join(format!("{name}-{width}.html"));
            let outer = format!(
                "<!doctype html><body style=\"margin:0\"><iframe width={width} height=4000 style=\"border:0\" \
                 src=\"{name}-{width}-inner.html\"></iframe><pre id=m></pre><script>addEventListener('load',()=>\
                 setTimeout(()=>{{m.textContent=document.querySelector('iframe').contentDocument.getElementById('measured').textContent}},200))</script>"
            );
            disk::write_new_durable(&frame, outer.as_bytes()).unwrap();
            let home = dir.path();
            let output = run(&program, home, &["--dump-dom", "--allow-file-access-from-files"], &frame);
            let dom = String::from_utf8_lossy(&output.stdout);
            let said = dom.split("MEASURED ").nth(1).and_then(|rest| rest.split(" END").next());
            let said =
                said.unwrap_or_else(|| panic!("{name}: {dom}{}", String::from_utf8_lossy(&output.stderr)));
            let numbers: Vec<u32> = said.split(' ').take(2).map(|n| n.parse().unwrap()).collect();
            assert!(numbers[0] >= least && numbers[1] <= numbers[0], "{name} at {width} scrolls: {said}");
            for (scheme, dark) in [("light", false), ("dark", true)] {
                let picture = pictures.join(format!("{name}-{width}-{scheme}.png"));
                let shot = format!("--screenshot={}", picture.display());
                let size =
                    format!("--window-size={},{}", width.max(500), if width < 500 { 3600 } else { 2200 });
                let mut more = vec![shot.as_str(), size.as_str(), "--allow-file-access-from-files"];
                if dark {
                    more.push("--blink-settings=preferredColorScheme=0");
                }
                let shown = if width < 500 { &frame } else { &page };
                run(&program, home, &more, shown);
                let bytes = disk::read(&picture, 64 << 20).unwrap();
                assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{}", picture.display());
            }
        }
        assert!(pages(&program, dir.path(), &page, &pictures.join(format!("{name}.pdf"))) > 1);
        // What is for those who decide fits the first page.
        let first = text.split("<div class=\"details\">").next().unwrap();
        let page = dir.path().join(format!("{name}-first.html"));
        disk::write_new_durable(&page, first.as_bytes()).unwrap();
        assert_eq!(pages(&program, dir.path(), &page, &dir.path().join(format!("{name}-first.pdf"))), 1);
    }
}

/// Prints a page into a file; how many pages of paper it has.
fn pages(program: &Path, home: &Path, page: &Path, paper: &Path) -> u32 {
    let print = format!("--print-to-pdf={}", paper.display());
    run(program, home, &[&print, "--no-pdf-header-footer"], page);
    let bytes = disk::read(paper, 64 << 20).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let count =
        text.split("/Count ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{} is no PDF", paper.display()))
}
