//! Tables that list files and folders list those that there are.

use std::collections::BTreeMap;
use std::path::Path;

use super::{at, code, names, quoted, read, rows, sources};

#[test]
fn each_map_lists_the_files_of_its_folder() {
    let mut maps = 0;
    for file in sources(&at("src")) {
        let Some(listed) = files_of(&file) else { continue };
        maps += 1;
        let mut listed: Vec<_> = listed.concat();
        drop_twins(&mut listed);
        assert_eq!(listed, expected(&file), "the map in src/{file}");
    }
    assert!(maps >= 5, "{maps} maps");
}

#[test]
fn each_large_folder_has_a_map() {
    for file in sources(&at("src")).iter().filter(|file| file.ends_with("/mod.rs")) {
        let there = expected(file).len();
        // The head of the layers names each kind instead, which is checked below.
        assert!(
            there < LARGE || files_of(file).is_some() || file == "layer/mod.rs",
            "src/{file} has no map of its {there} files"
        );
    }
}

#[test]
fn what_is_missing_in_a_map_is_found() {
    let map = "//! | file | idea |\n//! |---|---|\n//! | `a.rs`, `b/` | one |\n//! | `c.rs` | another |\n//!\n//! | word | idea |\n";
    assert_eq!(listed(map).unwrap(), [vec!["a.rs", "b/"], vec!["c.rs"]]);
    assert_eq!(listed("//! | word | idea |\n//! |---|---|\n//! | `a.rs` | one |\n"), None);
}

#[test]
fn the_table_of_folders_lists_them() {
    let text = read(&at("CONTRIBUTING.md"));
    let rows = rows(&text);
    let start = rows.iter().position(|row| row[0] == "folder").unwrap() + 1;
    let listed: Vec<_> = rows[start..].iter().take_while(|row| row.len() == 3).flat_map(|row| quoted(row[0])).collect();
    for path in &listed {
        assert!(at(path).exists(), "{path} does not exist");
    }
    for name in names(&at("src")).iter().filter(|name| *name != "lib.rs" && *name != "bin") {
        let slash = if at("src").join(name).is_dir() { "/" } else { "" };
        assert!(
            listed.contains(&format!("src/{name}{slash}").as_str()),
            "src/{name} is not in the table of CONTRIBUTING.md"
        );
    }
    for name in ["benches", "examples", "findings", "fuzz", "interop", "tests"] {
        assert!(listed.contains(&format!("{name}/").as_str()), "{name} is not in the table of CONTRIBUTING.md");
    }
}

#[test]
fn the_table_of_the_library_lists_its_public_modules() {
    let text = read(&at("src/lib.rs"));
    let rows = rows(&text);
    let start = rows.iter().position(|row| row[0] == "module").unwrap() + 1;
    let mut listed: Vec<_> =
        rows[start..].iter().take_while(|row| row.len() == 3).map(|row| quoted(row[0])[0]).collect();
    listed.sort_unstable();
    let code = code::of(&text);
    let mut public: Vec<_> = code.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    public.sort_unstable();
    assert_eq!(listed, public);
}

/// Each kind of layer is named at the head of the folder: its module, or something of it that is exported.
#[test]
fn the_head_of_the_layers_names_each_of_them() {
    let text = read(&at("src/layer/mod.rs"));
    let (code, exports) = (code::of(&text), exports(&text));
    let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let modules =
        code.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    for module in modules {
        let mut words =
            exports.iter().filter(|(_, home)| *home == module).map(|(word, _)| word.as_str()).chain([module]);
        let is_named = words.any(|word| quoted(&head).contains(&word)) || head.contains(&format!("]({module}::"));
        assert!(is_named, "{module} is not named at the head of src/layer/mod.rs");
    }
}

/// The files and folders that the map at the head of a file lists, row by row, if there is a map.
pub(crate) fn files_of(file: &str) -> Option<Vec<Vec<String>>> {
    let rows = listed(&read(&at("src").join(file)))?;
    let own = file.strip_suffix(".rs").unwrap().rsplit('/').next().unwrap().to_owned();
    // A file beside its folder may write the folder in front.
    let bare = |name: &str| name.strip_prefix(&format!("{own}/")).unwrap_or(name).to_owned();
    Some(rows.iter().map(|row| row.iter().map(|name| bare(name)).collect()).collect())
}

fn listed(text: &str) -> Option<Vec<Vec<String>>> {
    let rows = rows(text);
    let start = rows.iter().position(|row| row[..] == ["file", "idea"])? + 1;
    let is_file = |name: &&str| name.ends_with(".rs") || name.ends_with('/');
    let files = rows[start..].iter().map(|row| quoted(row[0]).into_iter().filter(is_file).map(str::to_owned).collect());
    Some(files.take_while(|row: &Vec<String>| !row.is_empty()).collect())
}

/// What there is to be listed by the map of a file: what stands beside a `mod.rs` or a `main.rs`, or in the folder of that name.
fn expected(file: &str) -> Vec<String> {
    let path = at("src").join(file);
    let own = path.file_name().unwrap().to_str().unwrap();
    let folder = match own {
        "mod.rs" | "main.rs" | "lib.rs" => path.parent().unwrap().to_owned(),
        _ => path.with_extension(""),
    };
    let mut there: Vec<_> = names(&folder)
        .into_iter()
        .filter(|name| name != own && name != "tests" && name != "tests.rs")
        .map(|name| if folder.join(&name).is_dir() { format!("{name}/") } else { name })
        .collect();
    drop_twins(&mut there);
    there
}

/// A folder beside a file of its name belongs to that.
fn drop_twins(names: &mut Vec<String>) {
    let all = names.clone();
    names.retain(|name| name.strip_suffix('/').is_none_or(|folder| !all.contains(&format!("{folder}.rs"))));
    names.sort();
}

/// What a file exports from its modules, each with the module it comes from.
pub(crate) fn exports(source: &str) -> BTreeMap<String, String> {
    let code = code::of(source);
    let mut exports = BTreeMap::new();
    for line in code.split(';') {
        let Some(at) = line.find("pub use ").or_else(|| line.find("pub(crate) use ")) else { continue };
        let path = line[at..].split_once("use ").unwrap().1.trim_start_matches("self::");
        let Some((module, items)) = path.split_once("::") else { continue };
        for item in items.trim_matches(['{', '}', '\n', ' ']).split(',') {
            let name = item.rsplit([' ', ':']).find(|word| !word.is_empty()).unwrap_or_default().trim();
            if !name.is_empty() {
                exports.insert(name.to_owned(), module.trim().to_owned());
            }
        }
    }
    exports
}

/// So many files in one folder want a map.
const LARGE: usize = 7;

#[test]
fn exports_are_found() {
    let found = exports("pub use self::a::{B, C as D};\n#[cfg(x)]\npub(crate) use self::e::f;\nuse self::g::H;");
    let found: Vec<_> = found.iter().map(|(name, module)| (name.as_str(), module.as_str())).collect();
    assert_eq!(found, [("B", "a"), ("D", "a"), ("f", "e")]);
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).is_absolute());
}
