//! A restore by a person at a terminal: asked for the passphrase of the identity, shown the plan,
//! asked again. And by nobody.

use lifeboat_tests::children::HANGS;
use lifeboat_tests::compare::assert_same_database;
use lifeboat_tests::site::Site;
use lifeboat_tests::terminal::AtTerminal;
use lifeboat_tests::{Cluster, Program, small_tenant};

use crate::databases;

const PASSPHRASE: &str = "korrekt häst battery";

#[test]
fn a_passphrase_is_asked_for_at_a_terminal_and_missed_where_there_is_none() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 31);
    site.back_up(&[]);
    site.protect_identity(PASSPHRASE);
    let before = databases(&cluster);
    let restore = |args: &[&str]| -> Program {
        let common = ["restore", "--tenant", "shop", "--as", "x", "--no-neutralize"];
        site.run(&common).args(["--identity", "lifeboat-identity.txt"]).args(args.to_vec())
    };
    let question = "passphrase of lifeboat-identity.txt (not shown";

    // nobody to ask: said at once, with what to do
    let alone = restore(&["--yes"]).without_terminal().run().exits(12);
    let alone =
        alone.says("needs a passphrase, and there is no terminal to ask at").says("seal.passphrase_file");
    assert!(alone.took < HANGS, "{alone}");
    // a pipe is no terminal: the environment is the way for scripts
    restore(&["--dry-run"]).without_terminal().env("LIFEBOAT_PASSPHRASE", PASSPHRASE).run().ok();
    restore(&["--dry-run"]).without_terminal().env("LIFEBOAT_PASSPHRASE", "wrong").run().exits(12);

    // mistyped
    let mut wrong = AtTerminal::start(restore(&[]));
    wrong.answer(question, "korrekt hast\n");
    let (code, screen) = wrong.finish();
    assert_eq!(code, Some(12), "{screen}");
    assert!(screen.contains("the passphrase is wrong"), "{screen}");
    // given up
    let mut given_up = AtTerminal::start(restore(&[]));
    given_up.answer(question, "korrekt\u{3}");
    let (code, screen) = given_up.finish();
    assert_eq!(code, Some(12), "{screen}");
    // the plan is not what the person wants
    let mut refused = AtTerminal::start(restore(&[]));
    refused.answer(question, &format!("{PASSPHRASE}\n"));
    refused.answer("Do this? [y/N]", "n\n");
    let (code, screen) = refused.finish();
    assert_eq!(code, Some(16), "{screen}");
    assert!(!screen.contains("korrekt"), "the passphrase is on the screen: {screen}");
    assert_eq!(databases(&cluster), before);
    // typed right, with a correction on the way
    let mut right = AtTerminal::start(restore(&[]));
    right.answer(question, &format!("{PASSPHRASE}ß\u{7f}\n"));
    right.answer("Do this? [y/N]", "y\n");
    let (code, screen) = right.finish();
    assert_eq!(code, Some(0), "{screen}");
    assert_same_database((&cluster, "shop"), (&cluster, "x"));
}
