//! The book is true: its quick start runs as it stands, its configurations are in order, its commands exist, its links lead
//! somewhere, its code is compiled elsewhere, and its reference is what the program says.

mod program;
mod reference;
mod stage;

use metlog_testkit::book::{Block, Page, anchors, pages, root};
use program::{Program, free_port};
use stage::{Directory, eventually};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_metlog-router");

/// What may stand in front of a block, beside `file: …`, `background: …`, `from …`, `not run: …`, `not ours: …`.
const RULES: [&str; 9] =
    ["run", "run until it is so", "fails", "printed", "stop", "router", "client", "example", "plan"];

fn blocks() -> Vec<Block> {
    pages().iter().flat_map(Page::blocks).collect()
}

/// Whether a text is what the book shows of it: `…` stands for anything within a line.
fn is_as_shown(shown: &str, text: &str) -> bool {
    let lines = |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    let (shown, text) = (lines(shown), lines(text));
    shown.len() == text.len() && shown.iter().zip(&text).all(|(shown, line)| fits(shown, line))
}

fn fits(shown: &str, line: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return shown == line };
    let Some(mut rest) = line.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    middle.iter().all(|part| rest.find(part).map(|at| rest = rest.get(at + part.len()..).unwrap_or_default()).is_some())
}

/// A reader who follows the quick start, in an empty directory, with other ports than the usual ones.
struct Reader {
    directory: Directory,
    ports: Vec<(String, String)>,
    router: Option<Child>,
    started: usize,
}

impl Reader {
    fn new() -> Reader {
        let ports = ["5565", "5566", "5567", "5568"].map(|port| (port.to_owned(), free_port().to_string()));
        let reader = Reader { directory: Directory::new(), ports: ports.to_vec(), router: None, started: 0 };
        let bin = reader.directory.0.join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(PROGRAM, bin.join("metlog-router")).unwrap();
        std::fs::create_dir(reader.place()).unwrap();
        reader
    }

    /// Where the reader is.
    fn place(&self) -> std::path::PathBuf {
        self.directory.0.join("here")
    }

    fn with_ports(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (usual, ours)| text.replace(usual, ours))
    }

    fn shell(&self, text: &str) -> Command {
        let mut shell = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        shell.args(["-ec", &self.with_ports(text)]).current_dir(self.place());
        shell.env("PATH", format!("{}:{path}", self.directory.0.join("bin").display()));
        shell.env("METLOG_ROUTER_URL", self.with_ports("http://127.0.0.1:5568"));
        shell
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.0.join("log.txt")).unwrap_or_default()
    }

    fn start(&mut self, block: &Block, ready: &str) {
        assert!(self.router.is_none(), "{}: one runs already", block.place);
        self.started += 1;
        let log = std::fs::File::create(self.directory.0.join("log.txt")).unwrap();
        // Without the shell in between, so that a signal reaches the program.
        let mut shell = self.shell(&format!("exec {}", block.text));
        // The built-in configuration has the usual ports; a file says its own.
        if self.started == 1 {
            for (name, value) in [
                ("ROUTER__HTTP", "127.0.0.1:5568"),
                ("INPUTS__UDP__LISTEN", "127.0.0.1:5566"),
                ("INPUTS__TCP__LISTEN", "127.0.0.1:5567"),
                ("INPUTS__ZMQ__BIND", "tcp://127.0.0.1:5565"),
            ] {
                shell.env(format!("METLOG_ROUTER__{name}"), self.with_ports(value));
            }
        }
        self.router = Some(shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        eventually(&format!("{}: {ready}\n{}", block.place, self.log()), || self.log().contains(ready));
    }

    fn run(&self, block: &Block) -> Output {
        self.shell(&block.text).output().unwrap()
    }

    fn stop(&mut self, shown: &Block) {
        let mut router = self.router.take().expect("one runs");
        assert!(Command::new("kill").args(["-TERM", &router.id().to_string()]).status().unwrap().success());
        assert!(router.wait().unwrap().success(), "{}: {}", shown.place, self.log());
        let last = self.log().lines().last().unwrap_or_default().to_owned();
        assert!(is_as_shown(&shown.text, &last), "{}: {}", shown.place, self.log());
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(mut router) = self.router.take() {
            println!("the router's log:\n{}", self.log());
            let _ = router.kill();
            let _ = router.wait();
        }
    }
}

