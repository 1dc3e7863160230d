//! What is replaced in texts, and what stays.

use super::*;
use crate::archive::signature::SigningKey;

fn redacted(text: &str) -> String {
    let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
    let once = Redactor::new(&key, "files/x").text(text);
    assert_eq!(Redactor::new(&key, "files/x").text(&once), once, "a second time changes nothing");
    once
}

#[test]
fn no_secret_is_left_whatever_the_format() {
    let text = "[options]\nadmin_passwd = s3cr3t with blanks\r\n; db_password = s3cr3t\ndb_password=s3cr3t\n\
        smtp_password: 's3cr3t'\nexport API_TOKEN=\"s3cr3t\"\n\
        {\"user\": \"odoo\", \"password\": \"s3cr3t\", \"clientSecret\":\"s3cr3t\"}\n  \"api_key\": \"s3cr3t\",\n\
        url = postgresql://odoo:s3cr3t@db:5432/shop?x=1\n\
        exec odoo --db_password s3cr3t --smtp-password=s3cr3t --workers 4\n\
        tokens:\n  - s3cr3t\n  - name: s3cr3t\nsecret: |\n  s3cr3t\n  s3cr3t\n\n  s3cr3t\nworkers: 4\n\
        passwords:\n- s3cr3t\nadmin_passwd = s3cr3t\n    s3cr3t\nsmtp_pass: \"s3cr3t\n  s3cr3t\"\npass: \"s3cr3t\" # was s3cr3t\nenv:\n- name: DB_PASSWORD\n  value: s3cr3t\n- {name: API_TOKEN, value: s3cr3t}\n\
        ---\napiVersion: v1\ndata:\n  a: s3cr3t\n  b: |\n    s3cr3t\nkind: Secret\n---\nkind: ConfigMap\ndata:\n  a: kept\n\
        -----BEGIN RSA PRIVATE KEY-----\ns3cr3t\ns3cr3t\n-----END RSA PRIVATE KEY-----\n\
        \"pem\": \"-----BEGIN PRIVATE KEY-----\\ns3cr3t\\n-----END PRIVATE KEY-----\\n\"\n\
        -----BEGIN PRIVATE KEY-----\ns3cr3t";
    let out = redacted(text);
    assert!(!out.contains("s3cr3t"), "{out}");
    for kept in [
        "[options]\n",
        "\r\n",
        "workers: 4\n",
        "\"user\": \"odoo\"",
        "@db:5432/shop?x=1",
        "--workers 4",
        "  a: kept\n",
    ] {
        assert!(out.contains(kept), "{kept:?} is missing in {out}");
    }
    assert!(
        serde_json::from_str::<serde_json::Value>(out.lines().find(|l| l.starts_with('{')).unwrap()).is_ok()
    );
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    for text in [
        "",
        "db_host = db1\ndb_name = shop\nworkers = 4\n",
        "db_password = False\nadmin_passwd =\n",
        "passwordSecretRef: odoo-db\nkeyfile=/etc/x\npublic_key: ssh-ed25519 AAAA\n",
        "url: https://example.com:8069/web?db=shop\nimage: odoo:17\ntime: 12:30:00\n",
        "no line end, no pair",
        "- token: false\n  user: odoo\n- name: x\n",
        "imagePullSecrets:\n- name: regcred\nvolumes:\n- secretName: odoo\n",
        "- name: API_TOKEN\n  valueFrom:\n    secretKeyRef:\n      name: odoo\n      key: token\n",
        "env: [{name: T, valueFrom: {secretKeyRef: {name: odoo, key: token}}}]\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert_eq!(redacted(text), text);
    }
}

/// Texts that nobody would write: none is a panic, and none has a secret left that it had as a value.
#[test]
fn made_up_texts_are_read_to_their_end() {
    let words = [
        "password",
        "name",
        "value",
        "kind: Secret",
        "data:",
        "s3cr3t",
        "\"",
        "'",
        "\\",
        "=",
        ": ",
        " ",
        "\n",
        "  ",
        "- ",
        "é",
        "---\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "#",
        "://",
        "@",
        "|",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "--token",
        "\u{2028}",
        "\t",
        "\r\n",
        ":",
        "x",
    ];
    let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(words[(state >> 33) as usize % words.len()]);
        }
        Redactor::new(&key, "files/x").text(&text);
        let with = format!("{text}\ndb_password = s3cr3t-last\n");
        let out = Redactor::new(&key, "files/x").text(&with);
        assert!(!out.contains("s3cr3t-last"), "{with:?} gave {out:?}");
    }
}

#[test]
fn a_changed_secret_shows_and_its_line_alone() {
    let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
    let redactor = Redactor::new(&key, "files/odoo.conf");
    let (a, b) = (redactor.text("x = 1\ndb_password = a\n"), redactor.text("x = 1\ndb_password = b\n"));
    assert_ne!(a, b);
    assert_eq!(a.lines().next(), b.lines().next());
    assert_eq!(a, redactor.text("x = 1\ndb_password = a\n"));
}
