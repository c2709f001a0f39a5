//! The house rules that a compiler does not check: who imports whom, and that every file says what it is for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which top-level modules each may import besides itself. The order is that of `src/lib.rs`.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let ground = ["account", "console", "environment", "error", "secret"];
    let shared = ["aws", "network"];
    let rooms = ["identity", "ecr", "docker", "registry", "gitlab"];
    let with = |more: &[&[&'static str]]| more.concat();
    let mut allowed = BTreeMap::from([
        ("network", with(&[&ground])),
        ("aws", with(&[&ground, &["network"]])),
        ("progress", with(&[&ground])),
        ("cli", vec![]),
        ("settings", with(&[&ground, &shared, &rooms, &["cli"]])),
        ("push", with(&[&ground, &shared, &rooms, &["progress"]])),
        (
            "commands",
            with(&[
                &ground,
                &shared,
                &rooms,
                &["cli", "settings", "push", "progress"],
            ]),
        ),
        ("main", vec!["cli", "commands", "console"]),
    ]);
    for module in ground {
        allowed.insert(module, ground.to_vec());
    }
    for room in rooms {
        allowed.insert(room, with(&[&ground, &shared]));
    }
    allowed
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn source_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules that a file names after `crate::` or `crossdock::`.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    ["crate::", "crossdock::"]
        .iter()
        .flat_map(|prefix| code.split(prefix).skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|character| character.is_ascii_alphanumeric() || *character == '_')
                .collect()
        })
        .collect()
}

#[test]
fn imports_point_one_way() {
    let allowed = allowed();
    let mut checked = 0;
    for path in sources(&source_dir()) {
        let relative = path.strip_prefix(source_dir()).unwrap();
        let top = relative
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        if top == "lib" {
            continue;
        }
        let may = allowed
            .get(top)
            .unwrap_or_else(|| panic!("{top} is not on the map of lib.rs"));
        for import in imports(&std::fs::read_to_string(&path).unwrap()) {
            assert!(
                import == top || may.contains(&import.as_str()),
                "{} must not import {import}",
                relative.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} imports were seen");
}

/// The files of the same room that a file imports by `super::`.
fn neighbours(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines()
        .filter_map(|line| line.trim().strip_prefix("use super::"))
        .filter_map(|rest| rest.split([':', ';', ' ']).next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_circle_is_inside_a_room() {
    let mut rooms: BTreeMap<PathBuf, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for path in sources(&source_dir()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let imported = neighbours(&std::fs::read_to_string(&path).unwrap());
        rooms
            .entry(path.parent().unwrap().to_owned())
            .or_default()
            .insert(name, imported);
    }
    let mut checked = 0;
    for (room, mut files) in rooms {
        // A file that imports none that is left is taken away; in the end none is left, unless there is a circle.
        while !files.is_empty() {
            let known: Vec<String> = files.keys().cloned().collect();
            let free = files
                .iter()
                .find(|(_, imported)| imported.iter().all(|name| !known.contains(name)))
                .map(|(name, _)| name.clone());
            let Some(free) = free else {
                panic!(
                    "{}: {files:?} import each other in a circle",
                    room.display()
                );
            };
            checked += files.remove(&free).unwrap().len();
        }
    }
    assert!(checked > 20, "only {checked} imports were seen");
}

#[test]
fn every_module_says_what_it_is_for_and_tells_one_story() {
    for path in sources(&source_dir()) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} has no //!", path.display());
        let lines = text.lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
    let main = std::fs::read_to_string(source_dir().join("main.rs")).unwrap();
    assert!(main.lines().count() < 30);
}
