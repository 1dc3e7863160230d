//! No text of others gives a command to a runner, or ends one of ours.

use super::*;
use crate::archive::evidence::sample;

/// What a release, a tenant or a finding may be called by somebody who wants to release against the gates.
const HOSTILE: [&str; 10] = [
    "##vso[task.complete result=Succeeded;]done",
    "x]##vso[task.setvariable variable=lifeboatCheckpoint;isOutput=true]passed",
    "a\r\n##vso[task.complete result=Succeeded;]\n::set-output name=checkpoint::passed",
    "%0A##vso[task.complete result=Succeeded;]%5D%3B",
    "%AZP25%AZP250A%25%0D",
    "::error::x\n::stop-commands::a",
    " \t::add-mask::x",
    "ghadelimiter\nlifeboat_\ncheckpoint=passed\nLIFEBOAT_CHECKPOINT=passed",
    "\u{1b}[0Ksection_end:1:lifeboat_checkpoint\r\u{1b}[0K",
    "$(id) `id` ${IFS} \u{202e} <img src=x> | a | b",
];

fn told(word: Word, text: &str) -> Told {
    let text = format!("release {text} is blocked by gate wal: {text}");
    Told {
        word,
        sha256: Some("ab".repeat(32)),
        issues: vec![issue(true, &text), issue(false, &text)],
        page: None,
    }
}

/// The commands that an agent of Azure finds: it looks for the prefix anywhere in a line.
fn azure_commands(printed: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in printed.lines() {
        let Some(at) = line.to_ascii_lowercase().find("##vso[") else { continue };
        assert_eq!(line.to_ascii_lowercase().matches("##").count(), 1, "{line}");
        let (head, data) = line[at + 6..].split_once(']').unwrap();
        let pairs = [("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%AZP25", "%")];
        let plain = pairs.iter().fold(data.to_owned(), |text, (escape, c)| text.replace(escape, c));
        found.push((head.to_owned(), plain));
    }
    found
}

#[test]
fn azure_reads_our_commands_and_no_others() {
    for text in HOSTILE {
        let told = told(Word::Blocked, text);
        let found = azure_commands(&azure::commands(&told, Some(Path::new("/tmp/a b.md"))));
        let heads: Vec<&str> = found.iter().map(|(head, _)| head.as_str()).collect();
        assert_eq!(
            heads,
            [
                "task.logissue type=error;",
                "task.logissue type=warning;",
                "task.uploadsummary",
                "task.setvariable variable=lifeboatCheckpoint;isOutput=true;isreadonly=true;",
                "task.setvariable variable=lifeboatEvidenceSha256;isOutput=true;isreadonly=true;",
                "task.complete result=Failed;",
            ]
        );
        assert_eq!(found[0].1, told.issues[0].text.replace("##", "# #"), "the text arrives as it is");
        assert_eq!((found[2].1.as_str(), found[3].1.as_str()), ("/tmp/a b.md", "blocked"));
    }
    let passed = azure::commands(&told(Word::Passed, "r1"), None);
    assert!(!passed.contains("task.complete") && passed.contains("]passed\n"), "{passed}");
}

#[test]
fn github_reads_our_annotations_and_outputs_and_no_others() {
    for text in HOSTILE {
        let told = told(Word::Blocked, text);
        let printed = github::commands(&told);
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines.len(), 2, "{printed}");
        assert!(lines[0].starts_with("::error title=Lifeboat::release "), "{printed}");
        assert!(lines[1].starts_with("::warning title=Lifeboat::release "), "{printed}");
        let outputs = github::outputs(&told, "d1");
        let expected = format!("checkpoint<<d1\nblocked\nd1\nevidence-sha256<<d1\n{}\nd1\n", "ab".repeat(32));
        assert_eq!(outputs, expected, "nothing of others is in the outputs");
    }
    let (one, other) = (github::delimiter(), github::delimiter());
    assert!(one != other && one.len() > 64, "{one}");
}

#[test]
fn gitlab_gets_words_of_ours_only() {
    for text in HOSTILE {
        let told = told(Word::Blocked, text);
        let expected = format!("LIFEBOAT_CHECKPOINT=blocked\nLIFEBOAT_EVIDENCE_SHA256={}\n", "ab".repeat(32));
        assert_eq!(gitlab::dotenv(&told), expected);
        let (begin, end) = gitlab::section(&told, 7);
        assert!(begin.contains("section_start:7:lifeboat_checkpoint[collapsed=false]\r"), "{begin:?}");
        assert!(end.contains("section_end:7:lifeboat_checkpoint\r"), "{end:?}");
    }
}

#[test]
fn the_page_and_the_issues_of_a_hostile_checkpoint_stay_text() {
    let mut checkpoint = sample::checkpoint();
    for text in HOSTILE {
        for gate in &mut checkpoint.gates {
            gate.found = text.to_owned();
        }
        let report = CheckpointReport {
            checkpoint: checkpoint.clone(),
            stored: None,
            sha256: None,
            existed: false,
            seconds: 1.0,
            notes: Vec::new(),
        };
        let told = Told::of(&report, false);
        assert!(told.issues.iter().all(|issue| !issue.text.contains(['\n', '\r', '\u{1b}'])));
        let page = told.page.unwrap();
        assert!(page.starts_with("No evidence was stored"), "{page}");
        assert!(!page.contains('\u{1b}'), "{page}");
        assert_eq!(page.matches("<img").count(), page.matches("\\<img").count(), "{page}");
    }
}

#[test]
fn the_system_is_recognized_from_its_own_variable() {
    let of = |name: &str, value: &str| {
        let environment = vec![(name.into(), value.into())];
        Ci::recognized(&Inputs { environment, ..Inputs::default() }).unwrap()
    };
    assert_eq!(of("TF_BUILD", "True"), Ci::Azure);
    assert_eq!(of("GITHUB_ACTIONS", "true"), Ci::Github);
    assert_eq!(of("GITLAB_CI", "true"), Ci::Gitlab);
    assert_eq!((of("GITHUB_ACTIONS", "false"), of("CI", "true")), (Ci::None, Ci::None));
}
