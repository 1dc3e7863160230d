//! Reads `postgresql.conf` like the server (PostgreSQL manual, 20.1.2): names and values, of which the
//! last one of a name counts, and included files. Pure: the caller provides the files.

/// The depth of includes; PostgreSQL's own limit.
const DEPTH_MAX: u32 = 10;
/// The total number of files that are read.
const FILES_MAX: usize = 1000;

/// One line that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// In lower case.
    pub name: String,
    /// Without quotes.
    pub value: String,
}

/// The settings, and what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    /// In the order of the files; the last one of a name counts.
    pub settings: Vec<Setting>,
    /// Included files that do not exist.
    pub absent_includes: Vec<String>,
    /// Every include line, such as `include_dir '/etc/conf.d'`.
    pub includes: Vec<String>,
}

/// Where files come from; names are as in the lines, relative to the directory of `conf`.
pub trait Files {
    /// The text of a file; `None` if it does not exist.
    fn text(&self, path: &str) -> Option<String>;
    /// The files of a directory whose names end in `.conf`, sorted; `None` if the directory does not exist.
    fn conf_files(&self, dir: &str) -> Option<Vec<String>>;
}

impl Conf {
    /// Reads these files in this order.
    pub fn read(files: &dyn Files, paths: &[&str]) -> Conf {
        let mut conf = Conf::default();
        let mut read = 0;
        for path in paths {
            if let Some(text) = files.text(path) {
                conf.add(files, &text, 0, &mut read);
            }
        }
        conf
    }

    /// The effective value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.iter().rev().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    }

    fn add(&mut self, files: &dyn Files, text: &str, depth: u32, read: &mut usize) {
        *read += 1;
        if depth > DEPTH_MAX || *read > FILES_MAX {
            return;
        }
        for Setting { name, value } in text.lines().filter_map(line) {
            let included = match name.as_str() {
                "include" | "include_if_exists" => Some(vec![value.clone()]),
                "include_dir" => files.conf_files(&value),
                _ => {
                    self.settings.push(Setting { name, value });
                    continue;
                }
            };
            self.includes.push(format!("{name} '{value}'"));
            let must_be = name != "include_if_exists";
            let mut absent = included.is_none();
            for path in included.unwrap_or_default() {
                match files.text(&path) {
                    Some(text) => self.add(files, &text, depth + 1, read),
                    None => absent = true,
                }
            }
            if absent && must_be {
                self.absent_includes.push(value);
            }
        }
    }
}

/// What a line sets; `None` for comments and invalid lines.
fn line(text: &str) -> Option<Setting> {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "_.$".contains(c) || !c.is_ascii()))?;
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let value = match rest.strip_prefix('\'') {
        Some(quoted) => unquoted(quoted),
        None => rest.split(|c: char| c.is_whitespace() || c == '#').next().unwrap_or_default().to_owned(),
    };
    (!name.is_empty()).then(|| Setting { name: name.to_ascii_lowercase(), value })
}

/// Up to the closing quote; `''` and `\'` are a quote.
fn unquoted(text: &str) -> String {
    let (mut out, mut chars) = (String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => out.extend(chars.next()),
            '\'' => break,
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Some3;

    impl Files for Some3 {
        fn text(&self, path: &str) -> Option<String> {
            let text = match path {
                "postgresql.conf" => {
                    "# a comment\nPort = 5433 # why\nwork_mem 4MB\nsearch_path='a, ''b'''\n\
                     include_if_exists 'none.conf'\ninclude = '/etc/gone.conf'\ninclude_dir 'conf.d'\n"
                }
                "conf.d/a.conf" => "port=5434\narchive_command = 'cp \"%p\" /x/%f'\ninclude 'loop.conf'\n",
                "loop.conf" => "include 'loop.conf'\n",
                "postgresql.auto.conf" => "work_mem = '8MB'\n",
                _ => return None,
            };
            Some(text.to_owned())
        }

        fn conf_files(&self, dir: &str) -> Option<Vec<String>> {
            (dir == "conf.d").then(|| vec!["conf.d/a.conf".to_owned()])
        }
    }

    #[test]
    fn the_last_one_of_a_name_counts_and_what_is_not_there_is_told() {
        let conf = Conf::read(&Some3, &["postgresql.conf", "postgresql.auto.conf", "none"]);
        for (name, value) in [
            ("port", Some("5434")),
            ("work_mem", Some("8MB")),
            ("search_path", Some("a, 'b'")),
            ("archive_command", Some("cp \"%p\" /x/%f")),
            ("a", None),
        ] {
            assert_eq!(conf.get(name), value, "{name}");
        }
        assert_eq!(conf.absent_includes, ["/etc/gone.conf"]);
        assert!(conf.includes.len() > 4 && conf.includes[0] == "include_if_exists 'none.conf'");
    }
}
