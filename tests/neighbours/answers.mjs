// Answers in every way that Node has: node answers.mjs HOST PORT, or HOST PORT h2 for HTTP/2 with prior knowledge. The last segment of
// the path says which; each answer names the request that it is for.
import * as http from "node:http";
import * as http2 from "node:http2";

const [host, port, protocol] = process.argv.slice(2);
const h2 = protocol === "h2";
const answers = {
  length: (response, said) => response.writeHead(200, { "Content-Length": said.length }).end(said),
  pieces: (response, said) => {
    response.writeHead(200, { "Set-Cookie": ["a=1", "b=2"] });
    response.write(said);
    setImmediate(() => response.end("the rest"));
  },
  trailers: (response, said) => {
    response.writeHead(200, { Trailer: "X-Sum" });
    response.write(said);
    response.addTrailers({ "X-Sum": "1" });
    response.end();
  },
  empty: (response) => response.writeHead(200, { "Content-Length": 0 }).end(),
  nothing: (response) => response.writeHead(204).end(),
  reset: (response) => response.writeHead(205).end(),
  unmodified: (response) => response.writeHead(304, { ETag: '"1"' }).end(),
  hints: (response, said) => {
    if (!h2) response.writeProcessing();
    response.writeEarlyHints({ link: "</a.css>; rel=preload", "x-hint": "1" });
    response.end(said);
  },
  big: (response, said) => {
    for (let nth = 0; nth < 30; nth++) response.setHeader(`X-Big-${nth}`, "b".repeat(1000));
    response.end(said.repeat(5000));
  },
  close: (response, said) => {
    if (!h2) {
      response.useChunkedEncodingByDefault = false;
      response.setHeader("Connection", "close");
      response.removeHeader("Transfer-Encoding");
    }
    response.end(said);
  },
  failed: (response, said) => response.writeHead(503, { "Retry-After": "7" }).end(said),
  early: (response, said) => response.writeHead(413, h2 ? {} : { Connection: "close" }).end(said),
};

function answer(request, response) {
  const name = request.url.split("/").at(-1).split("?")[0];
  let length = 0;
  const say = () => {
    response.setHeader("X-Asked", `${request.method} ${request.url}`);
    answers[name](response, `${request.method} ${request.url} with ${length}`);
  };
  if (name === "early") return say();
  request.on("data", (piece) => (length += piece.length));
  request.on("end", say);
}

const server = h2 ? http2.createServer(answer) : http.createServer(answer);
// Said by `Connection: close`: whoever goes on all the same is answered 503.
server.maxRequestsPerSocket = 7;
server.listen(Number(port), host);
