// Explain: of a message that is typed in, or picked elsewhere, what each filter says and where it would go.

import assert from "node:assert/strict";
import { PLAIN, accessible, check, fits, message, part, picture, says, until } from "./harness.mjs";

const CONFIG = `${PLAIN}
[filters.secrets]
type = "redact"
names = ["password"]
[filters.loud]
type = "severity_max"
severity = 4
[filters.metrics]
type = "type_whitelist"
types = ["counter", "timer"]
[filters.wanted]
type = "any"
of = ["loud", "metrics"]
[endpoints.pager]
type = "null"
filters = ["wanted"]
[endpoints.lines]
type = "null"
from_inputs = ["tcp"]
[endpoints.numbers]
type = "null"
types = ["counter", "timer"]
`.replace('http = "127.0.0.1:0"', 'http = "127.0.0.1:0"\nedit = ["secrets"]');

const verdicts = (page) => page.locator('[data-test^="verdict-"]').evaluateAll((rows) =>
    Object.fromEntries(rows.map((row) => [row.dataset.test.slice(8), row.dataset.yes === "true"])));
const why = async (page, name) => (await part(page, `verdict-${name}`).locator("td").last().innerText()).trim();

check("a message is explained, filter by filter and endpoint by endpoint, and nothing is sent", { config: CONFIG }, async ({ router, open }) => {
    const page = await open("#/explain");
    const ask = async (text, input = "") => {
        await part(page, "explain-message").fill(text);
        await until("the inputs are known", async () => (await part(page, "explain-input").locator("option").count()) === 4);
        await part(page, "explain-input").selectOption(input);
        await part(page, "explain-go").click();
    };
    // With nothing typed in, an example.
    await part(page, "explain-go").click();
    await says(page, "explain-verdict", /It goes to 2 of 4 endpoints\./);
    assert.match(await part(page, "explain-message").inputValue(), /disk full/);

    await ask(JSON.stringify(message(1, { severity: 6, fields: { password: "hunter2" } })), "tcp");
    await says(page, "explain-verdict", /It goes to 2 of 4 endpoints\./);
    assert.deepEqual(await verdicts(page), { store: true, pager: false, lines: true, numbers: false, loud: false, metrics: false, wanted: false });
    assert.match(await why(page, "pager"), /wanted/);
    assert.match(await why(page, "numbers"), /type/);
    await says(page, "explain-notes", /edit secrets changed it/);
    const understood = await part(page, "explain-understood").innerText();
    assert.ok(!understood.includes("hunter2") && JSON.parse(understood).payload === "message 1", understood);
    await ask(JSON.stringify(message(1, { severity: 6 })), "http");
    await until("by another way", async () => (await verdicts(page)).lines === false);
    assert.match(await why(page, "lines"), /input|tcp|http/);
    await ask(JSON.stringify(message(1, { type: "timer", severity: 6, payload: "3" })));
    await until("a timer is wanted", async () => {
        const told = await verdicts(page);
        return told.pager && told.numbers && told.metrics && told.wanted && !told.loud;
    });
    for (const theme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: theme });
        await accessible(page, `explained, ${theme}`);
        await picture(page, `explain-${theme}`);
    }
    await page.setViewportSize({ width: 390, height: 800 });
    await fits(page, "explained on a phone");
    await accessible(page, "explained on a phone");
    await picture(page, "explain-phone");
    await page.setViewportSize({ width: 1280, height: 800 });

    // What is mended is told, and what cannot be read is refused in words, whatever it looks like.
    await ask('{"type": "__proto__", "fields": {"constructor": "<script>pwned(1)</script>"}}');
    await says(page, "explain-understood", /<script>pwned\(1\)<\/script>/);
    assert.match(await part(page, "explain-notes").innerText(), /timestamp|severity|logger/);
    await ask("no message at all");
    await says(page, "explain-refused", /Refused, to the dead letters: /);
    assert.deepEqual(await verdicts(page), {});
    await accessible(page, "a message that cannot be read");
    await picture(page, "explain-refused");
    const { inputs } = await router.get("/v1/pipeline");
    assert.deepEqual(inputs.map(({ counts }) => counts.received), inputs.map(() => 0), "nothing was sent by asking");
    assert.equal(Number((await router.get("/v1/deadletters")).total), 0);
});

check("a message is picked from the lists and from a dead letter", { config: CONFIG }, async ({ router, open }) => {
    await router.send(message(1, { severity: 1, payload: "from the list", fields: { big: 123, user: "ö" } }));
    await router.stored(1);
    for (const view of ["live", "search"]) {
        const page = await open(`#/${view}`);
        await part(page, "row").getByText("from the list").click();
        await part(page, "detail").getByText("Explain").click();
        await says(page, "explain-verdict", /It goes to 2 of 4 endpoints\./);
        assert.equal(JSON.parse(await part(page, "explain-message").inputValue()).payload, "from the list");
        assert.equal((await verdicts(page)).loud, true);
        await page.goBack();
        await part(page, "row").getByText("from the list").waitFor();
    }
    await router.pour("scribble");
    const page = await open("#/dead");
    await part(page, "letter-explain").click();
    await says(page, "explain-refused", /Refused/);
    assert.deepEqual([await part(page, "explain-message").inputValue(), await part(page, "explain-input").inputValue()], ["scribble", "tcp"]);
});
