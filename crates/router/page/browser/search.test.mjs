// Search: one question, and what its answer leads to.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { AWAY, accessible, check, curated, fits, message, part, picture, rows, says, until } from "./harness.mjs";
import { scene } from "./scene.mjs";

const REFUSED = { allow: [/^answer: 400 GET \/v1\/messages/] };

/** Asks, and waits until it is answered. */
async function ask(page, query, count) {
    await part(page, "query").fill(query);
    await part(page, "query").press("Enter");
    await found(page, count);
}

/** So many: beside the box, in the bars, and in the list. */
async function found(page, count) {
    await until(`${count} found`, async () => (await part(page, "count").getAttribute("data-total")) === String(count));
    assert.equal(await part(page, "histogram").getAttribute("data-total"), String(count));
    if (count === 0) return;
    // Down to the last row, page for page.
    await until(`${count} rows`, async () => {
        await part(page, "list").evaluate((list) => (list.scrollTop = list.scrollHeight));
        const last = (await rows(page)).at(-1);
        return last?.index === count - 1;
    });
    await part(page, "list").evaluate((list) => (list.scrollTop = 0));
    await until("the top again", async () => (await rows(page))[0]?.index === 0);
}

const total = async (router, query) => Number((await router.get(`/v1/messages/tally?query=${encodeURIComponent(query)}`)).matched);

async function shop({ router, open }, count = 1400, look = {}, hash = "#/search") {
    await router.send(...scene(count, 55));
    await router.stored(count);
    return open(hash, look);
}

check("bars, number and list say the same, whatever is asked", REFUSED, async ({ router, open }) => {
    const page = await shop({ router, open });
    await found(page, 1400);
    for (const query of ["severity<=error", "logger:checkout status=500", "order -paid", '"was paid" user_id<45', "payload~/shelf \\d+1/"]) {
        await ask(page, query, await total(router, query));
    }
    // A mistake is shown under its character, and takes nothing away.
    const before = await rows(page);
    await part(page, "query").fill("status=200 user_id>=");
    await part(page, "query").press("Enter");
    await says(page, "query-error", /^column \d+: /);
    const column = Number(/\d+/.exec(await part(page, "query-error").innerText())[0]);
    const { left, width } = await part(page, "caret").evaluate((caret) => ({ left: caret.getBoundingClientRect().left, width: caret.getBoundingClientRect().width }));
    const box = await part(page, "query").boundingBox();
    assert.ok(column > 10 && left > box.x + width * (column - 3) * 0.6 && left < box.x + box.width, `${column} at ${left}`);
    const after = await rows(page);
    assert.deepEqual(after.map(({ key }) => key), before.slice(0, after.length).map(({ key }) => key));
    await picture(page, "search-mistake");
    await ask(page, "status=200", await total(router, "status=200"));
    assert.equal(await part(page, "query-error").innerText(), "");
    // One cannot get out of the stretch of time by writing a bracket.
    await part(page, "query").fill("status=200) OR (status=500");
    await part(page, "query").press("Enter");
    await says(page, "query-error", /column 11/);
});

