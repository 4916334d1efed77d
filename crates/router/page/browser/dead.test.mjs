// Dead letters: why they are here, and what becomes of those that are sent in again or thrown away.

import assert from "node:assert/strict";
import { after } from "node:test";
import { PLAIN, accessible, check, fits, message, part, picture, says, until } from "./harness.mjs";
import { peer } from "./peer.mjs";

const sink = await peer();
after(() => sink.close());

const CONFIG = `${PLAIN}
[endpoints.sink]
type = "http"
url = "${sink.url}"
compress = "none"
severity_max = 3
`;

const letters = (page) => part(page, "letter");
/** The letter whose message or cause has this text. */
const letter = (page, text) => letters(page).filter({ hasText: text });
const agree = async (page, what, button = "confirm-yes") => {
    await part(page, "confirm").waitFor();
    assert.match(await part(page, "confirm").innerText(), what);
    await part(page, button).click();
};
const total = async (router) => Number((await router.get("/v1/deadletters?limit=1")).total);

check("dead letters say why, and are replayed or dropped, one or all", { config: CONFIG }, async ({ router, open }) => {
    const page = await open("#/dead");
    await part(page, "dead-none").waitFor();
    await accessible(page, "no dead letters");
    await picture(page, "dead-none");

    sink.says(({ body }) => (/tenant/.test(body) ? { status: 400, body: JSON.stringify({ error: "no such tenant: <b>acme</b>" }) } : null));
    await router.send(...["one", "two", "three", "four"].map((name, number) => message(number, { severity: 2, payload: `tenant ${name}` })), message(9, { severity: 2, payload: "fine" }));
    await router.pour("this is no message", "[1, 2");
    await until("six letters, by themselves", async () => (await letters(page).count()) === 6);
    await says(page, "dead-total", /^6 letters, /);
    const first = letter(page, "tenant one");
    assert.match(await first.innerText(), /endpoint sink/);
    assert.match(await first.locator('[data-test="letter-reply"] summary').innerText(), /It answered: /);
    await until("the endpoint's reply", async () => /no such tenant: <b>acme<\/b>/.test(await first.innerText()));
    assert.equal(await page.locator(".letters b").count(), 0, "what it answered is text");
    const unread = letter(page, "this is no message");
    assert.match(await unread.innerText(), /input tcp[^]*It is no message, so it would only be refused again\./);
    await unread.locator("summary").click();
    assert.equal(await unread.locator('[data-test="letter-message"]').innerText(), "this is no message");
    await first.locator("summary.mono").click();
    assert.deepEqual(JSON.parse(await first.locator('[data-test="letter-message"]').innerText()).payload, "tenant one");
    for (const theme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: theme });
        await accessible(page, `dead letters, ${theme}`);
        await picture(page, `dead-${theme}`);
    }
    await page.setViewportSize({ width: 390, height: 800 });
    await fits(page, "dead letters on a phone");
    await accessible(page, "dead letters on a phone");
    await picture(page, "dead-phone");
    await page.setViewportSize({ width: 1280, height: 800 });

    // As long as the fault is there, a letter that is sent in again comes back with a new cause.
    await letter(page, "tenant two").locator('[data-test="letter-replay"]').click();
    await agree(page, /^Replay this dead letter\?/, "confirm-no");
    assert.equal(await total(router), 6, "who does not agree replays nothing");
    // Mended, it arrives, once, and its letter is gone.
    sink.says(() => null);
    const before = sink.taken.length;
    await letter(page, "tenant two").locator('[data-test="letter-replay"]').click();
    await agree(page, /^Replay this dead letter\?/);
    await says(page, "toasts", /1 replayed/);
    await until("it arrives", () => sink.taken.length > before);
    assert.deepEqual(sink.taken.slice(before).map((one) => one.payload), ["tenant two"]);
    await until("its letter is gone", async () => (await letter(page, "tenant two").count()) === 0 && (await letters(page).count()) === 5);

    // Drop one, after having thought about it.
    await unread.locator('[data-test="letter-drop"]').click();
    await agree(page, /^Drop this dead letter\? This cannot be undone\./, "confirm-no");
    assert.equal(await total(router), 5);
    await unread.locator('[data-test="letter-drop"]').click();
    await agree(page, /^Drop this dead letter\?/);
    await until("it is gone", async () => (await letters(page).count()) === 4);
    assert.equal(await total(router), 4);

    // Some of them.
    await letter(page, "tenant one").locator("input[type=checkbox]").check();
    await letter(page, "tenant three").locator("input[type=checkbox]").check();
    await part(page, "replay-selected").click();
    await agree(page, /^Replay these 2 dead letters\?/);
    await until("both arrive", () => sink.taken.length === before + 3);
    assert.deepEqual(sink.taken.slice(before + 1).map((one) => one.payload).sort(), ["tenant one", "tenant three"]);

    // All: what is no message is refused again and stays.
    await part(page, "replay-all").click();
    await agree(page, /^Replay all 2 dead letters\?/);
    await says(page, "errors", /1 replayed, 1 refused again/);
    await until("what is no message stays", async () => (await letters(page).count()) === 1 && (await letter(page, "[1, 2").count()) === 1);
    await until("the last arrives", () => sink.taken.length === before + 4);
    await part(page, "drop-all").click();
    await agree(page, /^Drop all 1 dead letter\? This cannot be undone\./);
    await part(page, "dead-none").waitFor();
    assert.equal(await total(router), 0);
    assert.equal(Number((await router.get("/v1/messages/tally")).matched), 5, "only who had refused it got it again");
});

check("many dead letters come page by page, and new ones do not push what is read", { config: CONFIG }, async ({ router, open }) => {
    await router.pour(...Array.from({ length: 120 }, (_, number) => `nonsense ${number}`));
    const page = await open("#/dead");
    await until("the first page", async () => (await letters(page).count()) === 50 && /^120 letters/.test(await part(page, "dead-total").innerText()));
    await page.locator("text=nonsense 119").first().waitFor();
    await part(page, "dead-more").click();
    await until("the second", async () => (await letters(page).count()) === 100);
    await part(page, "dead-more").click();
    await until("the last", async () => (await letters(page).count()) === 120);
    assert.equal(await part(page, "dead-more").isVisible(), false);
    const texts = await letters(page).locator("summary").allInnerTexts();
    assert.deepEqual(texts.map((text) => text.trim()), Array.from({ length: 120 }, (_, number) => `nonsense ${119 - number}`));
    const reading = letter(page, /^[^]*nonsense 60\b/).first();
    await reading.scrollIntoViewIfNeeded();
    const place = (await reading.boundingBox()).y;
    await router.pour("nonsense afterwards");
    await says(page, "dead-newer", /^1 newer letter: show$/);
    assert.ok(Math.abs((await reading.boundingBox()).y - place) < 2, "what is read stays where it is");
    await part(page, "dead-newer").click();
    await page.locator("text=nonsense afterwards").first().waitFor();
    await part(page, "drop-all").click();
    await agree(page, /^Drop all 121 dead letters\?/);
    await part(page, "dead-none").waitFor();
});
