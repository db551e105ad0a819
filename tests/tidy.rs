//! The house rules that a machine can check: which module may use which, how long things may be, what is said where.
//!
//! A rule that gets in the way is changed here, with its reason, and not worked around.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the ground up; each may use itself and what stands before it.
const LAYERS: [&str; 18] = [
    "time", "random", "machine", "bucket", "wire", "secure", "arq", "endpoint", "chat", "peer", "ledger",
    "relay", "fault", "sim", "store", "io", "ui", "cli",
];

/// Modules that know less than their place would allow.
const KNOWS_ONLY: [(&str, &[&str]); 5] = [
    // Keys do not depend on what they seal.
    ("secure", &["time", "wire"]),
    // The words do not depend on how they travel.
    ("chat", &["time", "random", "machine", "wire", "secure"]),
    // What is kept does not depend on who asks, nor on how.
    ("ledger", &["time", "secure", "chat"]),
    // A relay talks to peers and is none.
    (
        "relay",
        &["time", "random", "machine", "bucket", "wire", "secure", "arq", "endpoint", "chat", "ledger"],
    ),
    // The bad link looks at datagrams and takes no part in what they are about.
    ("fault", &["time", "random", "machine", "wire"]),
];

/// The most lines of a file, its tests not counted: what one can keep in mind.
const MAX_FILE_LINES: usize = 600;

/// Longer files, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];

/// The most lines of a function: what fits on a screen.
const MAX_FUNCTION_LINES: usize = 70;

/// Longer functions, each with the reason.
const LONG_FUNCTIONS: [(&str, &str); 0] = [];

/// What the pure modules must not reach for, and where it belongs.
const IMPURE: [(&str, &str); 6] = [
    ("UdpSocket", "io/socket.rs"),
    ("std::fs", "io or cli"),
    ("std::thread", "io"),
    ("Instant::now", "io/clock.rs"),
    ("SystemTime::now", "io/clock.rs"),
    ("std::env", "cli"),
];

/// Words that are not used, and what is said instead.
const BANNED: [(&str, &str); 8] = [
    ("fn get_", "name the function after what it returns"),
    ("TODO", "open an issue"),
    ("FIXME", "open an issue"),
    ("XXX", "open an issue"),
    ("utilize", "use"),
    ("in order to", "to"),
    ("whitelist", "say what is allowed"),
    ("sequence number", "packet number, or a message's number in its stream"),
];

