//! What the source says of settings: the comment of each field, and its default where that is a plain value.

use std::collections::BTreeMap;
use std::path::Path;

/// All settings of a source tree.
pub struct Source {
    structs: Vec<Struct>,
    /// Kind and name of a plugin to its folder.
    folders: BTreeMap<(String, String), String>,
}

struct Struct {
    folder: String,
    name: String,
    fields: BTreeMap<String, Field>,
}

/// What is said of a field.
#[derive(Clone, Default)]
pub struct Field {
    pub text: String,
    pub default: Option<String>,
}

impl Source {
    pub fn read(root: &Path) -> Source {
        let mut source = Source { structs: Vec::new(), folders: BTreeMap::new() };
        for kind in ["plugins", "crates"] {
            let folders = std::fs::read_dir(root.join(kind)).expect("a folder of the project");
            let mut names: Vec<String> =
                folders.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
            names.sort();
            for name in names {
                let folder = format!("{kind}/{name}");
                let mut texts = Vec::new();
                read_all(&root.join(&folder).join("src"), &mut texts);
                let all = texts.concat();
                for text in &texts {
                    source.entries(text, &folder);
                    source.structs(Defaults { text, all: &all }, &folder);
                }
            }
        }
        source
    }

    /// `InputEntry::of::<Udp>("udp", …` in any of its forms.
    fn entries(&mut self, text: &str, folder: &str) {
        for (kind, word) in [
            ("input", "InputEntry"),
            ("filter", "FilterEntry"),
            ("endpoint", "EndpointEntry"),
            ("sender", "SenderEntry"),
            ("dialect", "DialectEntry"),
        ] {
            for (at, found) in text.match_indices(&format!("{word}::of")) {
                let rest = text.get(at + found.len()..).unwrap_or_default();
                let name = rest.split_once('"').and_then(|(_, rest)| rest.split_once('"')).map(|(name, _)| name);
                // A name that is a constant is the folder's.
                let of_folder = folder.rsplit('/').next().unwrap_or_default();
                let name =
                    name.filter(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')).unwrap_or(of_folder);
                self.folders.entry((kind.to_owned(), name.to_owned())).or_insert_with(|| folder.to_owned());
            }
        }
    }

    fn structs(&mut self, defaults: Defaults<'_>, folder: &str) {
        let (mut comment, mut attributes, mut current): (Vec<&str>, String, Option<Struct>) =
            (Vec::new(), String::new(), None);
        for line in defaults.text.lines() {
            let trimmed = line.trim();
            if let Some(said) = trimmed.strip_prefix("///") {
                comment.push(said.trim());
            } else if trimmed.starts_with("#[") {
                attributes.push_str(trimmed);
            } else if let Some(rest) = trimmed
                .strip_prefix("pub struct ")
                .or_else(|| trimmed.strip_prefix("pub(crate) struct "))
                .or_else(|| trimmed.strip_prefix("struct "))
            {
                let name = rest.split([' ', '<', '(', ';']).next().unwrap_or_default().to_owned();
                let read = attributes.contains("Deserialize") && trimmed.ends_with('{');
                current = read.then(|| Struct { folder: folder.to_owned(), name, fields: BTreeMap::new() });
                (comment, attributes) = (Vec::new(), String::new());
            } else if line == "}" {
                self.structs.extend(current.take());
                (comment, attributes) = (Vec::new(), String::new());
            } else if let Some(one) = &mut current {
                let field = trimmed
                    .strip_prefix("pub ")
                    .or_else(|| trimmed.strip_prefix("pub(crate) "))
                    .or_else(|| trimmed.strip_prefix("pub(super) "))
                    .unwrap_or(trimmed);
                if let Some((key, kind)) = field.split_once(": ") {
                    let text = comment.join(" ");
                    let default = defaults.of(&attributes, &one.name, key, kind);
                    let key = key.trim_start_matches("r#").to_owned();
                    one.fields.insert(key, Field { text, default });
                }
                (comment, attributes) = (Vec::new(), String::new());
            } else {
                (comment, attributes) = (Vec::new(), String::new());
            }
        }
    }

    /// The folder of a plugin. An endpoint may be a sender as it stands.
    pub fn folder(&self, kind: &str, name: &str) -> Option<String> {
        let find = |kind: &str| self.folders.get(&(kind.to_owned(), name.to_owned())).cloned();
        find(kind).or_else(|| find("sender").filter(|_| kind == "endpoint"))
    }

    /// What is said of a key in a section with these keys: by one of these structs, or else by the one in this folder, or
    /// then in any, that has the most of them.
    pub fn field(&self, folder: &str, structs: &[&str], keys: &[&str], key: &str) -> Option<Field> {
        let named = self.structs.iter().filter(|one| structs.contains(&one.name.as_str()));
        if let Some(field) = named.filter_map(|one| one.fields.get(key)).next() {
            return Some(field.clone());
        }
        if !structs.is_empty() {
            return None;
        }
        let like = |one: &&Struct| {
            keys.iter().filter(|key| one.fields.contains_key(**key)).count() as i64 * 100 - one.fields.len() as i64
        };
        let knows = |one: &&Struct| one.fields.get(key).is_some_and(|field| !field.text.is_empty());
        let here = self.structs.iter().filter(|one| one.folder == folder).filter(knows).max_by_key(like);
        let anywhere = || {
            let shared = ["crates/http", "crates/tls", "crates/alerts", "crates/listen"];
            self.structs.iter().filter(|one| shared.contains(&one.folder.as_str())).filter(knows).max_by_key(like)
        };
        here.or_else(anywhere).and_then(|one| one.fields.get(key)).cloned()
    }
}

fn read_all(path: &Path, texts: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(path) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_all(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(&path).expect("source"));
        }
    }
}

