// Live: what is read stays where it is, nothing is lost on the way, and too much is said to be too much.

import assert from "node:assert/strict";
import { AWAY, PLAIN, accessible, check, curated, fits, message, part, picture, rows, says, seen, until } from "./harness.mjs";
import { scene } from "./scene.mjs";

const numbers = (from, count, more = {}) => Array.from({ length: count }, (_, at) => message(from + at, more));

/** The newest row says so. */
const newest = (page, payload) => until(`"${payload}" is on top`, async () => {
    const [first] = await rows(page);
    return first?.index === 0 && first.payload.startsWith(payload);
});

check("what is read does not move, and what is new waits behind a button", {}, async ({ router, open }) => {
    await router.send(...numbers(0, 300));
    await router.stored(300);
    const page = await open("#/live");
    await newest(page, "message 299");
    await router.send(message(300), message(301));
    await newest(page, "message 301");
    assert.equal(await seen(page, "pill"), false);

    await part(page, "list").evaluate((list) => (list.scrollTop = 1000));
    const reading = await until("rows far down are drawn", async () => (await rows(page)).find(({ index, y }) => index > 40 && y > 400));
    await router.send(...numbers(302, 50));
    await says(page, "pill", /\b50 new/);
    assert.deepEqual((await rows(page)).find(({ key }) => key === reading.key), reading);
    await router.send(...numbers(352, 7));
    await says(page, "pill", /\b57 new/);
    assert.deepEqual((await rows(page)).find(({ key }) => key === reading.key), reading);
    await picture(page, "live-new");
    await part(page, "pill").click();
    await newest(page, "message 358");
    assert.equal(await seen(page, "pill"), false);

    // A row that is open stays, too.
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await part(page, "detail").waitFor();
    await says(page, "follow", /Paused/);
    const [opened] = await rows(page);
    await router.send(...numbers(359, 3));
    await says(page, "pill", /\b3 new/);
    assert.deepEqual((await rows(page))[0], opened);
    await page.keyboard.press("f");
    await newest(page, "message 361");
    await says(page, "follow", /Following/);
    const all = await rows(page);
    assert.equal(new Set(all.map(({ key }) => key)).size, all.length, "none twice");
});

check("marked text stays under the mark", {}, async ({ router, open }) => {
    await router.send(...numbers(0, 100));
    await router.stored(100);
    const page = await open("#/live");
    await newest(page, "message 99");
    const row = part(page, "row").filter({ hasText: "message 95 " });
    const before = await row.boundingBox();
    await row.locator(".payload").evaluate((payload) => getSelection().selectAllChildren(payload));
    await router.send(...numbers(100, 5));
    await says(page, "pill", /\b5 new/);
    assert.deepEqual(await row.boundingBox(), before);
    assert.match(await page.evaluate(() => String(getSelection())), /message 95/);
    await part(page, "pill").click();
    await newest(page, "message 104");
});

check("a router that was killed comes back, and nothing is missing or there twice", { allow: AWAY }, async ({ router, open }) => {
    await router.send(...numbers(0, 20));
    await router.stored(20);
    const page = await open("#/live");
    await newest(page, "message 19");
    await until("the stream is open", async () => (await part(page, "flow").getAttribute("data-state")) === "open");
    await router.kill();
    await part(page, "lost").waitFor();
    assert.match(await part(page, "lost").innerText(), /No connection to the router/);
    await says(page, "flow", /lost/);
    await picture(page, "live-lost");
    await router.start();
    // Before the page has noticed.
    await router.send(...numbers(20, 30));
    await newest(page, "message 49");
    await part(page, "lost").waitFor({ state: "hidden" });
    await says(page, "flow", /^connected/);
    await router.send(message(50));
    await newest(page, "message 50");
    const all = (await rows(page)).map(({ payload }) => payload);
    assert.deepEqual(all, Array.from({ length: all.length }, (_, at) => `message ${50 - at}`));
    assert.ok(all.length > 25);
});