#[test]
fn the_quick_start_runs_as_it_stands() {
    let page = pages().into_iter().find(|page| page.name == "quickstart.md").expect("a quick start");
    let blocks = page.blocks();
    let mut reader = Reader::new();
    let mut ran = 0;
    let mut blocks = blocks.iter().peekable();
    while let Some(block) = blocks.next() {
        let rule = block.rule.as_deref().unwrap_or_default();
        // What is shown behind a command, if it says so itself by standing there without a rule.
        let shown =
            blocks.peek().filter(|next| next.language == "text" && next.rule.is_none()).map(|next| next.text.clone());
        let shown = shown.map(|shown| reader.with_ports(&shown));
        let both = |output: &Output| {
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        };
        match rule {
            "run" | "fails" => {
                let output = reader.run(block);
                let text = both(&output);
                assert_eq!(output.status.success(), rule == "run", "{}: {text}", block.place);
                assert!(shown.as_ref().is_none_or(|shown| is_as_shown(shown, &text)), "{} prints\n{text}", block.place);
                ran += 1;
            }
            "run until it is so" => {
                let shown = shown.expect("what is to be so");
                let mut text = String::new();
                let so = metlog_testkit::eventually(std::time::Duration::from_secs(60), || {
                    text = both(&reader.run(block));
                    is_as_shown(&shown, &text)
                });
                assert!(so, "{} prints\n{text}", block.place);
                ran += 1;
            }
            "printed" => {
                let shown = reader.with_ports(&block.text);
                assert!(is_as_shown(&shown, &reader.log()), "{}: {}", block.place, reader.log());
            }
            "stop" => reader.stop(block),
            _ => {
                if let Some(ready) = rule.strip_prefix("background: ") {
                    reader.start(block, ready);
                } else if let Some(name) = rule.strip_prefix("file: ") {
                    std::fs::write(reader.place().join(name), reader.with_ports(&block.text)).unwrap();
                }
            }
        }
    }
    assert!(ran >= 8 && reader.started == 2, "{ran} commands, {} starts", reader.started);
}

#[test]
fn every_block_says_what_is_to_be_done_with_it() {
    for block in blocks() {
        let rule = block.rule.as_deref();
        let known = rule.is_none_or(|rule| {
            let long = ["file: ", "background: ", "from ", "not run: ", "not ours: "];
            RULES.contains(&rule) || long.iter().any(|word| rule.starts_with(word))
        });
        assert!(known, "{}: `{rule:?}` is no rule", block.place);
        let must = ["toml", "ini", "yaml", "rust"].contains(&block.language.as_str());
        assert!(!must || rule.is_some(), "{}: what is to be done with this {}?", block.place, block.language);
    }
}

#[test]
fn every_configuration_is_in_order() {
    let directory = Directory::new();
    let mut count = 0;
    for block in blocks() {
        let wanted = match block.rule.as_deref() {
            Some("router") => true,
            Some(rule) => rule.starts_with("file: ") && block.language == "toml",
            None => false,
        };
        if !wanted {
            continue;
        }
        std::fs::write(directory.0.join("book.toml"), &block.text).unwrap();
        let output = Command::new(PROGRAM).args(["check", "book.toml"]).current_dir(&directory.0).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Certificates are looked at; a reader has some.
        let elsewhere = said.lines().filter(|line| line.starts_with("book.toml:"));
        let elsewhere =
            elsewhere.filter(|line| line.ends_with("cannot be opened: No such file or directory (os error 2)"));
        let mistakes = said.lines().filter(|line| line.starts_with("book.toml:")).count();
        let known = mistakes > 0 && mistakes == elsewhere.count();
        assert!(output.status.success() || known, "{}: {said}", block.place);
        count += 1;
    }
    assert!(count >= 10, "{count} configurations");
}

