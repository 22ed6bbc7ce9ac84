/**
 * Receives Grantex webhooks: verifies who sent them, keeps each event once, and answers at once.
 *
 * An event is written to a file and forced to disk before the answer, because an answer of 2xx means that it never comes again. What it
 * means to the application is decided afterwards, by whoever reads the file: a receiver that works before it answers is slow, and
 * what is slow is sent again. Needs nothing beyond Node.js 20.
 *
 *     npx tsc && WEBHOOK_SECRET=… PORT=8787 INBOX=inbox.jsonl node receiver.js
 *
 * While a secret is being replaced, WEBHOOK_SECRET_PREVIOUS holds the older one.
 */

import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, fdatasyncSync, openSync, readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";

/** Seconds that the time of an attempt may be from ours. */
const TOLERANCE = 300;
/** Bytes of a body; events are far smaller. */
const MAX_BODY = 1024 * 1024;
/** Milliseconds that a client may take to send a request. */
const PATIENCE = 10_000;

interface GrantexEvent {
  id: string;
  type: string;
  createdAt: string;
  data: Record<string, unknown>;
}

/**
 * Why a request is refused; `undefined` when one of the secrets signed these bytes within TOLERANCE of now (Unix seconds).
 *
 * Two families of headers say the same: the protocol's own are taken when they are there, else those of Standard Webhooks.
 * X-Grantex-Signature alone is not taken: it does not cover the time, so that a recorded request would be good for ever.
 */
export function refusal(
  headers: IncomingHttpHeaders,
  body: Buffer,
  secrets: readonly string[],
  now: number,
): string | undefined {
  const own = one(headers, "x-grantex-signature-v2");
  const timestamp = one(headers, own === undefined ? "webhook-timestamp" : "x-grantex-timestamp");
  if (timestamp === undefined || !/^[0-9]{1,15}$/.test(timestamp)) return "no timestamp";
  if (Math.abs(now - Number(timestamp)) > TOLERANCE) return "too old, or from the future";

  let given: string[];
  let expected: string[];
  if (own !== undefined) {
    // While a secret is replaced, the older one signs in a header of its own.
    given = [own, one(headers, "x-grantex-signature-v2-previous") ?? ""];
    expected = secrets.map((secret) => `sha256=${mac(secret, `${timestamp}.`, body).toString("hex")}`);
  } else {
    // A list: while a secret is replaced, both sign.
    given = (one(headers, "webhook-signature") ?? "").split(" ");
    const prefix = `${one(headers, "webhook-id") ?? ""}.${timestamp}.`;
    expected = secrets.map((secret) => `v1,${mac(standardKey(secret), prefix, body).toString("base64")}`);
  }
  return expected.some((a) => given.some((b) => isSame(a, b))) ? undefined : "no signature fits";
}

function one(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

function mac(key: string | Buffer, prefix: string, body: Buffer): Buffer {
  return createHmac("sha256", key).update(prefix).update(body).digest();
}

/** Standard Webhooks: the bytes that the secret encodes. A secret that is no base64 is used as it is. */
function standardKey(secret: string): Buffer {
  const text = secret.startsWith("whsec_") ? secret.slice("whsec_".length) : secret;
  const key = Buffer.from(text, "base64");
  return key.toString("base64") === text ? key : Buffer.from(text);
}

/** Takes the same time wherever two texts differ; that their lengths differ is no secret. */
function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Events that were taken, a line each. */
class Inbox {
  /** A program that runs for long keeps these in its database, under a unique index. */
  private readonly ids = new Set<string>();
  private readonly file: number;
  /** Whether the file may end within a line, because writing it was cut short. */
  private isTorn: boolean;

  constructor(path: string) {
    const text = existsSync(path) ? readFileSync(path, "utf8") : "";
    for (const line of text.split("\n")) {
      const event = parse(line);
      if (event !== undefined) this.ids.add(event.id);
    }
    this.isTorn = text !== "" && !text.endsWith("\n");
    this.file = openSync(path, "a");
  }

  /** Keeps an event, on disk when this returns. `false`: it was there already, since deliveries may come more than once. */
  keep(event: GrantexEvent): boolean {
    if (this.ids.has(event.id)) return false;
    const line = `${this.isTorn ? "\n" : ""}${JSON.stringify(event)}\n`;
    this.isTorn = true;
    appendFileSync(this.file, line);
    fdatasyncSync(this.file);
    this.isTorn = false;
    this.ids.add(event.id);
    return true;
  }
}

function parse(text: string): GrantexEvent | undefined {
  try {
    const event = JSON.parse(text) as Partial<GrantexEvent> | null;
    const isEvent = typeof event?.id === "string" && typeof event.type === "string";
    return isEvent ? (event as GrantexEvent) : undefined;
  } catch {
    return undefined;
  }
}

/** The body as it came: one that was parsed and written anew has another signature. `undefined` when it is too long. */
async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function answer(request: IncomingMessage, secrets: readonly string[], inbox: Inbox): Promise<number> {
  if (request.method !== "POST") return 405;
  const body = await read(request);
  if (body === undefined) return 413;
  const reason = refusal(request.headers, body, secrets, Math.floor(Date.now() / 1000));
  if (reason !== undefined) {
    console.log(`refused: ${reason}`);
    return 401;
  }
  const event = parse(body.toString("utf8"));
  if (event === undefined) return 400;
  console.log(`${inbox.keep(event) ? "taken" : "known"}: ${event.id} ${event.type}`);
  return 204;
}

// Anybody can sign with an empty key.
const secrets = [process.env.WEBHOOK_SECRET, process.env.WEBHOOK_SECRET_PREVIOUS].filter(
  (secret): secret is string => secret !== undefined && secret !== "",
);
if (secrets.length === 0) {
  console.error("set WEBHOOK_SECRET to the secret that the webhook was made with");
  process.exit(2);
}
const inbox = new Inbox(process.env.INBOX ?? "inbox.jsonl");
const server = createServer({ requestTimeout: PATIENCE, connectionsCheckingInterval: 1_000 }, (request, response) => {
  answer(request, secrets, inbox)
    // Whatever is no 2xx is sent again.
    .catch(() => 503)
    .then((status) => {
      if (status === 413) response.setHeader("connection", "close");
      response.writeHead(status).end();
    });
});
server.listen(Number(process.env.PORT ?? "8787"), "127.0.0.1", () => {
  const address = server.address();
  if (address !== null && typeof address !== "string") console.log(`listening: http://127.0.0.1:${address.port}`);
});