/// Where a file says what stands in for what is not given, or another one of its folder.
struct Defaults<'a> {
    text: &'a str,
    all: &'a str,
}

impl Defaults<'_> {
    fn of(&self, attributes: &str, of: &str, key: &str, kind: &str) -> Option<String> {
        if kind.starts_with("Option<") {
            return None;
        }
        if let Some((_, rest)) = attributes.split_once("default = \"") {
            let (name, _) = rest.split_once('"')?;
            let made = format!("fn {}() -> ", name.rsplit("::").next()?);
            // Of two elsewhere it would have to be known which.
            let elsewhere = || self.all.split_once(&made).filter(|(_, rest)| !rest.contains(&made));
            let (_, body) = self.text.split_once(&made).or_else(elsewhere)?;
            let (_, body) = body.split_once('{')?;
            return plain(body.split_once('}')?.0.trim());
        }
        // A default of the whole.
        let (_, rest) = self.text.split_once(&format!("impl Default for {of} {{"))?;
        let (body, _) = rest.split_once("\n}")?;
        let line = body.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: ")))?;
        plain(line.trim_end_matches(','))
    }
}

/// A default as one would write it, if it is that simple.
fn plain(text: &str) -> Option<String> {
    let inside = |before: &str| text.strip_prefix(before)?.strip_suffix(')').map(str::trim);
    let number = |text: &str| text.replace('_', "").parse::<u64>().ok();
    if let Some(time) = inside("Span(") {
        let of = |before: &str| number(time.strip_prefix(before)?.strip_suffix(')')?);
        return match (of("Duration::from_secs("), of("Duration::from_millis(")) {
            (Some(seconds), _) => Some(format!("{seconds}s")),
            (_, Some(millis)) => Some(format!("{millis}ms")),
            _ if time == "Duration::ZERO" => Some("0s".to_owned()),
            _ => None,
        };
    }
    if let Some(size) = inside("Size(") {
        return match size.split_once(" << ") {
            Some((count, "10")) => Some(format!("{count} KiB")),
            Some((count, "20")) => Some(format!("{count} MiB")),
            Some((count, "30")) => Some(format!("{count} GiB")),
            Some(_) => None,
            None => number(size).map(|bytes| format!("{bytes}")),
        };
    }
    if let Some(list) = text.strip_prefix("vec![").and_then(|rest| rest.strip_suffix(']')) {
        return Some(format!("[{}]", list.replace(".to_owned()", "").replace(".into()", "")));
    }
    let quoted = text.strip_suffix(".to_owned()").or_else(|| text.strip_suffix(".into()")).unwrap_or(text);
    if let Some(word) = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Some(word.to_owned()).filter(|word| !word.is_empty());
    }
    (text == "true" || text == "false" || number(text).is_some()).then(|| text.replace('_', ""))
}