check("names and values that are there complete what is written", {}, async ({ router, open }) => {
    const page = await shop({ router, open }, 400);
    const query = part(page, "query");
    await query.click();
    await query.pressSequentially("stat");
    await part(page, "choices").getByText("status=", { exact: true }).waitFor();
    await picture(page, "search-completion");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    assert.equal(await query.inputValue(), "status=");
    await part(page, "choices").getByText("500", { exact: true }).waitFor();
    await query.pressSequentially("50");
    await until("one is left", async () => (await part(page, "choices").locator(".choice").count()) === 1);
    await page.keyboard.press("Tab");
    assert.equal(await query.inputValue(), "status=500 ");
    await query.pressSequentially("logger:ch");
    await part(page, "choices").getByText("checkout", { exact: true }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    assert.equal(await query.inputValue(), "status=500 logger:checkout ");
    await page.keyboard.press("Enter");
    await found(page, await total(router, "status=500 logger:checkout"));
    await query.fill("severity<=");
    await part(page, "choices").getByText("warning", { exact: true }).waitFor();
    await page.keyboard.press("Escape");
    await part(page, "choices").waitFor({ state: "hidden" });
});

check("values lead on: facets, filters, the trace, what happened around it", {}, async ({ router, open }) => {
    const page = await shop({ router, open }, 1400, { scale: 1 });
    await found(page, 1400);
    const facet = (path, value) => page.locator(`[data-test=facet][data-path="${path}"] li`).filter({ hasText: value });
    await facet("logger", "checkout").waitFor();
    await accessible(page, "search, light");
    await facet("logger", "checkout").locator("[data-test=facet-value]").click();
    await found(page, await total(router, "logger=checkout"));
    assert.equal(await part(page, "query").inputValue(), "logger=checkout");
    await facet("severity", "error").locator("[data-test=facet-out]").click();
    await found(page, await total(router, "logger=checkout -severity:error"));
    await page.goBack();
    await found(page, await total(router, "logger=checkout"));

    await part(page, "row").nth(3).locator(".line").click();
    const detail = part(page, "detail");
    await detail.waitFor();
    const field = (name) => detail.locator("li").filter({ has: page.locator(`> .key:text-is("${name}")`) });
    const user = await field("user_id").locator(".value").innerText();
    const trace = await field("trace_id").locator(".value").innerText();
    await part(page, "copy").click();
    await part(page, "toast-done").waitFor();
    const copied = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
    assert.deepEqual([copied.fields.trace_id, String(copied.fields.user_id), copied.logger], [trace, user, "checkout"]);
    await part(page, "surrounding").click();
    await part(page, "around").waitFor();
    assert.equal(await part(page, "around").locator("li").count(), 21);
    assert.equal(await part(page, "around").locator("li[aria-current]").count(), 1);
    await picture(page, "search-surrounding");
    await field("user_id").locator("[data-test=filter-in]").click();
    await found(page, await total(router, `logger=checkout user_id=${user}`));
    await part(page, "row").first().locator(".line").click();
    await field("user_id").locator("[data-test=filter-out]").click();
    await found(page, await total(router, `logger=checkout -user_id=${user}`));
    await page.goBack();
    await page.goBack();
    await found(page, await total(router, "logger=checkout"));
    await part(page, "row").nth(3).locator(".line").click();
    await field("trace_id").locator("[data-test=trace]").click();
    await found(page, await total(router, `trace:${trace}`));
    assert.ok((await rows(page)).length >= 4);

    await page.goto(`${router.at}/#/search`);
    await until("everything again", async () => (await part(page, "query").inputValue()) === "");
    await ask(page, "severity<=warning -logger:gateway", await total(router, "severity<=warning -logger:gateway"));
    await part(page, "row").filter({ hasText: "declined" }).first().locator(".line").click();
    await detail.waitFor();
    await until("the values have been counted", async () => !(await facet("logger", "gateway").isVisible()));
    await part(page, "toast-done").waitFor({ state: "detached" });
    await curated(page, "search");
});

check("a stretch of bars that is dragged over is what is looked at; a bar that is clicked filters", {}, async ({ router, open }) => {
    const page = await shop({ router, open });
    await found(page, 1400);
    const { x, y, width } = await part(page, "histogram").boundingBox();
    await page.mouse.move(x + width * 0.5, y + 40);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.6, y + 40);
    await page.mouse.move(x + width * 0.75, y + 40, { steps: 5 });
    await picture(page, "search-drag");
    await page.mouse.up();
    await until("less", async () => Number(await part(page, "count").getAttribute("data-total")) < 1000);
    const params = new URLSearchParams(new URL(page.url()).hash.split("?")[1]);
    const within = `since:${params.get("since")} until:${params.get("until")}`;
    const count = await total(router, within);
    assert.ok(count > 50 && count < 700, `${count}`);
    await found(page, count);
    await part(page, "zoom-out").click();
    await found(page, 1400);
    // The lowest of a bar is the most severe: click on the largest piece instead.
    const piece = page.locator("[data-test=histogram] rect.s6").nth(30);
    await piece.click();
    await found(page, await total(router, "severity:informational"));
    assert.equal(await part(page, "query").inputValue(), "severity:informational");
});

check("an address is all there is to a question, and what was found can be taken along", {}, async ({ router, open }) => {
    const hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", 'a"b,c', "two\nlines"];
    await router.send(...hostile.map((payload, number) => message(number, { payload, logger: "=cmd|' /C calc'!A0", fields: { "=x": payload } })), message(99));
    await router.stored(8);
    const page = await open("#/search?query=logger%3A%22%3Dcmd%7C%27%20%2FC%20calc%27%21A0%22&since=&order=oldest");
    await found(page, 7);
    await part(page, "share").click();
    await part(page, "toast-done").waitFor();
    const address = await page.evaluate(() => navigator.clipboard.readText());
    const other = await open(address.slice(address.indexOf("#")));
    await found(other, 7);
    assert.equal(await part(other, "order").inputValue(), "oldest");
    assert.deepEqual((await rows(other)).map(({ payload }) => payload.slice(0, 2)), (await rows(page)).map(({ payload }) => payload.slice(0, 2)));

    const save = async (name) => {
        const [saved] = await Promise.all([page.waitForEvent("download"), part(page, name).click()]);
        assert.equal(saved.suggestedFilename(), `messages.${name}`);
        return readFile(await saved.path(), "utf8");
    };
    const lines = (await save("jsonl")).trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ payload }) => payload), hostile);
    const csv = await save("csv");
    // Read as a spreadsheet does: no cell begins a formula.
    const cells = [...csv.matchAll(/(?:^|,|\r?\n)("(?:[^"]|"")*"|[^",\r\n]*)/g)].map(([, cell]) => cell.replace(/^"|"$/g, ""));
    assert.ok(cells.length >= 8 * 6, csv);
    assert.deepEqual(cells.filter((cell) => /^[=@\t\r]/.test(cell) || /^[+-](?!\d+$)/.test(cell)), []);
    assert.match(csv, /'=1\+1/);
});

