//! The page that is linked into the router is the one its source makes, and small.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("page")
}

fn page() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/page.html")).expect("the page")
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?}:\n{said}");
    output
}

#[test]
fn the_page_is_what_its_source_makes() {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).expect("a folder");
    for name in [
        "src",
        "test",
        "index.html",
        "style.css",
        "panels.css",
        "build.mjs",
        "package.json",
        "package-lock.json",
        "tsconfig.json",
    ] {
        run(Command::new("cp").arg("-r").arg(source().join(name)).arg(&place));
    }
    run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&place));
    run(Command::new("npx").args(["tsc", "--noEmit"]).current_dir(&place));
    run(Command::new("npm").arg("test").current_dir(&place));
    let built = place.join("page.html");
    run(Command::new("node").arg("build.mjs").arg(&built).current_dir(&place));
    let built = std::fs::read(built).expect("built");
    assert!(built == page(), "run `npm ci && npm run build` in crates/router/page and check page.html in");
}

#[test]
fn the_page_is_small_and_asks_nobody_else() {
    let page = page();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &page).expect("memory");
    let packed = packed.finish().expect("memory").len();
    assert!(packed <= 150_000, "{packed} bytes compressed");
    let text = String::from_utf8(page).expect("UTF-8");
    assert_eq!((text.matches("<script").count(), text.matches("<style").count()), (1, 1));
    for asked in ["src=\"", "@import", "url(http", "href=\"http", "innerHTML", "eval(", "document.write"] {
        assert!(!text.contains(asked), "{asked}");
    }
}
