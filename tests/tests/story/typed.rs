//! A printed command, typed at a terminal word for word, with the answer to what it asks.

use lifeboat_tests::terminal::AtTerminal;

use crate::shop::Shop;

/// Runs it to its end, which must be good; all that was on the screen.
#[track_caller]
pub fn type_it(shop: &Shop, line: &str, answer: Option<(&str, &str)>) -> String {
    let words = line.strip_prefix("lifeboat ").unwrap_or_else(|| panic!("not our command: {line}"));
    assert!(!words.contains(['\'', '"', '\\']), "a shell would read {line} otherwise");
    let args: Vec<&str> = words.split(' ').collect();
    let mut screen = AtTerminal::start(shop.run(&args));
    if let Some((question, answer)) = answer {
        screen.answer(question, answer);
    }
    let (code, screen) = screen.finish();
    assert_eq!(code, Some(0), "{line}\n{screen}");
    screen
}