check("times are told as one likes, and stay so", {}, async ({ router, open }) => {
    const at = new Date(Date.now() - 120_000).toISOString().replace("Z", "456Z");
    await router.send(message(1, { timestamp: at }));
    await router.stored(1);
    const page = await open("#/search", { zone: "Asia/Kolkata" });
    await found(page, 1);
    const time = () => part(page, "row").locator(".time").innerText();
    const local = new Date(Date.parse(at) + 5.5 * 36e5).toISOString();
    assert.equal(await time(), `${local.slice(5, 10)} ${local.slice(11, 23)}456`);
    await part(page, "clock").selectOption("utc");
    await until("in UTC", async () => (await time()) === `${at.slice(5, 10)} ${at.slice(11)}`);
    await part(page, "clock").selectOption("relative");
    await until("how long ago", async () => /^2 min( \d+ s)? ago$/.test(await time()));
    await page.reload();
    await found(page, 1);
    assert.match(await time(), /ago$/);
    assert.equal(await part(page, "clock").inputValue(), "relative");
    // Two moments, in the time that is shown.
    await part(page, "clock").selectOption("local");
    await part(page, "range").selectOption("choose…");
    await part(page, "range-from").fill(local.slice(0, 16));
    await part(page, "range-until").fill("");
    await part(page, "range-dialog").getByRole("button", { name: "Show" }).click();
    await found(page, 1);
    const since = new URLSearchParams(new URL(page.url()).hash.split("?")[1]).get("since");
    assert.equal(since, `${at.slice(0, 16)}:00.000Z`);
});

check("nothing found says where one looked", {}, async ({ router, open }) => {
    await router.send(message(1, { timestamp: new Date(Date.now() - 7200_000).toISOString() }));
    await router.stored(1);
    const page = await open("#/search");
    await says(page, "nothing", /Nothing in the last hour/);
    await part(page, "all-time").click();
    await found(page, 1);
    await ask(page, "nosuchword", 0);
    await says(page, "nothing", /Nothing like this in the whole store/);
    await part(page, "query").fill("");
    await part(page, "query").press("Enter");
    await found(page, 1);
});

check("at phone width, in the dark", {}, async ({ router, open }) => {
    const page = await shop({ router, open }, 300, { width: 390, height: 844, theme: "dark" });
    await found(page, 300);
    await fits(page, "search");
    await picture(page, "search-phone");
    await part(page, "row").nth(2).locator(".line").click();
    await part(page, "detail").waitFor();
    await fits(page, "search, a message open");
    await accessible(page, "search, dark");
    await picture(page, "search-phone-open");
});

check("who reads when the router goes away reads on when it is back", { allow: AWAY }, async ({ router, open }) => {
    const page = await shop({ router, open }, 1400);
    await found(page, 1400);
    await ask(page, "order paid", await total(router, "order paid"));
    const marks = await page.evaluate(() => [...CSS.highlights.get("found")].map(String));
    assert.ok(marks.length > 20 && marks.every((mark) => ["order", "paid"].includes(mark)), "what was looked for is marked");
    await part(page, "query").fill("");
    await part(page, "query").press("Enter");
    await until("all again", async () => (await part(page, "count").getAttribute("data-total")) === "1400");
    await part(page, "list").evaluate((list) => (list.scrollTop = 300 * 24));
    await until("row 300", async () => (await rows(page)).some(({ index }) => index === 305));
    await router.kill();
    // Whatever asks next notices.
    const end = await part(page, "list").evaluate((list) => (list.scrollTop = list.scrollHeight - list.clientHeight - 480) && list.scrollTop);
    await part(page, "lost").waitFor();
    const reading = await until("what is there stays", async () => {
        const drawn = await rows(page);
        return drawn[0]?.index > 300 && drawn;
    });
    await router.start();
    await part(page, "lost").waitFor({ state: "hidden" });
    await until("it goes on", async () => (await part(page, "list").evaluate((list) => list.scrollHeight)) > end + 2000);
    assert.equal(await part(page, "list").evaluate((list) => list.scrollTop), end);
    // One line fewer stands above.
    const [{ key, y }] = await rows(page);
    const before = reading.find((row) => row.key === key);
    assert.ok(before && Math.abs(before.y - y) < 60, "the same is read");

    // A view that is opened meanwhile is filled when there is something to fill it with.
    await router.kill();
    await page.keyboard.press("Escape");
    await page.keyboard.press("1");
    await part(page, "view-live").waitFor();
    await part(page, "lost").waitFor();
    assert.equal((await rows(page)).length, 0);
    await router.start();
    await until("live goes on", async () => (await rows(page)).length > 10);
    await part(page, "lost").waitFor({ state: "hidden" });
});
