//! The page that is linked into the router is the one its source makes, and small.

mod node;
mod program;
mod stage;

use program::{FILE, Program};
use stage::eventually;
use std::path::Path;
use std::process::Command;

fn page() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/page.html")).expect("the page")
}

#[test]
fn the_page_is_what_its_source_makes() {
    let place = node::page("page");
    node::run(Command::new("npx").args(["tsc", "--noEmit"]).current_dir(&place));
    node::run(Command::new("npm").arg("test").current_dir(&place));
    let built = place.join("page.html");
    node::run(Command::new("node").arg("build.mjs").arg(&built).current_dir(&place));
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

/// What an empty page shows: here it is compiled, and sends. Those for a shell and Python are run by `browser/first.test.mjs`.
#[test]
fn the_first_message_from_rust_comes_in() -> Result<(), metlog::Error> {
    let shown = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("page/src/first.ts")).expect("it");
    let text = r#"[metlog]\\nlogger = hello\\nsender_class = http\\nsender_url = ${to}"#;
    let [before, behind] =
        [r#"let _guard = metlog::from_text(""#, r#"", "metlog")?.guard(); metlog::info!("it works");"#];
    assert!(shown.contains(&format!("{before}{text}${{ini}}{behind}")), "{shown}");

    let router = Program::start(FILE);
    let to = format!("http://{}/v1/messages", router.place("http"));
    {
        let _guard = metlog::from_text(&text.replace(r"\\n", "\n").replace("${to}", &to), "metlog")?.guard();
        metlog::info!("it works");
    }
    eventually("it is in the file", || router.text("all.jsonl").contains("it works"));
    router.stop();
    Ok(())
}
