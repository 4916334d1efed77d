// A server of somebody else's, to which the router delivers, and which may refuse or fail.

import { createServer } from "node:http";
import { once } from "node:events";

/** Takes what is posted to it, unless `says({ body })` gives `{ status, body }`. */
export async function peer(says = () => null) {
    const taken = [];
    const server = createServer(async (request, answer) => {
        const pieces = [];
        for await (const piece of request) pieces.push(piece);
        const body = Buffer.concat(pieces).toString();
        const said = says({ body, url: request.url });
        if (!said) taken.push(...body.split("\n").filter((line) => line.trim()).map((line) => JSON.parse(line)));
        answer.writeHead(said?.status ?? 200, { "Content-Type": said?.type ?? "application/json" });
        answer.end(said?.body ?? JSON.stringify({ accepted: body.split("\n").filter((line) => line.trim()).length, rejected: [] }));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { url: `http://127.0.0.1:${server.address().port}`, taken, says: (other) => { says = other; }, close: () => { server.closeAllConnections(); server.close(); } };
}
