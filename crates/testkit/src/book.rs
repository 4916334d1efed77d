//! The book under `docs/`: its pages, what they link to, and their blocks, each with what the comment in front of it says
//! is to be done with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The project's directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// From `docs/` on.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What stands between fences.
#[derive(Debug)]
pub struct Block {
    /// The page, and the line of its first fence.
    pub place: String,
    /// `toml`, `sh`, …
    pub language: String,
    /// What the comment in front of it says.
    pub rule: Option<String>,
    /// What is in it.
    pub text: String,
}

/// All pages, in the order of their names.
pub fn pages() -> Vec<Page> {
    let docs = root().join("docs");
    let mut pages = Vec::new();
    collect(&docs, &docs, &mut pages);
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!pages.is_empty(), "there is a book");
    pages
}

fn collect(docs: &Path, folder: &Path, pages: &mut Vec<Page>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the book") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(docs, &path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.strip_prefix(docs).expect("inside").to_str().expect("UTF-8").to_owned();
            pages.push(Page { name, text: std::fs::read_to_string(&path).expect("a page") });
        }
    }
}

/// The anchors of a text's headings, as mdBook and GitHub make them.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let anchor = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = anchor.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    anchors
}

impl Page {
    /// The blocks, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open: Option<Block> = None;
        let mut rule = None;
        let mut lines = self.text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            match (&mut open, line.strip_prefix("```")) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text.extend([line, "\n"]),
                (None, Some(language)) => {
                    let place = format!("docs/{}:{}", self.name, number + 1);
                    open = Some(Block { place, language: language.to_owned(), rule: rule.take(), text: String::new() });
                }
                (None, None) => {
                    let said = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
                    let opens = lines.peek().is_some_and(|(_, next)| next.starts_with("```"));
                    rule = said.filter(|_| opens).map(str::to_owned);
                }
            }
        }
        assert!(open.is_none(), "docs/{}: a fence is not closed", self.name);
        blocks
    }

    /// What is linked to, outside of code.
    pub fn links(&self) -> Vec<String> {
        let mut fenced = false;
        let mut links = Vec::new();
        for line in self.text.lines() {
            fenced ^= line.starts_with("```");
            if fenced {
                continue;
            }
            let plain: String = line.split('`').step_by(2).collect();
            for (at, opening) in plain.match_indices("](") {
                let rest = plain.get(at + opening.len()..).unwrap_or_default();
                links.extend(rest.split_once(')').map(|(link, _)| link.to_owned()));
            }
        }
        links
    }
}
