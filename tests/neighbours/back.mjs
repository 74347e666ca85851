// Says which request it got once it has it whole, and notes it: node back.mjs HOST PORT FILE.
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";

const [host, port, seen] = process.argv.slice(2);
createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    appendFileSync(seen, `${request.method} ${request.url}\n`);
    response.end(`${request.method} ${request.url}`);
  });
}).listen(Number(port), host);