#[test]
fn every_command_exists() {
    let help = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).arg("--help").output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    let mut count = 0;
    for block in blocks().into_iter().filter(|block| block.language == "sh") {
        for line in block.text.lines() {
            for (at, name) in line.match_indices("metlog-router ") {
                let before = line.get(..at).unwrap_or_default().trim_end();
                if !before.is_empty() && !before.ends_with('|') {
                    continue;
                }
                let rest = line.get(at + name.len()..).unwrap_or_default();
                // Up to a comment, the shell's next command, or what is sent.
                let command = rest.split([';', '|', '>', '#', '\'', '"', '`']).next().unwrap_or_default();
                let words: Vec<&str> = command.split_whitespace().collect();
                let path: Vec<&str> = words
                    .iter()
                    .copied()
                    .take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase()))
                    .take(2)
                    .collect();
                let text = (0..=path.len()).rev().find_map(|many| help(path.get(..many)?));
                let text = text.unwrap_or_else(|| panic!("{}: `{line}`", block.place));
                let of = path.first().is_none_or(|first| text.contains(&format!("metlog-router {first}")));
                assert!(of, "{}: there is no `{}`", block.place, path.join(" "));
                for flag in words.iter().filter(|word| word.starts_with('-') && word.len() > 1) {
                    assert!(text.contains(flag), "{}: `{line}` has no {flag}", block.place);
                }
                count += 1;
            }
        }
    }
    assert!(count >= 15, "{count} commands");
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_listed() {
    const HOME: &str = "https://github.com/metlog/metlog";
    let pages = pages();
    let docs = root().join("docs");
    let text_of = |path: &Path| std::fs::read_to_string(path);
    let mut listed = BTreeSet::new();
    for page in &pages {
        for link in page.links() {
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = match target.strip_prefix(HOME) {
                Some("") => root().join("README.md"),
                Some(rest) => {
                    let inside = rest.strip_prefix("/blob/main/").or_else(|| rest.strip_prefix("/tree/main/"));
                    let Some(inside) = inside else { continue };
                    let path = root().join(inside);
                    if path.is_dir() { path.join("README.md") } else { path }
                }
                None if target.contains("://") => continue,
                None if target.is_empty() => docs.join(&page.name),
                None => docs.join(&page.name).parent().expect("a folder").join(target),
            };
            if path.extension().is_some_and(|extension| extension != "md") {
                assert!(path.exists(), "docs/{}: there is no {link}", page.name);
                continue;
            }
            let text = text_of(&path).unwrap_or_else(|error| panic!("docs/{}: {link}: {error}", page.name));
            assert!(anchor.is_empty() || anchors(&text).contains(anchor), "docs/{}: no place {link}", page.name);
            if page.name == "SUMMARY.md" {
                listed.insert(target.to_owned());
            }
        }
    }
    let there: BTreeSet<String> =
        pages.iter().map(|page| page.name.clone()).filter(|name| name != "SUMMARY.md").collect();
    assert_eq!(listed, there, "SUMMARY.md and the pages");
}

#[test]
fn all_code_is_compiled_elsewhere() {
    let mut count = 0;
    for block in blocks().into_iter().filter(|block| block.language == "rust") {
        let rule = block.rule.as_deref().unwrap_or_default();
        let path = rule.strip_prefix("from ").unwrap_or_else(|| panic!("{}: where from?", block.place));
        let source =
            std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", block.place));
        for part in block.text.split("\n\n") {
            assert!(source.contains(part.trim_end()), "{}: is not in {path}:\n{part}", block.place);
        }
        count += 1;
    }
    assert!(count >= 5, "{count} blocks");
}

/// Every path that the table of threats and that of promises name is there.
#[test]
fn every_test_that_is_named_is_there() {
    let promises = pages().into_iter().find(|page| page.name == "promises.md").expect("promises").text;
    let threats = std::fs::read_to_string(root().join("SECURITY.md")).expect("a policy");
    let words = [promises.as_str(), threats.as_str()].into_iter().flat_map(|text| text.split('`').skip(1).step_by(2));
    let paths: BTreeSet<&str> = words
        .filter(|word| ["crates/", "plugins/", "fuzz/", ".ci/"].iter().any(|root| word.starts_with(root)))
        .collect();
    assert!(paths.len() > 20, "{paths:?}");
    for path in paths {
        assert!(root().join(path).exists(), "there is no {path}");
    }
}

