// Puts everything into one file: ../src/http/page.html, or where the argument says.

import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const here = (name) => new URL(name, import.meta.url).pathname;

async function bundle(entry) {
    const made = await build({
        entryPoints: [here(entry)],
        bundle: true,
        minify: true,
        write: false,
        format: "iife",
        target: ["chrome123", "firefox120", "safari17.5"],
        charset: "utf8",
        legalComments: "none",
        logLevel: "warning",
    });
    return made.outputFiles[0].text.trim();
}

const [html, style, script] = await Promise.all([readFile(here("index.html"), "utf8"), bundle("style.css"), bundle("src/main.ts")]);
// The router computes the page's policy from its only style and its only script.
for (const [tag, text] of [["style", style], ["script", script]]) {
    if (text.toLowerCase().includes(`</${tag}`)) throw new Error(`</${tag}> inside ${tag}`);
}
const page = html
    .replace("<style></style>", () => `<style>${style}</style>`)
    .replace("<script></script>", () => `<script>${script}</script>`);
const out = process.argv[2] ?? here("../src/http/page.html");
await writeFile(out, page);
console.log(`${out}: ${page.length} characters, ${gzipSync(page).length} bytes compressed`);