check("what is filtered is what is shown and counted; a mistake takes nothing away", { allow: [/^answer: 400/] }, async ({ router, open }) => {
    await router.send(...numbers(0, 8).map((one, at) => ({ ...one, severity: at })), ...numbers(8, 12, { logger: "db" }));
    await router.stored(20);
    const page = await open("#/live");
    await newest(page, "message 19");
    const words = new Set((await rows(page)).map(({ severity }) => severity));
    assert.deepEqual([...words].sort(), ["ALRT", "CRIT", "DBG", "EMRG", "ERR", "INFO", "NOTE", "WARN"], "each severity has a word");
    await says(page, "count", /^20 messages/);
    await accessible(page, "live, light");

    await part(page, "query").fill("logger:web severity<=(");
    await part(page, "query").press("Enter");
    await says(page, "query-error", /column \d+/);
    const stays = (await rows(page)).map(({ key, index, payload }) => `${key} ${index} ${payload}`);
    assert.equal(stays.length, 20, `the list stays: ${stays.join("\n")}`);
    await router.send(message(20));
    await newest(page, "message 20");

    await part(page, "query").fill("logger:web severity<=warning");
    await part(page, "query").press("Enter");
    await newest(page, "message 4");
    assert.deepEqual((await rows(page)).map(({ payload }) => payload), [4, 3, 2, 1, 0].map((number) => `message ${number}`));
    assert.equal(await part(page, "query-error").innerText(), "");
    assert.match(page.url(), /query=logger/);
    await says(page, "count", /^5 messages/);
    await router.send(message(21), message(22, { severity: 3 }), message(23));
    await newest(page, "message 22");
    await says(page, "count", /^6 messages/);

    // The bars, their legend, the list and the number beside them are one.
    await part(page, "legend-3").click();
    await newest(page, "message 22");
    assert.match(await part(page, "query").inputValue(), /severity:error/);
    await says(page, "count", /^2 messages/);
    assert.equal((await rows(page)).length, 2);
    assert.equal(await part(page, "histogram").getAttribute("data-total"), "2");
    await page.reload();
    await says(page, "count", /^2 messages/);
    assert.match(await part(page, "query").inputValue(), /severity:error/);
});

check("a router that keeps nothing still shows what comes in", { config: PLAIN.replace('type = "store"', 'type = "null"'), allow: [/^answer: 503 GET \/v1\/messages/] }, async ({ router, open }) => {
    const page = await open("#/live");
    await says(page, "count", /nothing is kept here/);
    await part(page, "first").waitFor();
    await until("the stream is open", async () => (await part(page, "flow").getAttribute("data-state")) === "open");
    await router.send(...numbers(0, 5));
    await newest(page, "message 4");
    assert.equal((await rows(page)).length, 5);
    await part(page, "row").first().locator(".line").click();
    await part(page, "detail").waitFor();
});

check("the bars end now, and say what they are", {}, async ({ router, open }) => {
    await router.send(...scene(900, 14));
    await router.stored(900);
    const page = await open("#/live", { theme: "dark" });
    await says(page, "count", /^900 messages in the last 15 minutes/);
    assert.equal(await part(page, "histogram").getAttribute("data-total"), "900");
    assert.match(await part(page, "histogram").getAttribute("aria-label"), /^Messages over time: \d+ critical, \d+ error, \d+ warning/);
    const { x, width } = await part(page, "histogram").boundingBox();
    const last = await page.locator("[data-test=histogram] rect").evaluateAll((bars) => Math.max(...bars.map((bar) => bar.getBoundingClientRect().right)));
    assert.ok(last > x + width * 0.95, "the newest are at the right");
    const legend = await part(page, "legend").locator("button:enabled").allInnerTexts();
    assert.equal(legend.reduce((sum, text) => sum + Number(text.split(" ")[1].replace(",", "")), 0), 900);
    await curated(page, "live");
    // A stretch of them leads to Search, and to as many as it says there.
    const { y } = await part(page, "histogram").boundingBox();
    await page.mouse.move(x + width * 0.3, y + 40);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.6, y + 40, { steps: 4 });
    await page.mouse.up();
    await part(page, "view-search").waitFor();
    const within = new URLSearchParams(new URL(page.url()).hash.split("?")[1]);
    const { matched } = await router.get(`/v1/messages/tally?query=${encodeURIComponent(`since:${within.get("since")} until:${within.get("until")}`)}`);
    assert.ok(matched > 100 && matched < 600, `${matched}`);
    await until("they are counted there", async () => (await part(page, "count").getAttribute("data-total")) === String(matched));
    // Who came by a link has nothing to go back to, and gets more.
    await part(page, "zoom-out").click();
    await until("more", async () => Number(await part(page, "count").getAttribute("data-total")) > matched);
});

check("at phone width, in the dark", {}, async ({ router, open }) => {
    await router.send(...numbers(0, 60).map((one, at) => ({ ...one, severity: at % 8, payload: `${one.payload} ${"long ".repeat(60)}` })));
    await router.stored(60);
    const page = await open("#/live", { width: 390, height: 844, theme: "dark" });
    await newest(page, "message 59");
    await fits(page, "live");
    await part(page, "row").first().click();
    await part(page, "detail").waitFor();
    await fits(page, "live, a message open");
    await accessible(page, "live, dark");
    await picture(page, "live-phone");
});