/// The table of prices follows from the table of inputs, by the formulas between them.
#[test]
fn the_sums_of_the_scale_are_right() {
    let page = pages().into_iter().find(|page| page.name == "scale.md").expect("scale").text;
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let input = |name: &str| -> f64 {
        let row =
            page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap_or_else(|| panic!("no {name}"));
        cells(row)[1].parse().unwrap()
    };
    let mut rows = 0;
    for row in
        page.lines().skip_while(|line| !line.starts_with("| messages/s |")).skip(2).take_while(|line| !line.is_empty())
    {
        let row = cells(row);
        let rate: f64 = row[0].parse().unwrap();
        let cores = |us: f64| (rate * us * 1e-6 / input("use") / input("cores")).ceil();
        let (routers, stores) = (cores(input("intake")) + 1.0, cores(input("store")));
        let streams = (rate / input("stream")).ceil();
        let servers =
            (streams * input("replicas") * input("nats_cores") / input("cores")).ceil().max(input("replicas"));
        let sent = rate * input("size") / input("squeeze");
        let spool = rate * (input("size") + input("over")) * input("outage") * 3600.0 / 1e12;
        let kept = rate * input("store_bytes") * input("keep") * 86_400.0 / 1e12;
        let made = [
            format!("{routers}"),
            format!("{stores}"),
            format!("{streams}"),
            format!("{servers}"),
            format!("{:.2}", sent * 8.0 / 1e9),
            format!("{spool:.2}"),
            format!("{kept:.2}"),
            format!("{:.0}", (routers + stores + servers) * input("machine") * 730.0),
            format!("{:.0}", (spool + kept) * 1000.0 * input("disk")),
            format!("{:.0}", sent * 730.0 * 3600.0 / 1e9 * input("transfer")),
        ];
        assert_eq!(row[1..], made, "at {rate} a second");
        rows += 1;
    }
    assert_eq!(rows, 3);
}

/// What Vector and Fluent Bit send where the book tells them to.
#[test]
fn shippers_find_their_way_in() {
    let uris: Vec<String> = ["migration/vector.md", "migration/fluent-bit.md"]
        .map(|name| {
            let page = pages().into_iter().find(|page| page.name == name).expect("a page");
            let at = page.text.find("/insert/jsonline?").expect("where to");
            let rest = page.text.get(at..).unwrap_or_default();
            rest.split_whitespace().next().unwrap_or_default().to_owned()
        })
        .to_vec();
    let program = Program::start_in(Directory::new(), "[inputs.http]\n[endpoints.store]\npath = 'messages.db'\n");
    let rows = [
        r#"{"message":"by vector","timestamp":"2026-11-21T10:00:00Z","host":"a","source_type":"file"}"#,
        r#"{"log":"by fluent bit","date":"2026-11-21T10:00:00.5Z","level":"error","stream":"stderr"}"#,
    ];
    for (uri, row) in uris.iter().zip(rows) {
        let answer = program.request(&format!("POST {uri}"), &[], row.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{uri}: {answer:?}");
    }
    for (query, timestamp) in
        [("vector", "2026-11-21T10:00:00.000000Z"), ("fluent%20severity:error", "2026-11-21T10:00:00.500000Z")]
    {
        let body = program.ask(&format!("/v1/messages?query={query}")).body;
        assert!(body.contains(timestamp), "{query}: {body}");
    }
    program.stop();
}

/// All of `/metrics` of a router with every kind of part in it.
fn metrics() -> String {
    let key = Command::new(PROGRAM).args(["key", "new", "--name", "all", "--scope", "admin"]).output().unwrap();
    let section = String::from_utf8(key.stderr).unwrap();
    let section = section.split_once("[keys.").map(|(_, rest)| format!("[keys.{rest}")).expect("a section");
    let secret = String::from_utf8(key.stdout).unwrap();
    let config = format!("{}{section}\n[endpoints.all]\ntype = 'null'\n", program::inputs());
    let program = Program::start_in(Directory::new(), &config);
    let bearer = format!("Bearer {}", secret.trim());
    let answer = program.request("GET /metrics", &[("Authorization", &bearer)], b"").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    program.kill();
    answer.body
}

#[test]
fn the_reference_is_what_the_program_says() {
    let made: BTreeMap<String, String> = reference::pages(&metrics());
    let docs = root().join("docs");
    if std::env::var_os("METLOG_WRITE_REFERENCE").is_some() {
        for (name, text) in &made {
            std::fs::write(docs.join(name), text).unwrap();
        }
    }
    for (name, text) in &made {
        let there = std::fs::read_to_string(docs.join(name)).unwrap_or_default();
        let differs = text.lines().zip(there.lines()).find(|(made, there)| made != there);
        assert!(
            *text == there,
            "docs/{name} is not up to date: METLOG_WRITE_REFERENCE=1 cargo test -p metlog-router --test book reference\n{differs:?}"
        );
    }
    let there: BTreeSet<String> =
        pages().into_iter().map(|page| page.name).filter(|name| name.starts_with("reference/")).collect();
    assert_eq!(there, made.into_keys().collect::<BTreeSet<_>>(), "pages nobody makes");
}
