// What somebody sees who has just started the router.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { check, curated, fits, part, picture, says } from "./harness.mjs";

check("an empty router teaches, and its first message appears at once", {}, async ({ router, open }) => {
    const page = await open("");
    await part(page, "first").waitFor();
    for (const language of ["shell", "rust", "python"]) assert.match(await part(page, `first-${language}`).innerText(), new RegExp(router.at.slice(7)));
    await picture(page, "first");
    await fits(page, "the empty page");
    const { stdout } = await promisify(execFile)("sh", ["-c", await part(page, "first-shell").innerText()]);
    assert.equal(JSON.parse(stdout).accepted, 1);
    await part(page, "row").getByText("it works").waitFor();
    await part(page, "first").waitFor({ state: "hidden" });
});

check("and the one from Python, with Search open", {}, async ({ open }) => {
    const page = await open("#/search");
    await part(page, "first").waitFor();
    await promisify(execFile)("sh", ["-c", await part(page, "first-python").innerText()]);
    await part(page, "row").getByText("it works").waitFor();
});