#[test]
fn modules_use_only_what_stands_before_them() {
    let mut wrong = Vec::new();
    for file in files("src", "rs").iter().filter(|file| !is_test_file(file)) {
        let Some(layer) = layer_of(file) else { continue };
        let text = read(file);
        for (line, used) in used_modules(code_of(&text)) {
            let rank = |module: &str| LAYERS.iter().position(|layer| *layer == module);
            let is_known = rank(&used) <= rank(layer) && rank(&used).is_some();
            let is_granted = KNOWS_ONLY
                .iter()
                .all(|(module, known)| *module != layer || used == layer || known.contains(&used.as_str()));
            if !is_known || !is_granted {
                wrong.push(format!("{}:{line}: `{layer}` may not use `{used}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_modules_reach_for_nothing_outside() {
    let mut wrong = Vec::new();
    for file in files("src", "rs").iter().filter(|file| !is_test_file(file)) {
        if matches!(layer_of(file), None | Some("store" | "io" | "ui" | "cli")) {
            continue;
        }
        for (line, code) in (1..).zip(code_of(&read(file)).lines()) {
            for (word, place) in IMPURE.iter().filter(|(word, _)| without_comment(code).contains(word)) {
                wrong.push(format!("{}:{line}: `{word}` belongs into {place}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_and_functions_stay_short() {
    let mut wrong = Vec::new();
    let excepted = |list: &[(&str, &str)], name: &str| list.iter().any(|(long, _)| *long == name);
    let sources = sources().into_iter().filter(|file| !is_test_file(file));
    for file in sources {
        let name = file.display().to_string();
        let text = read(&file);
        let lines = code_of(&text).lines().count();
        if lines > MAX_FILE_LINES && !excepted(&LONG_FILES, &name) {
            wrong.push(format!("{name}: {lines} lines, {MAX_FILE_LINES} are the most"));
        }
        for (line, function, lines) in functions(&text) {
            if lines > MAX_FUNCTION_LINES && !excepted(&LONG_FUNCTIONS, &format!("{name}::{function}")) {
                wrong.push(format!(
                    "{name}:{line}: `{function}` has {lines} lines, {MAX_FUNCTION_LINES} are the most"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_forgotten() {
    let mut wrong = Vec::new();
    for file in files("src", "rs") {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder = file.parent().unwrap_or(Path::new(""));
        if folder == Path::new("src") && matches!(stem, "lib" | "main") {
            continue;
        }
        // `a/mod.rs` is the module `a`, declared in the folder above.
        let (module, folder) = match stem {
            "mod" => (name_of(folder), folder.parent().unwrap_or(Path::new(""))),
            _ => (stem.to_owned(), folder),
        };
        let parents = [folder.join("mod.rs"), folder.with_extension("rs"), folder.join("lib.rs")];
        let is_declared = parents
            .iter()
            .filter_map(|parent| fs::read_to_string(parent).ok())
            .any(|text| text.lines().any(|line| line.trim_end().ends_with(&format!("mod {module};"))));
        if !is_declared {
            wrong.push(format!("{}: no module declares it", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent: Vec<PathBuf> = sources().into_iter().filter(|file| !read(file).starts_with("//!")).collect();
    assert!(silent.is_empty(), "they do not begin with `//!`: {silent:#?}");
}

#[test]
fn no_line_ends_with_space_and_no_word_is_banned() {
    let mut wrong = Vec::new();
    let texts = ["md", "json", "toml", "sh"].map(|extension| {
        ["spec", "tools", "."]
            .map(|folder| if folder == "." { root_files(extension) } else { files(folder, extension) })
    });
    let texts = texts.into_iter().flatten().flatten();
    for file in sources().into_iter().chain(texts).filter(|file| !file.ends_with("tests/tidy.rs")) {
        for (line, text) in (1..).zip(read(&file).lines()) {
            if text.ends_with([' ', '\t']) {
                wrong.push(format!("{}:{line}: space at the end", file.display()));
            }
            for (word, instead) in BANNED.iter().filter(|(word, _)| text.contains(word)) {
                wrong.push(format!("{}:{line}: `{word}`: {instead}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

// How a source is read.

/// The layer that a file below `src` belongs to; None for the crate's own two files.
fn layer_of(file: &Path) -> Option<&'static str> {
    let first = file.components().nth(1)?;
    let name = Path::new(&first).file_stem()?.to_str()?;
    LAYERS.into_iter().find(|layer| *layer == name)
}

/// The modules that `crate::…` paths name, with their lines.
fn used_modules(code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        for (at, path) in without_comment(text).match_indices("crate::") {
            let rest = &text[at + path.len()..];
            let names =
                rest.strip_prefix('{').map_or(rest, |group| group.split('}').next().unwrap_or_default());
            let is_group = rest.starts_with('{');
            for name in names.split(',').take(if is_group { usize::MAX } else { 1 }) {
                let name: String =
                    name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                // Macros and items of the crate's root have no layer.
                if LAYERS.contains(&name.as_str()) {
                    used.push((line, name));
                }
            }
        }
    }
    used
}

/// Every function: its line, its name, its length. The code is formatted, so a function ends where its brace stands as deep as
/// its beginning.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let length = lines[index..]
            .iter()
            .position(|line| {
                *line == end
                    || line.ends_with(';')
                        && line.starts_with(indent)
                        && !line[indent.len()..].starts_with(' ')
            })
            .map_or(1, |last| last + 1);
        let is_one_line = line.ends_with('}');
        found.push((index + 1, name.to_owned(), if is_one_line { 1 } else { length }));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let is_word = |word: &str| matches!(word, "pub" | "const" | "pub(super)" | "pub(crate)" | "async");
    let keyword = words.find(|word| !is_word(word))?;
    (keyword == "fn").then(|| words.next())?.map(|name| name.split(['(', '<']).next().unwrap_or(name))
}

/// The part of a line before its comment; a `//` in a text cuts too early, which no rule minds.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// A file without the tests at its end.
fn code_of(text: &str) -> &str {
    &text[..text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len())]
}

fn is_test_file(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
}

// Files.

fn sources() -> Vec<PathBuf> {
    ["src", "tests", "tools", "benches"].iter().flat_map(|folder| files(folder, "rs")).collect()
}

fn root_files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(".").unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name()));
    entries.filter(|file| file.extension().is_some_and(|found| found == extension)).collect()
}

/// Every file below a folder whose name ends so, in the order of their names; none if there is no such folder.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name_of(folder: &Path) -> String {
    folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects of `--json`, which scripts rely on: each with its fields, a `?` after those that may be absent.
#[test]
fn every_event_is_in_the_readme_with_its_fields() {
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let mut written = BTreeMap::new();
    for path in ["src/ui/json.rs", "src/ui/relay/json.rs", "src/ui/trust.rs"] {
        for (event, fields) in events(&read(path)) {
            let known: &mut BTreeMap<String, bool> = written.entry(event).or_default();
            // What one of two forms has not is absent there.
            let is_first = known.is_empty();
            known.iter_mut().for_each(|(field, may_be_absent)| *may_be_absent |= !fields.contains_key(field));
            for (field, may_be_absent) in fields {
                let before = known.get(&field).copied();
                known.insert(field, may_be_absent || before.unwrap_or(!is_first));
            }
        }
    }
    let mut told = BTreeMap::new();
    let readme = read("README.md");
    let table = readme.lines().skip_while(|line| *line != "| event | fields | tells |").skip(2);
    for line in table.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let fields = cells[2].split_whitespace().map(|field| field.trim_matches('`'));
        let fields = fields.map(|field| (field.trim_end_matches('?').to_owned(), field.ends_with('?')));
        told.insert(cells[1].trim_matches('`').to_owned(), fields.collect::<BTreeMap<_, _>>());
    }
    assert!(written.len() > 30, "{written:?}");
    for (event, fields) in &written {
        assert_eq!(told.get(event), Some(fields), "{event}");
    }
    assert_eq!(told.len(), written.len());
}

/// The events of one file, from the source of the objects that it prints.
fn events(source: &str) -> Vec<(String, BTreeMap<String, bool>)> {
    let start = source.find("#[serde(tag = \"event\"").unwrap();
    let mut events = Vec::new();
    for variant in source[start..].split("\n}").next().unwrap().split("\n    ").skip(1) {
        let name: String = variant.chars().take_while(|c| c.is_alphanumeric()).collect();
        if name.starts_with(|first: char| first.is_uppercase()) {
            events.push((name, String::new()));
        }
        if let Some((_, body)) = events.last_mut() {
            body.push_str(variant);
            body.push('\n');
        }
    }
    let with_fields = |(name, body): (String, String)| {
        // Of a variant with a struct in it, the struct's.
        let inner =
            body.split_once('(').filter(|_| body.starts_with(&format!("{name}("))).map(|(_, inner)| inner);
        let body = inner.map_or(body.clone(), |inner| {
            let inner: String = inner.chars().take_while(|c| c.is_alphanumeric()).collect();
            let start = source.find(&format!("struct {inner}")).unwrap();
            source[start..].split("\n}").next().unwrap().to_owned()
        });
        (snake_case(&name), fields(&body))
    };
    events.into_iter().map(with_fields).collect()
}

/// Each field, and whether it may be absent.
fn fields(body: &str) -> BTreeMap<String, bool> {
    let (mut fields, mut may_be_absent) = (BTreeMap::new(), false);
    for line in body.lines().skip(1).map(str::trim) {
        if line.starts_with("#[serde(skip_serializing_if") {
            may_be_absent = true;
        } else if !line.starts_with("//")
            && let Some((field, _)) = line.split_once(": ")
        {
            fields.insert(field.trim_start_matches("r#").to_owned(), std::mem::take(&mut may_be_absent));
        }
    }
    fields
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}
