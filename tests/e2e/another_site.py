"""Another site: it serves one empty page, and here is what a script in that page tries on the gateway."""

from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EMBED = r"""
const [origin, places, quiet] = arguments;
const wait = (target, ...names) => new Promise((done) => {
  names.forEach((name) => target.addEventListener(name, () => done(name)));
  setTimeout(() => done("silence"), 20000);
});
const put = async (name, attributes, learned = () => "") => {
  const element = Object.assign(document.createElement(name), attributes);
  const said = wait(element, "load", "loadedmetadata", "error");
  document.body.append(element);
  return `${await said} ${learned(element)}`.trim();
};
const opened = async (channel) => {
  const said = await wait(channel, "open", "error");
  channel.close();
  return said;
};
const got = (url, options) => fetch(url, options).then((r) => `${r.type} ${r.status}`, (e) => e.name);
const size = (e) => `${e.videoWidth ?? e.naturalWidth}`;
const code = `
  const got = (url, mode) => fetch(url, {mode}).then((r) => r.type, (e) => e.name);
  onmessage = async ({data: url}) =>
    parent.postMessage(await got(url, "cors") + " " + await got(url, "no-cors"), "*");
`;
const sandboxed = async (url) => {
  const srcdoc = `<script>${code}</${"script"}>`;
  const frame = Object.assign(document.createElement("iframe"), {sandbox: "allow-scripts", srcdoc});
  document.body.append(frame);
  await wait(frame, "load");
  const said = new Promise((done) => addEventListener("message", ({data}) => done(data), {once: true}));
  frame.contentWindow.postMessage(url, "*");
  return said.finally(() => frame.remove());
};
const attempts = (url) => ({
  img: put("img", {src: url}, size),
  video: put("video", {src: url, muted: true, autoplay: true}, size),
  "video, asking": put("video", {src: url, muted: true, autoplay: true, crossOrigin: "anonymous"}, size),
  audio: put("audio", {src: url}),
  script: put("script", {src: url}),
  style: put("link", {rel: "stylesheet", href: url}),
  prefetch: put("link", {rel: "prefetch", href: url}),
  iframe: put("iframe", {src: url}, (e) => `${e.contentDocument} ${e.contentWindow.length}`),
  object: put("object", {data: url}),
  embed: put("embed", {src: url}, (e) => e.getSVGDocument()),
  "fetch, blind": got(url, {mode: "no-cors"}),
  fetch: got(url),
  "fetch, asking": got(url, {headers: {"X-Any": "1"}}),
  delete: got(url, {method: "DELETE"}),
  import: import(url).then(() => "imported", (e) => e.name),
  events: opened(new EventSource(url)),
  socket: opened(new WebSocket(url.replace("http", "ws"))),
  sandbox: quiet ? sandboxed(url) : "",
});
const settled = async (tries) => Object.fromEntries(
  await Promise.all(Object.entries(tries).map(async ([name, said]) => [name, await said])));
return (async () => {
  const tries = {};
  for (const [place, path] of Object.entries(places)) tries[place] = await settled(attempts(origin + path));
  const seen = performance.getEntriesByType("resource").filter(({name}) => name.startsWith(origin + "/"));
  return {tries, sizes: seen.map((e) => [e.transferSize, e.decodedBodySize, e.responseStatus])};
})();
"""
"""Embeds paths of the gateway in every way there is: what the page could tell from each (`tries`), and what
the browser's record of its requests says of their size and status (`sizes`). A sandbox says no more
of where it is than a quiet page does, so that a quiet page alone makes one."""
LEARNED = {
    "img": "error 0", "video": "error 0", "video, asking": "error 0", "audio": "error", "script": "error",
    "style": "error", "prefetch": "error", "iframe": "load null 0", "object": "error", "embed": "load null",
    "fetch, blind": "TypeError", "fetch": "TypeError", "fetch, asking": "TypeError", "delete": "TypeError",
    "import": "TypeError", "events": "error", "socket": "error", "sandbox": "TypeError TypeError",
}  # fmt: skip
"""Nothing, and so the same of what is there and of what is not."""

POST = r"""
const [origin, camera, watch] = arguments;
const put = (name, attributes, ...children) => {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  document.body.append(element);
  return element;
};
const fields = {"text/plain": ['{"trigger": "close", "reason": "', '"}']};
const submit = (action, enctype, rel) => new Promise((done) => {
  const sink = put("iframe", {name: `sink${document.forms.length}`});
  const [name, value] = fields[enctype] ?? ["trigger", "close"];
  const input = put("input", {name, value});
  const form = put("form", {action, enctype, rel, method: "post", target: sink.name}, input);
  const seen = () => `${sink.contentDocument}`;
  sink.addEventListener("load", () => sink.contentDocument?.URL !== "about:blank" && done(seen()));
  form.submit();
});
const got = (url, options) => fetch(url, options).then((r) => `${r.type} ${r.status}`, (e) => e.name);
const body = '{"trigger": "close"}', json = {"Content-Type": "application/json"};
const encodings = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
return (async () => {
  const said = {form: new Set(), blind: new Set(), asking: new Set(), beacon: new Set()};
  for (const place of ["transitions", "watches"]) {
    const url = `${origin}/api/v1/cameras/${camera}/${place}`;
    const kinds = encodings.flatMap((encoding) => [[encoding, ""], [encoding, "noreferrer"]]);
    for (const seen of await Promise.all(kinds.map((kind) => submit(url, ...kind)))) said.form.add(seen);
    for (const referrerPolicy of ["origin", "no-referrer"])
      said.blind.add(await got(url, {method: "POST", mode: "no-cors", body, referrerPolicy}));
    said.asking.add(await got(url, {method: "POST", headers: json, body}));
    said.beacon.add(navigator.sendBeacon(url, new Blob([body], {type: "text/plain"})));
  }
  said.asking.add(await got(`${origin}/api/v1/watches/${watch}`, {method: "DELETE"}));
  return Object.fromEntries(Object.entries(said).map(([how, each]) => [how, [...each]]));
})();
"""
"""Posts a closing and a joining in every way there is; what the page could tell of the answers."""
SENT = {"form": ["null"], "blind": ["TypeError"], "asking": ["TypeError"], "beacon": [True]}
"""That they were sent, and no more."""


QUIET = "/quiet"
"""Where the page says to nobody where it is; elsewhere browsers send its origin as `Referer`."""


class Site(ThreadingHTTPServer):
    """One empty page, whatever is asked. `asked`: by `Host`, the headers of the last request."""

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Page)
        self.asked: dict[str, Message] = {}

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        quiet = b'<meta name="referrer" content="no-referrer">' if self.path == QUIET else b""
        body = b"<!doctype html><title>Another site</title>" + quiet + b"<body></body>"
        self.server.asked[self.headers["Host"].partition(":")[0]] = self.headers
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: Any) -> None:
        """Nothing."""
