// Every test here, one after the other in one process: they share a browser, and measure without others beside them.
// `node browser/all.mjs live search` takes only those files.

import { readdirSync } from "node:fs";

const wanted = process.argv.slice(2);
const files = readdirSync(new URL(".", import.meta.url)).filter((name) => name.endsWith(".test.mjs")).sort();
for (const file of files) {
    if (!wanted.length || wanted.some((one) => file.startsWith(one))) await import(`./${file}`);
}
