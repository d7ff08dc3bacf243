// src/node/main.ts
import os5 from "node:os";
import { fileURLToPath } from "node:url";

// src/protocol/pairing.ts
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

// src/shared/base32.ts
var ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
function normalizeBase32(text) {
  const folded = text.toLowerCase().replace(/[\s-]/g, "").replace(/o/g, "0").replace(/[il]/g, "1");
  return [...folded].every((character) => ALPHABET.includes(character)) ? folded : void 0;
}

// src/shared/errors.ts
var ERROR_CODES = {
  // The caller's mistake.
  usage: "the command line or the request is wrong",
  bad_request: "a request that the other side cannot read",
  bad_selector: "a selector that cannot be parsed",
  not_found: "no node, job, run or invite has that name or id",
  ambiguous: "a prefix that fits more than one",
  no_such_agent: "the node has no agent of that name",
  conflict: "what was asked contradicts what is already there",
  name_taken: "another node has that name",
  too_large: "a message or file is over its limit",
  // Configuration: do not retry.
  config_invalid: "a configuration file or value is wrong",
  home_insecure: "a secret file or the home folder can be read by others",
  host_key_changed: "the gateway shows another host key than the pinned one",
  gateway_not_proven: "the gateway could not prove that it made the invite",
  wrong_gateway: "this node is paired with another gateway",
  protocol_unsupported: "the two sides speak no common protocol version",
  // Refused for good.
  forbidden: "this key may not do that",
  policy_denied: "the node's own policy refuses it",
  key_revoked: "the key was revoked on the gateway",
  invite_invalid: "the invite is unknown, expired, spent or the code is mistyped",
  not_paired: "the key is not known to the gateway",
  pairing_rejected: "an operator turned the pending node away",
  // May pass by itself.
  token_invalid: "the token is missing, expired or bound to another key",
  gateway_unreachable: "the gateway does not answer",
  node_offline: "the node has no live tunnel",
  channel_open_failed: "the other side refused or never answered a channel open",
  connection_lost: "the connection ended in the middle",
  busy: "a limit is reached; try again later",
  timeout: "no answer within the deadline",
  already_running: "another process of this home holds the lock",
  not_running: "nothing runs that could be asked",
  storage_failed: "the disk refused to store (full, read-only or broken)",
  internal: "a defect in fleet"
};
var RETRYABLE = /* @__PURE__ */ new Set([
  "token_invalid",
  "gateway_unreachable",
  "node_offline",
  "channel_open_failed",
  "connection_lost",
  "busy",
  "timeout",
  "storage_failed",
  "internal"
]);
var BRAND = /* @__PURE__ */ Symbol.for("fleet.FleetError");
var FleetError = class extends Error {
  static [Symbol.hasInstance](value) {
    return typeof value === "object" && value !== null && BRAND in value;
  }
  [BRAND] = true;
  name = "FleetError";
  code;
  hint;
  facts;
  constructor(code, message, options = {}) {
    super(message, options.cause === void 0 ? void 0 : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.facts = options.facts;
  }
  /** Whether the same request may succeed later without anybody changing anything. */
  get retryable() {
    return RETRYABLE.has(this.code);
  }
  /** The JSON that goes over the API and out of `--json`. */
  toJSON() {
    return { code: this.code, message: this.message, ...this.hint === void 0 ? {} : { hint: this.hint } };
  }
};
function toFleetError(error) {
  if (error instanceof FleetError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FleetError("internal", message, { cause: error });
}
function systemErrorCode(error) {
  if (typeof error !== "object" || error === null || !("code" in error)) return void 0;
  return typeof error.code === "string" ? error.code : void 0;
}

// src/protocol/length-prefixed.ts
function lengthPrefixed(fields) {
  return Buffer.concat(
    fields.flatMap((field) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      return [length, field];
    })
  );
}

// src/protocol/pairing.ts
var PURPOSE = "fleet-pair-v1";
var NONCE_BYTES = 32;
var INVITE_ID_LENGTH = 4;
var INVITE_SECRET_LENGTH = 12;
function encodeTranscript(transcript) {
  const fields = [
    Buffer.from(PURPOSE),
    transcript.hostKey,
    transcript.publicKey,
    transcript.nodeNonce,
    transcript.gatewayNonce,
    Buffer.from(String(transcript.gatewayTimeMs)),
    Buffer.from(transcript.inviteId)
  ];
  return lengthPrefixed(fields);
}
function inviteProof(side, secret, transcript) {
  return createHmac("sha256", secret).update(`${side}\0`).update(transcript).digest();
}
function proofsEqual(left, right) {
  return left.length === right.length && timingSafeEqual(left, right);
}
function commitmentOf(opening) {
  return createHash("sha256").update(opening).digest();
}
function comparisonCode(transcript, opening) {
  const digest = createHash("sha256").update("fleet-compare-v1\0").update(transcript).update(opening).digest();
  const digits = String(digest.readUIntBE(0, 6) % 1e8).padStart(8, "0");
  return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}
function parseInviteCode(text) {
  const plain = normalizeBase32(text);
  if (plain === void 0 || plain.length !== INVITE_ID_LENGTH + INVITE_SECRET_LENGTH) {
    throw new FleetError("invite_invalid", "that is not an invite code", {
      hint: "A code looks like 7k3f-9m2q-x0zt-4hcv; `fleet invite` on the gateway prints one."
    });
  }
  return { id: plain.slice(0, INVITE_ID_LENGTH), secret: plain.slice(INVITE_ID_LENGTH) };
}

// src/protocol/sanitize-name.ts
function sanitizeName(hostname) {
  const short = hostname.split(".")[0] ?? "";
  const name = short.toLowerCase().replace(/[^a-z0-9-]+/g, "-").replace(/^-+/, "").slice(0, 63).replace(/-+$/, "");
  return name === "" ? "node" : name;
}

// src/shared/address.ts
import { isIPv6 } from "node:net";
function parseAddress(text, defaultPort) {
  const match = /^(?:\[([^[\]\s]+)\]|([^:[\]\s]*))(?::(\d{1,5}))?$/.exec(text);
  const v6 = match?.[1] ?? (isIPv6(text) ? text : void 0);
  const host = v6 === void 0 || isIPv6(v6) ? v6 ?? match?.[2] : void 0;
  const port = match?.[3] === void 0 ? defaultPort : Number(match[3]);
  if (host === void 0 || port > 65535 || host === "" && match?.[3] === void 0 || host.startsWith("-")) {
    throw new FleetError("usage", `not an address: ${JSON.stringify(text)}`, {
      hint: "Write it as host, host:port or [v6]:port."
    });
  }
  return { host: host === "" ? "0.0.0.0" : host, port };
}
function formatAddress({ host, port }) {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

// src/shared/clock.ts
var MAX_TIMER_MS = 2 ** 31 - 1;
var systemClock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback, options) {
    let timer;
    const arm = (leftMs) => {
      const stepMs = Math.min(leftMs, MAX_TIMER_MS);
      timer = setTimeout(() => leftMs > stepMs ? arm(leftMs - stepMs) : callback(), stepMs);
      if (options?.unref) timer.unref();
    };
    arm(delayMs);
    return { cancel: () => clearTimeout(timer) };
  }
};
function sleep(clock, delayMs, signal) {
  return new Promise((resolve2) => {
    if (signal?.aborted) return resolve2();
    const done = () => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve2();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

// src/shared/config.ts
import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import { z } from "zod";

// src/shared/duration.ts
var UNIT_MS = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };
function parseDuration(text, what = "duration") {
  const ms = Math.round(readMs(text.trim()));
  if (Number.isSafeInteger(ms)) return ms;
  throw new FleetError("usage", `${what} is not a duration: ${JSON.stringify(text)}`, {
    hint: "Write it like 30s, 5m, 1h30m or 7d."
  });
}
function readMs(text) {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1e3;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return Number.NaN;
  let total2 = 0;
  for (const [, amount2, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    total2 += Number(amount2) * (UNIT_MS[unit ?? ""] ?? 0);
  }
  return total2;
}
function formatDuration(ms) {
  if (ms < 1e3) return `${Math.round(ms)}ms`;
  const seconds = Math.floor(ms / 1e3);
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"]
  ];
  const first = parts.findIndex(([amount2]) => amount2 > 0);
  return parts.slice(first, first + 2).filter(([amount2]) => amount2 > 0).map(([amount2, unit]) => `${amount2}${unit}`).join(" ");
}

// src/shared/config.ts
var CONFIG_SECTIONS = ["gateway", "node"];
var durationSchema = z.union([z.string(), z.number()]).transform((value, context) => {
  try {
    return parseDuration(String(value));
  } catch {
    context.addIssue({ code: "custom", message: `not a duration such as 30s, 5m or 7d: ${JSON.stringify(value)}` });
    return z.NEVER;
  }
});
var intervalSchema = durationSchema.refine((ms) => ms > 0, "must be longer than 0");
function addressSchema(defaultPort) {
  return z.string().transform((value, context) => {
    try {
      return parseAddress(value, defaultPort);
    } catch (error) {
      context.addIssue({ code: "custom", message: error instanceof Error ? error.message : "not an address" });
      return z.NEVER;
    }
  });
}
function readConfigFile(file2, required) {
  let text;
  try {
    text = readFileSync(file2, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT" && !required) return {};
    throw new FleetError("config_invalid", `cannot read the config file ${file2}: ${systemErrorCode(error) ?? error}`, {
      cause: error
    });
  }
  const document = parseDocument(text);
  const [fault] = document.errors;
  if (fault !== void 0)
    throw new FleetError("config_invalid", `${file2} is not valid YAML: ${fault.message.split("\n")[0]}`, {
      cause: fault
    });
  const value = toPlain(document, file2);
  const foreign = typeof value === "object" && !Array.isArray(value) ? Object.keys(value).filter((key) => !CONFIG_SECTIONS.includes(key)) : ["(not a map)"];
  if (foreign.length > 0) {
    throw new FleetError("config_invalid", `${file2}: unknown section ${foreign.join(", ")}`, {
      hint: `The sections are ${CONFIG_SECTIONS.join(" and ")}; see config.example.yaml.`
    });
  }
  return value;
}
function toPlain(document, file2) {
  try {
    return document.toJS() ?? {};
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new FleetError("config_invalid", `${file2} is not valid YAML: ${why}`, { cause: error });
  }
}
function parseConfigSection(schema, name, section, flags, file2) {
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== void 0));
  if (section !== void 0 && section !== null && typeof section !== "object") {
    throw new FleetError("config_invalid", `${file2}: ${name} is not a map`);
  }
  const parsed = schema.safeParse({ ...section, ...given });
  if (parsed.success) return deepFreeze(parsed.data);
  const faults = parsed.error.issues.map((issue) => {
    const where = [name, ...issue.path].join(".");
    const source = issue.path[0] !== void 0 && String(issue.path[0]) in given ? "the command line" : file2;
    return `${where}: ${issue.message} (in ${source})`;
  });
  throw new FleetError("config_invalid", `the configuration is wrong: ${faults.join("; ")}`, {
    hint: "config.example.yaml shows every option."
  });
}
function deepFreeze(value) {
  if (typeof value === "object" && value !== null) for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}

// src/shared/home.ts
import path from "node:path";
var MAX_SOCKET_PATH_BYTES = process.platform === "linux" ? 107 : 103;
function nodesFolder(home) {
  return path.join(home, "nodes");
}
function nodePaths(home, profile) {
  const folder = path.join(nodesFolder(home), profile);
  return {
    folder,
    socket: assertSocketPath(path.join(folder, "node.sock")),
    lock: path.join(folder, "lock"),
    key: path.join(folder, "id_ed25519"),
    nextKey: path.join(folder, "id_ed25519.next"),
    state: path.join(folder, "state.json"),
    spool: path.join(folder, "spool"),
    log: path.join(folder, "node.log"),
    shimSocket: assertSocketPath(path.join(folder, "shim.sock")),
    shimLog: path.join(folder, "shim.log")
  };
}
function configPath(home) {
  return path.join(home, "config.yaml");
}
function assertSocketPath(socket) {
  const bytes = Buffer.byteLength(socket);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new FleetError("config_invalid", `the path of the socket is too long (${bytes} bytes): ${socket}`, {
      hint: `Choose a shorter --home; a Unix socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes.`
    });
  }
  return socket;
}

// src/shared/log.ts
import pino from "pino";

// src/shared/log-file.ts
import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
var DEFAULT_MAX_BYTES = 10 * 1024 * 1024;
var LogFile = class {
  #file;
  #maxBytes;
  #descriptor;
  #bytes;
  #lostLines = 0;
  #closed = false;
  constructor(file2, maxBytes = DEFAULT_MAX_BYTES) {
    this.#file = file2;
    this.#maxBytes = maxBytes;
    this.#descriptor = openSync(file2, "a", 384);
    this.#bytes = fstatSync(this.#descriptor).size;
  }
  write(line) {
    try {
      if (this.#closed) throw new Error("the log is closed");
      if (this.#bytes >= this.#maxBytes) this.#rotate();
      this.#bytes += writeSync(this.#descriptor, line);
    } catch {
      this.#lostLines += 1;
    }
  }
  get lostLines() {
    return this.#lostLines;
  }
  close() {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
  }
  #rotate() {
    if (existsSync(this.#file)) renameSync(this.#file, `${this.#file}.1`);
    const next = openSync(this.#file, "a", 384);
    closeSync(this.#descriptor);
    this.#descriptor = next;
    this.#bytes = 0;
  }
};

// src/shared/strip-control.ts
function stripControl(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\uFFFD");
}

// src/shared/log-line.ts
function formatLogLine(text) {
  const record = parseRecord(text);
  if (record === void 0) return `${stripControl(text.trimEnd())}
`;
  const { time, level, msg, err, ...facts } = record;
  const pairs = Object.entries(facts).map(([key, value]) => `${key}=${formatValue(value)}`);
  if (typeof err === "object" && err !== null && "message" in err) pairs.push(`error=${formatValue(err.message)}`);
  const clock = typeof time === "string" ? time.slice(11, 19) : "--:--:--";
  return stripControl(`${clock} ${String(level).padEnd(5)} ${[String(msg), ...pairs].join(" ")}`).concat("\n");
}
function parseRecord(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : void 0;
  } catch {
    return void 0;
  }
}
function formatValue(value) {
  if (typeof value === "string") return /^[\w./:@%+-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? "undefined";
}

// src/shared/log.ts
var SECRET_FIELDS = ["token", "inviteCode", "secret", "privateKey", "authorization", "env", "ticket"];
function openLog(options) {
  const file2 = new LogFile(options.file);
  const destination = {
    write(line) {
      file2.write(line);
      options.console?.write(formatLogLine(line));
    }
  };
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: "[redacted]" }
    },
    destination
  );
  return { logger, close: () => file2.close() };
}

// src/shared/private-file.ts
import { randomBytes } from "node:crypto";
import {
  closeSync as closeSync2,
  fsyncSync,
  mkdirSync,
  openSync as openSync2,
  readdirSync,
  readFileSync as readFileSync2,
  renameSync as renameSync2,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs";
import path2 from "node:path";
var OTHERS_MASK = 63;
function ensurePrivateFolder(folder) {
  try {
    mkdirSync(folder, { recursive: true, mode: 448 });
  } catch (error) {
    throw new FleetError("storage_failed", `cannot make the folder ${folder}: ${systemErrorCode(error) ?? error}`, {
      hint: "Check that the path is a folder and writable, or choose another with --home.",
      cause: error
    });
  }
  assertPrivate(folder, "700");
}
function assertPrivateContents(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const target = path2.join(folder, entry.name);
    if (entry.isSocket() || entry.isFIFO() || entry.isSymbolicLink()) continue;
    try {
      assertPrivate(target, entry.isDirectory() ? "700" : "600");
      if (entry.isDirectory()) assertPrivateContents(target);
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
    }
  }
}
function createPrivateFile(file2) {
  try {
    closeSync2(openSync2(file2, "wx", 384));
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw error;
  }
}
function assertPrivate(target, wantedMode) {
  const mode = statSync(target).mode & 511;
  if ((mode & OTHERS_MASK) !== 0) {
    throw new FleetError(
      "home_insecure",
      `${target} is open to other users (mode ${mode.toString(8).padStart(3, "0")})`,
      {
        hint: `Run: chmod ${wantedMode} ${target}`
      }
    );
  }
}
function readPrivateFile(file2) {
  let text;
  try {
    text = readFileSync2(file2, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return void 0;
    throw new FleetError("storage_failed", `cannot read ${file2}: ${systemErrorCode(error) ?? error}`, { cause: error });
  }
  assertPrivate(file2, "600");
  return text;
}
function writePrivateFile(file2, text) {
  const temporary = path2.join(path2.dirname(file2), `.${path2.basename(file2)}.${randomBytes(6).toString("hex")}`);
  try {
    const descriptor = openSync2(temporary, "wx", 384);
    try {
      writeFileSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync2(descriptor);
    }
    renameSync2(temporary, file2);
    syncFolder(path2.dirname(file2));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new FleetError("storage_failed", `cannot write ${file2}: ${systemErrorCode(error) ?? error}`, {
      hint: "Check the free space and the rights of the folder.",
      cause: error
    });
  }
}
function syncFolder(folder) {
  const descriptor = openSync2(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync2(descriptor);
  }
}

// src/shared/process-lock.ts
import Database from "better-sqlite3";
var HELD = /* @__PURE__ */ new Set();
function acquireProcessLock(file2, who) {
  let database;
  try {
    createPrivateFile(file2);
    database = new Database(file2, { timeout: 0 });
    database.pragma("journal_mode = DELETE");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database?.close();
    throw lockError(error, file2, who);
  }
  const held = database;
  HELD.add(held);
  return {
    release: () => {
      HELD.delete(held);
      held.close();
    }
  };
}
function lockError(error, file2, who) {
  const busy = error instanceof Database.SqliteError && error.code.startsWith("SQLITE_BUSY");
  if (busy) {
    return new FleetError("already_running", `${who} is already running (it holds ${file2})`, { cause: error });
  }
  return new FleetError("storage_failed", `cannot lock ${file2}: ${error instanceof Error ? error.message : error}`, {
    hint: "Check the free space and the rights of the folder.",
    cause: error
  });
}

// src/node/config.ts
import { z as z7 } from "zod";

// src/protocol/limits.ts
var MAX_COMMAND_BYTES = 120 * 1024;
var MAX_BODY_BYTES = 1024 * 1024;
var DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
var LEAST_MAX_OUTPUT_BYTES = 1024;
var DEFAULT_KILL_GRACE_MS = 5e3;
var DEFAULT_RETENTION_MS = 30 * 864e5;
var DEFAULT_AUDIT_RETENTION_MS = 365 * 864e5;
var DEFAULT_GATEWAY_PORT = 18790;
var NODE_FORWARD = { host: "fleet-node", port: 1 };
var GATEWAY_API = { host: "fleet-gateway", port: 1 };

// src/protocol/names.ts
import { z as z2 } from "zod";
var MAX_LABELS = 64;
var nodeNameSchema = z2.string().regex(
  /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/,
  "a name has 1 to 63 of a-z, 0-9, dot and dash, and starts and ends with a letter or digit"
);
var labelKeySchema = z2.string().regex(/^[A-Za-z0-9]([A-Za-z0-9_./-]{0,62})$/, "a label key has 1 to 63 of letters, digits, _ . / -");
var labelValueSchema = z2.string().regex(/^[A-Za-z0-9_.:/@+-]{0,128}$/, "a label value has at most 128 of letters, digits and _ . : / @ + -");
var labelsSchema = z2.record(labelKeySchema, labelValueSchema).refine((labels) => Object.keys(labels).length <= MAX_LABELS, `more than ${MAX_LABELS} labels`);

// src/shared/ssh/limits.ts
var SSH_LIMITS = Object.freeze({
  // Above 10,000 nodes with room for operators; `nofile` must be higher.
  maxConnections: 2e4,
  // One handshake costs 0.6 ms of CPU: 256 keep the event loop under 40 ms even when 5,000 nodes come back at once.
  maxUnauthenticated: 256,
  // A site of nodes behind one NAT address still gets all in, by their back-off.
  maxUnauthenticatedPerAddress: 32,
  // A node needs one, and a second for a moment; an operator's script may run a hundred commands at once.
  maxConnectionsPerKey: 128,
  graceMs: 1e4,
  // Four round trips over a satellite take about that.
  crowdedGraceMs: 2e3,
  // An agent with many keys probes them one by one.
  maxAuthEvents: 12,
  // OpenSSH needs 2 KB for its handshake and less than 1 KB for each key that its agent offers, large certificates 5 KB; pairing takes 3 KB.
  maxUnauthenticatedBytes: 128 * 1024,
  maxForwards: 16,
  maxChannelsFromGateway: 64,
  // ssh2 loops for ever on 0, and small sizes multiply our work per byte.
  minPacketBytes: 1024,
  // RFC 4253, 6.1: every implementation takes 32,768.
  maxPacketBytes: 32768,
  transmitHighWaterBytes: 4 * 1024 * 1024,
  transmitKillBytes: 16 * 1024 * 1024,
  maxQueuedPackets: 16384,
  rekeysPerSecond: 1,
  rekeyBurst: 10,
  // RFC 4253, 9: after each gigabyte or hour.
  rekeyBytes: 1024 * 1024 * 1024,
  rekeyIntervalMs: 36e5,
  // A slow line may have megabytes in flight before the peer's answer.
  rekeyTimeoutMs: 6e4,
  // 10 s × (2 + 1): a dead peer is gone after 30 s.
  keepaliveIntervalMs: 1e4,
  keepaliveCountMax: 2,
  openTimeoutMs: 1e4,
  closeGraceMs: 2e3
});
function resolveLimits(overrides = {}) {
  return Object.freeze({ ...SSH_LIMITS, ...overrides });
}

// src/node/agent-config.ts
import { z as z4 } from "zod";

// src/protocol/agent/agent-spec.ts
import { z as z3 } from "zod";
var agentNameSchema = z3.string().regex(/^[a-z0-9][a-z0-9._-]{0,47}$/, "an agent has a name of 1 to 48 of a-z, 0-9, dot, underscore and dash");
var AGENT_OUTPUT_FORMATS = ["text", "ndjson", "stream-json"];
var startedAgentSchema = z3.object({
  name: agentNameSchema,
  /** A format of a later version is shown as it is. */
  events: z3.enum(AGENT_OUTPUT_FORMATS).catch("text")
});

// src/node/agent-config.ts
var MAX_AGENTS = 200;
var agentConfigSchema = z4.strictObject({
  /** Program and arguments, given to no shell; the program by absolute path or by its name in the PATH of the node. */
  command: z4.tuple([z4.string().min(1)], z4.string()),
  /** How the program gets the prompt: on stdin, as its last argument, or in one line of JSON on stdin. */
  prompt: z4.enum(["stdin", "argument", "json"]).default("stdin"),
  /** How its stdout is to be read. */
  events: z4.enum(AGENT_OUTPUT_FORMATS).default("text"),
  /** From start to SIGTERM, unless the job says otherwise. */
  timeout: intervalSchema.optional(),
  /** Runs of this agent that work at once on this node; others wait on the node for their turn. */
  maxParallel: z4.number().int().positive().optional()
});
var agentsConfigSchema = z4.record(agentNameSchema, agentConfigSchema).refine((agents) => Object.keys(agents).length <= MAX_AGENTS, `more than ${MAX_AGENTS} agents`);

// src/node/policy/policy-config.ts
import { z as z6 } from "zod";

// src/protocol/run-spec.ts
import { z as z5 } from "zod";
var runIdSchema = z5.string().regex(/^[0-9a-z]{12}\.\d{1,6}$/, "not a run id");
var environmentName = z5.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "not a name for an environment variable");
var noNul = (text) => !text.includes("\0");
var commandSchema = z5.string().min(1).refine((text) => Buffer.byteLength(text) <= MAX_COMMAND_BYTES, `longer than ${MAX_COMMAND_BYTES} bytes`).refine(noNul, "contains a NUL byte");
var commonFields = {
  run: runIdSchema,
  job: z5.string(),
  /** The node's id, so that a spec for one node is void on another. */
  nodeId: z5.string(),
  /** The node's name, for `FLEET_NODE`. */
  node: z5.string(),
  cwd: z5.string().min(1).refine(noNul, "contains a NUL byte").optional(),
  env: z5.record(environmentName, z5.string().refine(noNul, "contains a NUL byte")),
  /** Run as this user; the node must be allowed to. */
  user: z5.string().regex(/^[a-zA-Z_][a-zA-Z0-9_.-]*\$?$/, "not a user name").optional(),
  /** From start to SIGTERM. */
  timeoutMs: z5.number().int().positive().optional(),
  /** Whether somebody will send stdin; otherwise it is empty. */
  stdin: z5.boolean(),
  /** stdout and stderr together that are kept. */
  maxOutputBytes: z5.number().int().positive()
};
var shellSpecSchema = z5.strictObject({
  ...commonFields,
  kind: z5.literal("shell"),
  /** Given to the node's shell as one string, as sshd does. */
  command: commandSchema
});
var agentSpecSchema = z5.strictObject({
  ...commonFields,
  kind: z5.literal("agent"),
  /** Which program that is, and how it gets the prompt, only the node's own config says. */
  agent: agentNameSchema,
  prompt: commandSchema,
  /** The node itself gives the program its stdin. */
  stdin: z5.literal(false)
});
var runSpecSchema = z5.discriminatedUnion("kind", [shellSpecSchema, agentSpecSchema]);
var runOptionsSchema = z5.strictObject(commonFields);
var timeMs = z5.number().int().min(0).max(864e13);
var count = z5.number().int().nonnegative();
var runStartedSchema = z5.object({
  startedAt: timeMs,
  pid: z5.number().int(),
  /** Of a run of an agent. */
  agent: startedAgentSchema.optional()
});
var runGapSchema = z5.object({ stdoutBytes: count, stderrBytes: count });
var OUTCOME_STATES = ["exited", "signaled", "timed_out", "canceled", "failed_to_start", "unknown"];
var runOutcomeSchema = z5.object({
  state: z5.enum(OUTCOME_STATES),
  /** 0–255 when `exited`. */
  exitCode: z5.number().int().nullable(),
  /** `SIGKILL`, … when a signal ended the shell. */
  signal: z5.string().nullable(),
  /** Why it did not simply exit: a short stable word such as `timeout`, `no_such_user`, `node_restarted`, and then prose after a colon. */
  reason: z5.string().nullable(),
  startedAt: timeMs.nullable(),
  endedAt: timeMs,
  /** All that was written, kept or not. */
  stdoutBytes: count,
  stderrBytes: count,
  /** Bytes of both streams that were written but not kept. */
  droppedBytes: count
});
var runStatusSchema = z5.object({
  run: runIdSchema,
  state: z5.enum(["delivered", "running", ...OUTCOME_STATES]),
  outcome: runOutcomeSchema.nullable(),
  /** Length of the log so far, bytes of frames. */
  logBytes: count
});

// src/node/policy/glob.ts
function matchesGlob(pattern, text) {
  let at = 0;
  let inPattern = 0;
  let star;
  while (at < text.length) {
    if (pattern[inPattern] === "*") {
      inPattern += 1;
      star = { next: inPattern, reached: at };
    } else if (pattern[inPattern] === text[at]) {
      inPattern += 1;
      at += 1;
    } else if (star !== void 0) {
      star.reached += 1;
      at = star.reached;
      inPattern = star.next;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === "*") inPattern += 1;
  return inPattern === pattern.length;
}

// src/node/policy/plain-words.ts
var PLAIN = /^[A-Za-z0-9_./:,@%+=-]+$/;
var EXPANDED_AT_THE_START = /^[=%]/;
function splitPlainWords(line) {
  const [program, ...rest] = line.split(" ").filter((word) => word !== "");
  if (program === void 0 || program.includes("=")) return void 0;
  return [program, ...rest].every(isPlainWord) ? [program, ...rest] : void 0;
}
function isPlainWord(word) {
  return PLAIN.test(word) && !EXPANDED_AT_THE_START.test(word);
}

// src/node/policy/word-pattern.ts
var ANY_WORDS = "**";
function patternFault(pattern) {
  const [program = "", ...rest] = wordsOf(pattern);
  if (program === "") return "is empty";
  if (program.includes("*")) return "names no program: its first word has a *";
  if (program.includes("=")) return "begins with the assignment of a variable";
  if (program.includes("/") && !program.startsWith("/")) {
    return "has a program that depends on the folder: give its absolute path, or its name alone";
  }
  const early = rest.slice(0, -1).includes(ANY_WORDS);
  if (early) return "has ** before its last word";
  const odd = [program, ...rest].find((word) => word !== ANY_WORDS && !isPlainWord(word.replaceAll("*", "x")));
  if (odd !== void 0) {
    return `has a word with characters that a shell may read: ${odd}; to allow one command line as it is written, use exact`;
  }
  return void 0;
}
function matchesPattern(pattern, words) {
  const wanted = wordsOf(pattern);
  const isOpen = wanted.at(-1) === ANY_WORDS;
  if (isOpen) wanted.pop();
  if (isOpen ? words.length < wanted.length : words.length !== wanted.length) return false;
  return wanted.every((want, index) => matchesWord(want, words[index] ?? ""));
}
function matchesWord(pattern, word) {
  if (!pattern.includes("*")) return pattern === word;
  if (pattern.startsWith("*") && word.startsWith("-")) return false;
  const wanted = pattern.split("/");
  const parts = word.split("/");
  return parts.length === wanted.length && wanted.every((want, index) => matchesPart(want, parts[index] ?? ""));
}
function matchesPart(pattern, part) {
  if (!pattern.includes("*")) return pattern === part;
  return !part.includes("..") && matchesGlob(pattern, part);
}
function wordsOf(pattern) {
  return pattern.split(" ").filter((word) => word !== "");
}

// src/node/policy/policy-config.ts
var POLICY_KINDS = ["shell", "agent"];
var wordPattern = z6.string().superRefine((text, context) => {
  const fault = patternFault(text);
  if (fault !== void 0)
    context.addIssue({ code: "custom", message: `the pattern ${JSON.stringify(text)} ${fault}` });
});
var commandsSchema = z6.strictObject({
  /** Patterns over plain words; everything that needs a shell's language is refused then. */
  allow: z6.array(wordPattern).optional(),
  /** Command lines that are allowed byte for byte, whatever is in them. */
  exact: z6.array(commandSchema).optional(),
  /** Texts in which `*` stands for anything. Against mistakes, not against an enemy. */
  deny: z6.array(z6.string().min(1)).optional()
}).refine(
  (commands) => Object.values(commands).some((rule) => rule !== void 0),
  "says neither allow, exact nor deny"
);
var policyConfigSchema = z6.strictObject({
  kinds: z6.array(z6.enum(POLICY_KINDS)).optional(),
  commands: commandsSchema.optional(),
  users: z6.array(z6.string().min(1)).optional(),
  env: z6.array(z6.string().regex(/^[A-Za-z_*][A-Za-z0-9_*]*$/, "neither the name of a variable nor a pattern of one")).optional(),
  folders: z6.array(z6.string().startsWith("/", "not an absolute path")).optional(),
  maxConcurrency: z6.number().int().positive().optional()
});

// src/node/config.ts
var DEFAULT_SPOOL_BYTES = 1024 * 1024 * 1024;
var nodeConfigSchema = z7.strictObject({
  gateway: addressSchema(DEFAULT_GATEWAY_PORT).optional(),
  name: nodeNameSchema.optional(),
  labels: labelsSchema.default({}),
  logLevel: z7.enum(["debug", "info", "warn", "error"]).default("info"),
  shell: z7.string().startsWith("/", "not an absolute path").optional(),
  killGrace: durationSchema.default(DEFAULT_KILL_GRACE_MS),
  agents: agentsConfigSchema.default({}),
  policy: policyConfigSchema.optional(),
  maxSpoolBytes: z7.number().int().positive().default(DEFAULT_SPOOL_BYTES),
  maxOutputBytes: z7.number().int().min(LEAST_MAX_OUTPUT_BYTES).default(DEFAULT_MAX_OUTPUT_BYTES),
  retention: intervalSchema.default(DEFAULT_RETENTION_MS),
  keepaliveInterval: intervalSchema.default(SSH_LIMITS.keepaliveIntervalMs),
  keepaliveCountMax: z7.number().int().min(1).max(10).default(SSH_LIMITS.keepaliveCountMax)
});
function resolveNodeConfig(section, flags, file2) {
  return parseConfigSection(nodeConfigSchema, "node", section, flags, file2);
}

// src/node/node.ts
import os4 from "node:os";

// src/protocol/heartbeat.ts
import { z as z8 } from "zod";
var MAX_HEARTBEAT_DISKS = 64;
var MAX_HEARTBEAT_FAULTS = 16;
var MAX_FAULT_LENGTH = 200;
var MAX_MOUNT_LENGTH = 256;
var percent = z8.number().min(0).max(100);
var amount = z8.number().nonnegative();
var percentOrNull = percent.nullable().catch(null);
var amountOrNull = amount.nullable().catch(null);
var diskSchema = z8.object({
  /** Mount point, or the drive on Windows. */
  mount: z8.string().min(1).max(MAX_MOUNT_LENGTH),
  fsType: z8.string().max(32),
  sizeBytes: amount,
  usedBytes: amount,
  /** As df counts it: used of what unprivileged users can ever use, so 100 means that writes fail. */
  usedPct: percent
});
var batterySchema = z8.object({ percent, charging: z8.boolean() });
var networkSchema = z8.object({ rxBytesPerS: amountOrNull, txBytesPerS: amountOrNull });
var agentSchema = z8.object({
  version: z8.string().min(1).max(64),
  rssBytes: amountOrNull,
  /** 99th percentile of how late the event loop was since the heartbeat before. */
  eventLoopLagMs: amountOrNull,
  uptimeS: amountOrNull
});
var heartbeatSchema = z8.object({
  /** When the figures were read, ms since the epoch on the node's clock, which may be wrong. */
  at: z8.number().nonnegative(),
  /** When the machine started, on the same clock. */
  bootedAt: amountOrNull,
  uptimeS: amountOrNull,
  /** All cores together, since the heartbeat before; null in a node's first. */
  cpuPct: percentOrNull,
  /** Runnable processes, averaged; null where the system has no such figure (Windows). */
  load1: amountOrNull,
  load5: amountOrNull,
  load15: amountOrNull,
  cores: z8.number().int().positive().nullable().catch(null),
  memTotalBytes: amountOrNull,
  /** Without what the kernel would give back at once (caches, buffers). */
  memUsedBytes: amountOrNull,
  swapTotalBytes: amountOrNull,
  swapUsedBytes: amountOrNull,
  disks: z8.array(diskSchema).max(MAX_HEARTBEAT_DISKS).nullable().catch(null),
  network: networkSchema.nullable().catch(null),
  /** Of the CPU. */
  temperatureC: z8.number().min(-100).max(250).nullable().catch(null),
  battery: batterySchema.nullable().catch(null),
  agent: agentSchema,
  runsActive: z8.number().int().nonnegative(),
  /** Round trip to the gateway through the tunnel, as the node measured it. */
  rttMs: amountOrNull,
  /** What the agent itself finds wrong (spool not writable, …). Not empty means status `error`. */
  faults: z8.array(z8.string().min(1).max(MAX_FAULT_LENGTH)).max(MAX_HEARTBEAT_FAULTS),
  /** Whether the node takes new runs. */
  accepting: z8.boolean(),
  /** Whether a policy of the node's own restricts what it does. */
  policy: z8.boolean().optional()
});
function boundFaults(faults) {
  return faults.filter((fault) => fault !== "").slice(0, MAX_HEARTBEAT_FAULTS).map((fault) => fault.slice(0, MAX_FAULT_LENGTH).toWellFormed());
}

// src/protocol/version.ts
var FLEET_VERSION = "0.1.0";
var PROTOCOL_VERSION = 1;

// src/shared/http/stream-server.ts
var FIRST_REQUEST_DEADLINE_MS = 1e4;
var MAX_HEADER_BYTES = 16 * 1024;
var SERVER_OPTIONS = {
  keepAliveTimeout: 0,
  requestTimeout: 0,
  headersTimeout: FIRST_REQUEST_DEADLINE_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
  noDelay: true
};
var StreamAcceptor = class {
  #server;
  #waiting = /* @__PURE__ */ new Map();
  constructor(server) {
    this.#server = server;
    server.on("request", (request) => this.#forget(request.socket));
  }
  /** Serves `stream`; it is destroyed when its first request does not arrive within {@link FIRST_REQUEST_DEADLINE_MS}. */
  accept(stream) {
    const timer = setTimeout(() => stream.destroy(), FIRST_REQUEST_DEADLINE_MS);
    timer.unref();
    this.#waiting.set(stream, timer);
    stream.once("close", () => this.#forget(stream));
    this.#server.emit("connection", stream);
  }
  #forget(stream) {
    clearTimeout(this.#waiting.get(stream));
    this.#waiting.delete(stream);
  }
};

// src/shared/ssh/ssh-key.ts
import { createHash as createHash2, createPrivateKey, createPublicKey } from "node:crypto";

// src/shared/ssh/ssh-wire.ts
function sshUint32(value) {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
function sshString(value) {
  const bytes = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  return Buffer.concat([sshUint32(bytes.length), bytes]);
}
var SshReader = class {
  #buffer;
  #offset = 0;
  constructor(buffer) {
    this.#buffer = buffer;
  }
  get remaining() {
    return this.#buffer.length - this.#offset;
  }
  bytes(length) {
    if (this.remaining < length) return void 0;
    const start = this.#offset;
    this.#offset += length;
    return this.#buffer.subarray(start, this.#offset);
  }
  uint32() {
    return this.bytes(4)?.readUInt32BE();
  }
  string() {
    if (this.remaining < 4) return void 0;
    const length = this.#buffer.readUInt32BE(this.#offset);
    if (this.remaining < 4 + length) return void 0;
    this.#offset += 4;
    return this.bytes(length);
  }
};

// src/shared/ssh/ssh-key.ts
var KEY_TYPE = "ssh-ed25519";
var MAGIC = Buffer.from("openssh-key-v1\0", "latin1");
var PEM_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----";
var PEM_END = "-----END OPENSSH PRIVATE KEY-----";
var PEM_LINE_LENGTH = 70;
var BLOCK_BYTES = 8;
var RAW_KEY_BYTES = 32;
var PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
function encodeOpenSshPrivateKey({ seed, publicKey, comment }) {
  const blob = sshPublicKeyBlob(publicKey);
  const check = createHash2("sha256").update(seed).digest().subarray(0, 4);
  const secret = Buffer.concat([
    check,
    check,
    sshString(KEY_TYPE),
    sshString(publicKey),
    sshString(Buffer.concat([seed, publicKey])),
    sshString(comment)
  ]);
  const paddingBytes = (BLOCK_BYTES - secret.length % BLOCK_BYTES) % BLOCK_BYTES;
  const padding = Buffer.from(Array.from({ length: paddingBytes }, (_, index) => index + 1));
  const body = Buffer.concat([
    MAGIC,
    sshString("none"),
    sshString("none"),
    sshString(""),
    sshUint32(1),
    sshString(blob),
    sshString(Buffer.concat([secret, padding]))
  ]).toString("base64");
  const lines = body.match(new RegExp(`.{1,${PEM_LINE_LENGTH}}`, "g")) ?? [];
  return `${[PEM_BEGIN, ...lines, PEM_END].join("\n")}
`;
}
function parseOpenSshPrivateKey(text) {
  const reader = new SshReader(decodeArmour(text));
  if (!reader.bytes(MAGIC.length)?.equals(MAGIC)) throw notAKey();
  const cipher = reader.string()?.toString("latin1");
  const kdf = reader.string()?.toString("latin1");
  const kdfOptions = reader.string();
  const keyCount = reader.uint32();
  const blob = reader.string();
  const secret = reader.string();
  if (cipher === void 0 || kdf === void 0 || kdfOptions === void 0) throw notAKey();
  if (cipher !== "none" || kdf !== "none") {
    throw new FleetError("config_invalid", "the private key is encrypted with a passphrase", {
      hint: 'Remove the passphrase with: ssh-keygen -p -N "" -f FILE'
    });
  }
  if (keyCount !== 1 || blob === void 0 || secret === void 0 || reader.remaining !== 0) throw notAKey();
  const type = new SshReader(blob).string()?.toString("latin1");
  if (type !== KEY_TYPE) {
    throw new FleetError("config_invalid", `the private key is of type ${printable(type)}, not ${KEY_TYPE}`, {
      hint: 'Make one with: ssh-keygen -t ed25519 -N "" -f FILE'
    });
  }
  return parseSecretSection(secret, blob);
}
function sshPublicKeyBlob(publicKey) {
  if (publicKey.length !== RAW_KEY_BYTES) throw new RangeError(`an Ed25519 key of ${publicKey.length} bytes`);
  return Buffer.concat([sshString(KEY_TYPE), sshString(publicKey)]);
}
function formatFingerprint(blob) {
  return `SHA256:${createHash2("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}
function decodeArmour(text) {
  const lines = text.trim().split(/\r?\n/);
  const body = lines.slice(1, -1).join("");
  const armoured = lines[0] === PEM_BEGIN && lines.at(-1) === PEM_END && /^[A-Za-z0-9+/]+={0,2}$/.test(body);
  if (!armoured) throw notAKey();
  return Buffer.from(body, "base64");
}
function parseSecretSection(secret, blob) {
  const reader = new SshReader(secret);
  const checks = [reader.uint32(), reader.uint32()];
  const type = reader.string()?.toString("latin1");
  const publicKey = reader.string();
  const pair2 = reader.string();
  const comment = reader.string();
  if (publicKey === void 0 || pair2 === void 0 || comment === void 0) throw notAKey();
  const padding = reader.bytes(reader.remaining) ?? Buffer.alloc(0);
  const seed = pair2.subarray(0, RAW_KEY_BYTES);
  const consistent = checks[0] === checks[1] && type === KEY_TYPE && publicKey.length === RAW_KEY_BYTES && pair2.length === 2 * RAW_KEY_BYTES && pair2.subarray(RAW_KEY_BYTES).equals(publicKey) && sshPublicKeyBlob(publicKey).equals(blob) && padding.length < BLOCK_BYTES && padding.every((byte, index) => byte === index + 1) && derivePublicKey(seed).equals(publicKey);
  if (!consistent) throw notAKey();
  return { seed: Uint8Array.from(seed), publicKey: Uint8Array.from(publicKey), comment: comment.toString("utf8") };
}
function derivePublicKey(seed) {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: "der", type: "pkcs8" });
  const { x = "" } = createPublicKey(key).export({ format: "jwk" });
  return Buffer.from(x, "base64url");
}
function notAKey() {
  return new FleetError("config_invalid", "that is not a private key in OpenSSH format", {
    hint: 'Make one with: ssh-keygen -t ed25519 -N "" -f FILE'
  });
}
function printable(type) {
  return type !== void 0 && /^[\w@.+-]{1,64}$/.test(type) ? type : "unknown";
}

// src/node/api/control-api.ts
import { chmodSync, rmSync as rmSync2 } from "node:fs";
import http from "node:http";

// src/shared/http/http-status.ts
var STATUS = {
  usage: 400,
  bad_request: 400,
  bad_selector: 400,
  config_invalid: 400,
  protocol_unsupported: 426,
  token_invalid: 401,
  forbidden: 403,
  policy_denied: 403,
  key_revoked: 403,
  not_paired: 403,
  pairing_rejected: 403,
  invite_invalid: 403,
  not_found: 404,
  ambiguous: 409,
  no_such_agent: 404,
  conflict: 409,
  name_taken: 409,
  too_large: 413,
  busy: 429,
  storage_failed: 507,
  node_offline: 503,
  connection_lost: 503,
  channel_open_failed: 503,
  not_running: 503,
  timeout: 504
};
function httpStatusOf(code) {
  return STATUS[code] ?? 500;
}

// src/node/api/control-api.ts
async function openControlApi(options) {
  const server = http.createServer(SERVER_OPTIONS, (request, response) => {
    const answer = (status, body) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    switch (`${request.method} ${request.url}`) {
      case "GET /v1/status":
        return answer(200, options.status());
      case "POST /v1/reconnect":
        options.reconnect();
        return answer(202, {});
      case "POST /v1/rotate-key":
        return void options.rotateKey().then(
          (view) => answer(200, view),
          (error) => {
            const failure = toFleetError(error);
            answer(httpStatusOf(failure.code), { error: failure });
          }
        );
      case "POST /v1/shutdown": {
        const body = { pid: process.pid };
        response.once("close", () => options.shutdown());
        return answer(202, body);
      }
      default:
        return answer(404, { error: new FleetError("not_found", "no such route") });
    }
  });
  rmSync2(options.socket, { force: true });
  await new Promise((resolve2, reject) => {
    server.once("error", (error) => {
      reject(
        new FleetError("config_invalid", `cannot listen on ${options.socket}: ${systemErrorCode(error)}`, {
          cause: error
        })
      );
    });
    server.listen(options.socket, resolve2);
  });
  chmodSync(options.socket, 384);
  return {
    close: () => new Promise((resolve2) => {
      server.close(() => resolve2());
      server.closeAllConnections();
    })
  };
}

// src/node/api/node-api.ts
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

// src/protocol/ticket.ts
import { createHash as createHash3 } from "node:crypto";
var TICKET_TYPE = "fleet-ticket+jwt";
var TICKET_ALGORITHM = "EdDSA";
var TICKET_HEADER = "fleet-ticket";
function bodyDigest(body) {
  return createHash3("sha256").update(body).digest("base64url");
}

// src/shared/http/fastify-app.ts
import http2 from "node:http";
import fastify from "fastify";
function createApp(logger, maxBodyBytes) {
  const app = fastify({
    bodyLimit: maxBodyBytes,
    // Streams of events stay open; closing must not wait for them.
    forceCloseConnections: true,
    serverFactory: (handler) => http2.createServer(SERVER_OPTIONS, handler),
    // A path that cannot be decoded never reaches a route, hence not the error handler either.
    frameworkErrors: (_error, _request, reply) => {
      const failure = new FleetError("bad_request", "the path cannot be read");
      reply.code(httpStatusOf(failure.code)).send({ error: failure });
    }
  });
  app.addContentTypeParser("application/octet-stream", (_request, payload, done) => done(null, payload));
  app.setNotFoundHandler((request) => {
    throw new FleetError("not_found", `no such route: ${request.method} ${request.url.split("?")[0]}`);
  });
  app.setErrorHandler((error, request, reply) => {
    const failure = toApiError(error);
    if (failure.code === "internal") logger.error({ err: error, route: request.routeOptions.url }, "request failed");
    return reply.code(httpStatusOf(failure.code)).send({ error: failure });
  });
  return app;
}
function parseInput(schema, value, what = "the request") {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`);
  throw new FleetError("bad_request", `${what} is wrong: ${faults.join("; ")}`);
}
function queryText(request, name) {
  const value = request.query[name];
  return typeof value === "string" ? value : void 0;
}
function queryInteger(request, name) {
  const text = queryText(request, name);
  if (text === void 0) return void 0;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new FleetError("bad_request", `${name} is not a whole number: ${text}`);
  return value;
}
function toApiError(error) {
  if (error instanceof FleetError) return error;
  const code = systemErrorCode(error);
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") return new FleetError("too_large", "the body is too large");
  if (code?.startsWith("FST_ERR_CTP") || error instanceof SyntaxError) {
    return new FleetError("bad_request", "the body cannot be read as JSON");
  }
  return toFleetError(error);
}

// src/shared/http/send-stream.ts
import { once } from "node:events";
async function sendStream(reply, options) {
  const gone = new AbortController();
  const body = options.open(gone.signal);
  reply.hijack();
  const { raw } = reply;
  raw.once("close", () => gone.abort());
  raw.on("error", () => gone.abort());
  raw.writeHead(200, { "content-type": options.contentType });
  raw.flushHeaders();
  const { ping } = options;
  const timer = ping && setInterval(() => raw.write(ping.text), ping.intervalMs);
  timer?.unref();
  try {
    for await (const chunk of body) {
      if (gone.signal.aborted) return;
      if (!raw.write(chunk)) await drained(raw, gone.signal);
    }
    raw.end();
  } catch (error) {
    if (gone.signal.aborted) return;
    raw.destroy();
    throw error;
  } finally {
    clearInterval(timer);
  }
}
async function drained(stream, gone) {
  try {
    await once(stream, "drain", { signal: gone });
  } catch (error) {
    if (!gone.aborted) throw error;
  }
}

// src/node/api/verify-ticket.ts
import { createPublicKey as createPublicKey2 } from "node:crypto";
import { jwtVerify } from "jose";
var TOLERANCE_S = 30;
async function verifyTicket(check) {
  if (check.ticket === void 0) throw new FleetError("forbidden", "the hand-over carries no ticket");
  const payload = await verifiedPayload(check.ticket, check);
  if (payload.run !== check.run) throw new FleetError("forbidden", "the ticket is for another run");
  if (payload.body !== bodyDigest(check.body)) throw new FleetError("forbidden", "the ticket is for another command");
}
async function verifiedPayload(ticket, check) {
  let failure;
  for (const raw of check.signingKeys) {
    try {
      const { payload } = await jwtVerify(ticket, publicKeyOf(raw), {
        algorithms: [TICKET_ALGORITHM],
        typ: TICKET_TYPE,
        audience: check.nodeId,
        currentDate: new Date(check.now),
        clockTolerance: TOLERANCE_S,
        requiredClaims: ["exp", "iat", "run", "body"]
      });
      return payload;
    } catch (error) {
      failure = error;
    }
  }
  const why = failure instanceof Error ? failure.message : "no signing key is known";
  throw new FleetError("forbidden", `the ticket is not valid: ${why}`, { cause: failure });
}
function publicKeyOf(raw) {
  return createPublicKey2({ key: { kty: "OKP", crv: "Ed25519", x: raw }, format: "jwk" });
}

// src/node/api/node-api.ts
function createNodeApi(options) {
  const { runner, logger } = options;
  const app = createApp(logger, MAX_BODY_BYTES);
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.put("/v1/runs/:run", async (request, reply) => {
    const run = runOf(request);
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const pairing = options.pairing();
    if (pairing === void 0) throw new FleetError("not_paired", "this node is not paired");
    const ticket = request.headers[TICKET_HEADER];
    await verifyTicket({
      ticket: typeof ticket === "string" ? ticket : void 0,
      run,
      nodeId: pairing.id,
      body,
      signingKeys: pairing.signingKeys,
      now: options.gatewayNow()
    });
    const spec = parseInput(runSpecSchema, parseJson(body), "the spec of the run");
    if (spec.run !== run || spec.nodeId !== pairing.id)
      throw new FleetError("forbidden", "the spec is for another run or node");
    if (runner.status(run) === void 0) await options.policy.check(spec);
    if (runner.status(run) === void 0) options.policy.requireFree(runner.active);
    return reply.code(201).send(runner.accept(spec));
  });
  app.get("/v1/runs", () => ({ runs: endedRuns(runner) }));
  app.get("/v1/runs/:run", (request) => {
    const run = runOf(request);
    const status = runner.status(run);
    if (status === void 0) throw new FleetError("not_found", `no run ${run}`);
    return status;
  });
  app.get("/v1/runs/:run/log", async (request, reply) => {
    const run = runOf(request);
    if (runner.status(run) === void 0) throw new FleetError("not_found", `no run ${run}`);
    const from = queryInteger(request, "from") ?? 0;
    try {
      await sendLog(reply, (signal) => runner.readLog(run, from, signal));
    } catch (error) {
      if (!reply.sent) throw error;
      logger.info({ err: error, run }, "the log of a run broke off");
    }
    return reply;
  });
  app.post("/v1/runs/:run/cancel", (request) => runner.cancel(runOf(request)));
  app.post("/v1/runs/:run/acknowledge", (request, reply) => {
    runner.acknowledge(runOf(request));
    return reply.code(204).send();
  });
  app.post("/v1/runs/:run/stdin", async (request, reply) => {
    const { body } = request;
    if (!(body instanceof Readable)) throw new FleetError("bad_request", "stdin is sent as application/octet-stream");
    const sink = runner.stdin(runOf(request));
    try {
      await pipeline(body, sink);
    } catch (error) {
      logger.info({ err: error, run: runOf(request) }, "stdin of a run ended early");
    }
    return reply.code(204).send();
  });
  return app;
}
function sendLog(reply, open4) {
  return sendStream(reply, { contentType: "application/octet-stream", open: open4 });
}
function endedRuns(runner) {
  return runner.list().filter(({ outcome }) => outcome !== null).map(({ run }) => run);
}
function runOf(request) {
  return request.params.run;
}
function parseJson(body) {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw new FleetError("bad_request", "the body cannot be read as JSON", { cause: error });
  }
}

// src/node/gateway-clock.ts
var GatewayClock = class {
  #clock;
  #reference;
  constructor(clock) {
    this.#clock = clock;
  }
  /** The gateway said `gatewayMs` in an answer that took `elapsedMs` to come: half of that ago. */
  set(gatewayMs, elapsedMs) {
    this.#reference = { gatewayMs: gatewayMs + elapsedMs / 2, monotonicMs: this.#clock.monotonic() };
  }
  /** Best guess of the gateway's clock, whole ms; the own clock before the first answer. */
  now() {
    if (this.#reference === void 0) return this.#clock.now();
    return Math.round(this.#reference.gatewayMs + this.#clock.monotonic() - this.#reference.monotonicMs);
  }
  /** Own clock minus the gateway's, ms; null before the first answer. */
  skewMs() {
    return this.#reference === void 0 ? null : this.#clock.now() - this.now();
  }
};

// src/node/machine-facts.ts
import { createHmac as createHmac2 } from "node:crypto";
import { readFileSync as readFileSync3 } from "node:fs";
import os from "node:os";

// src/protocol/agent/agent-capability.ts
var CAPABILITY_PREFIX = "agent:";
function agentCapability(agent) {
  return `${CAPABILITY_PREFIX}${agent}`;
}

// src/node/machine-facts.ts
function readMachineFacts(agents, kinds) {
  return {
    hostname: os.hostname().slice(0, 255),
    os: process.platform,
    osRelease: os.release().slice(0, 255),
    arch: process.arch,
    agentVersion: FLEET_VERSION,
    ...readMachineId(),
    capabilities: kinds.flatMap((kind) => kind === "shell" ? ["shell"] : agents.map(agentCapability))
  };
}
function readMachineId() {
  try {
    const id = readFileSync3("/etc/machine-id", "utf8").trim();
    return id === "" ? {} : { machineId: createHmac2("sha256", id).update("fleet machine id").digest("hex").slice(0, 32) };
  } catch {
    return {};
  }
}
function loginShell() {
  const { shell } = os.userInfo();
  return shell === null || shell === "" || /\/(nologin|false)$/.test(shell) ? "/bin/sh" : shell;
}

// src/node/metrics/metrics.ts
import os3 from "node:os";

// src/node/metrics/event-loop-lag.ts
import { monitorEventLoopDelay } from "node:perf_hooks";
var RESOLUTION_MS = 100;
function startEventLoopLag() {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  return {
    take() {
      if (histogram.count === 0) return null;
      const lagMs = Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MS);
      histogram.reset();
      return lagMs;
    },
    close: () => void histogram.disable()
  };
}

// src/node/metrics/linux-source.ts
import { readFile as readFile4 } from "node:fs/promises";
import path7 from "node:path";

// src/node/metrics/linux-battery.ts
import path4 from "node:path";

// src/node/metrics/sysfs.ts
import { readdir, readFile } from "node:fs/promises";
import path3 from "node:path";
var NO_VALUE = /* @__PURE__ */ new Set(["ENOENT", "ENODEV", "ENODATA", "ENXIO", "EIO", "EINVAL", "EAGAIN"]);
async function listFolder(folder) {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
async function readAttribute(...segments) {
  try {
    return (await readFile(path3.join(...segments), "utf8")).trim();
  } catch (error) {
    if (NO_VALUE.has(systemErrorCode(error) ?? "")) return null;
    throw error;
  }
}

// src/node/metrics/linux-battery.ts
async function readLinuxBattery(sys) {
  const folder = path4.join(sys, "class/power_supply");
  const percents = [];
  let charging = false;
  for (const name of await listFolder(folder)) {
    if (await readAttribute(folder, name, "type") !== "Battery") continue;
    if (await readAttribute(folder, name, "scope") === "Device") continue;
    const capacity = await readAttribute(folder, name, "capacity");
    if (capacity === null || !/^\d+$/.test(capacity)) continue;
    percents.push(Math.min(100, Number(capacity)));
    charging ||= await readAttribute(folder, name, "status") === "Charging";
  }
  if (percents.length === 0) return null;
  return { percent: percents.reduce((sum, percent2) => sum + percent2, 0) / percents.length, charging };
}

// src/node/metrics/linux-disks.ts
import { readFile as readFile2, statfs } from "node:fs/promises";

// src/node/metrics/disk-usage.ts
function diskUsage({ mount, fsType, sizeBytes, usedBytes, availableBytes }) {
  const usableBytes = usedBytes + availableBytes;
  if (!(sizeBytes > 0 && usedBytes >= 0 && availableBytes >= 0 && usableBytes > 0)) return null;
  return {
    mount: mount.slice(0, MAX_MOUNT_LENGTH).toWellFormed(),
    fsType: fsType.slice(0, 32),
    sizeBytes,
    usedBytes,
    usedPct: Math.min(100, usedBytes / usableBytes * 100)
  };
}
function fullestDisks(disks) {
  return [...disks].sort((a, b) => b.usedPct - a.usedPct).slice(0, MAX_HEARTBEAT_DISKS).sort((a, b) => a.mount < b.mount ? -1 : 1);
}

// src/node/metrics/linux-disks.ts
var DISK_TYPES = new Set(
  "ext2 ext3 ext4 xfs btrfs zfs bcachefs f2fs jfs reiserfs nilfs2 vfat exfat ntfs ntfs3 fuseblk hfsplus apfs ubifs jffs2".split(
    " "
  )
);
async function readLinuxDisks(mountinfo) {
  const mounts = diskMounts(await readFile2(mountinfo, "utf8"));
  const disks = await Promise.all(mounts.map(readDisk));
  return fullestDisks(disks.filter((disk) => disk !== null));
}
async function readDisk({ mount, fsType }) {
  try {
    const { bsize, blocks, bfree, bavail } = await statfs(mount);
    return diskUsage({
      mount,
      fsType,
      sizeBytes: blocks * bsize,
      usedBytes: (blocks - bfree) * bsize,
      availableBytes: bavail * bsize
    });
  } catch (error) {
    if (["ENOENT", "EACCES", "EPERM"].includes(systemErrorCode(error) ?? "")) return null;
    throw error;
  }
}
function diskMounts(mountinfo) {
  const lines = mountinfo.split("\n").map(parseMount).filter((line) => line !== null);
  const overlayRoot = lines.find((line) => line.mount === "/" && line.fsType === "overlay");
  const byDevice = /* @__PURE__ */ new Map();
  for (const { root, ...line } of lines) {
    if (!DISK_TYPES.has(line.fsType)) continue;
    if (overlayRoot !== void 0 && root !== "/" && line.fsType !== "btrfs") continue;
    const known = byDevice.get(line.device);
    if (known === void 0 || line.mount.length < known.mount.length) byDevice.set(line.device, line);
  }
  const mounts = [...byDevice.values()];
  if (overlayRoot !== void 0) mounts.push({ device: overlayRoot.device, mount: "/", fsType: "overlay" });
  return mounts;
}
function parseMount(line) {
  const [before, after] = line.split(" - ");
  const [, , device, root, mount] = before?.split(" ") ?? [];
  const fsType = after?.split(" ")[0];
  if (device === void 0 || root === void 0 || mount === void 0 || fsType === void 0) return null;
  return { device, root: unescapeOctal(root), mount: unescapeOctal(mount), fsType };
}
function unescapeOctal(text) {
  return text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
}

// src/node/metrics/linux-network.ts
import { readFile as readFile3, readlink } from "node:fs/promises";
import path5 from "node:path";
async function readLinuxNetwork(roots) {
  const all = parseNetDev(await readFile3(path5.join(roots.proc, "net/dev"), "utf8"));
  all.delete("lo");
  const physical = await physicalInterfaces(path5.join(roots.sys, "class/net"));
  const counted = new Map([...all].filter(([name]) => physical.has(name)));
  return counted.size > 0 ? counted : all;
}
function parseNetDev(text) {
  const counters = /* @__PURE__ */ new Map();
  for (const line of text.split("\n").slice(2)) {
    const colon = line.lastIndexOf(":");
    if (colon === -1) continue;
    const fields = line.slice(colon + 1).trim().split(/\s+/).map(Number);
    const [rxBytes, txBytes] = [fields[0], fields[8]];
    if (rxBytes === void 0 || txBytes === void 0 || Number.isNaN(rxBytes + txBytes)) continue;
    counters.set(line.slice(0, colon).trim(), { rxBytes, txBytes });
  }
  return counters;
}
async function physicalInterfaces(folder) {
  const physical = /* @__PURE__ */ new Set();
  for (const name of await listFolder(folder)) {
    if (!(await linkTarget(path5.join(folder, name))).includes("/virtual/")) physical.add(name);
  }
  return physical;
}
async function linkTarget(file2) {
  try {
    return await readlink(file2);
  } catch (error) {
    if (["ENOENT", "EINVAL"].includes(systemErrorCode(error) ?? "")) return "";
    throw error;
  }
}

// src/node/metrics/linux-temperature.ts
import path6 from "node:path";
var CPU_CHIPS = /^(coretemp|k8temp|k10temp|zenpower|via_cputemp|cpu.*thermal|soc.*thermal|cpu_?temp)/;
var CPU_ZONES = /x86_pkg_temp|cpu|soc|package/i;
async function readLinuxTemperatureC(sys) {
  return await hottestChipC(path6.join(sys, "class/hwmon")) ?? await zoneC(path6.join(sys, "class/thermal"));
}
async function hottestChipC(folder) {
  const temperatures = [];
  for (const chip of await listFolder(folder)) {
    if (!CPU_CHIPS.test(await readAttribute(folder, chip, "name") ?? "")) continue;
    for (const file2 of await listFolder(path6.join(folder, chip))) {
      if (!/^temp\d+_input$/.test(file2)) continue;
      const value = celsius(await readAttribute(folder, chip, file2));
      if (value !== null) temperatures.push(value);
    }
  }
  return temperatures.length === 0 ? null : Math.max(...temperatures);
}
async function zoneC(folder) {
  const zones = (await listFolder(folder)).filter((name) => name.startsWith("thermal_zone"));
  const types = await Promise.all(zones.map((zone2) => readAttribute(folder, zone2, "type")));
  const cpuZone = types.findIndex((type) => CPU_ZONES.test(type ?? ""));
  const zone = zones[cpuZone === -1 ? 0 : cpuZone];
  return zone === void 0 ? null : celsius(await readAttribute(folder, zone, "temp"));
}
function celsius(millidegrees) {
  if (millidegrees === null || !/^-?\d+$/.test(millidegrees)) return null;
  const value = Number(millidegrees) / 1e3;
  return value > -60 && value < 150 ? value : null;
}

// src/node/metrics/systeminformation-source.ts
import os2 from "node:os";
var NOT_A_DISK = /^(tmpfs|devtmpfs|devfs|ramfs|overlay|overlayfs|squashfs|iso9660|udf|cd9660|proc|procfs|sysfs|linprocfs|fdescfs|nullfs|autofs|nfs\d?|cifs|smbfs|smb3|afpfs|webdav|9p|fuse\..*)$/i;
function createSysteminformationSource() {
  const load = () => import("systeminformation");
  return {
    readCpuTimes: async () => cpuTimes(os2.cpus()),
    readMemory: async () => memoryUsage(await (await load()).mem()),
    readNetwork: async () => {
      const names = externalInterfaces();
      return names.length === 0 ? /* @__PURE__ */ new Map() : networkCounters(await (await load()).networkStats(names.join(",")));
    },
    readDisks: async () => {
      const sizes = await (await load()).fsSize();
      return fullestDisks(uniqueDisks(sizes));
    },
    readTemperatureC: async () => {
      const { main } = await (await load()).cpuTemperature();
      return typeof main === "number" && main > 0 && main < 150 ? main : null;
    },
    readBattery: async () => {
      const { hasBattery, percent: percent2, isCharging } = await (await load()).battery();
      return hasBattery && percent2 >= 0 && percent2 <= 100 ? { percent: percent2, charging: isCharging } : null;
    }
  };
}
function cpuTimes(cpus) {
  let busy = 0;
  let idle = 0;
  for (const { times } of cpus) {
    busy += times.user + times.nice + times.sys + times.irq;
    idle += times.idle;
  }
  if (busy + idle === 0) throw new RangeError("no cpu times");
  return { busy, total: busy + idle };
}
function memoryUsage({ total: total2, available, swaptotal, swapused }) {
  if (!(total2 > 0) || !(available > 0)) throw new RangeError("no memory figures");
  const swapKnown = Number.isFinite(swaptotal) && Number.isFinite(swapused);
  return {
    memTotalBytes: total2,
    memUsedBytes: Math.max(0, total2 - available),
    swapTotalBytes: swapKnown ? swaptotal : null,
    swapUsedBytes: swapKnown ? swapused : null
  };
}
var VIRTUAL_INTERFACE = /^(veth|docker|br-|bridge|virbr|utun|tun|tap|gif|stf|awdl|llw|vEthernet)/;
function externalInterfaces() {
  return Object.entries(os2.networkInterfaces()).filter(([name, addresses]) => !VIRTUAL_INTERFACE.test(name) && !addresses?.every(({ internal }) => internal)).map(([name]) => name);
}
function networkCounters(interfaces) {
  return new Map(
    interfaces.filter(({ rx_bytes, tx_bytes }) => rx_bytes > 0 || tx_bytes > 0).map(({ iface, rx_bytes, tx_bytes }) => [iface, { rxBytes: rx_bytes, txBytes: tx_bytes }])
  );
}
function uniqueDisks(sizes) {
  const byFilesystem = /* @__PURE__ */ new Map();
  for (const size of sizes) {
    if (NOT_A_DISK.test(size.type)) continue;
    const known = byFilesystem.get(size.fs);
    if (known === void 0 || size.mount.length < known.mount.length) byFilesystem.set(size.fs, size);
  }
  return [...byFilesystem.values()].map(
    ({ mount, type, size, used, available }) => diskUsage({ mount, fsType: type, sizeBytes: size, usedBytes: used, availableBytes: available })
  ).filter((disk) => disk !== null);
}

// src/node/metrics/linux-source.ts
function createLinuxSource(roots = { proc: "/proc", sys: "/sys" }) {
  const systeminformation = createSysteminformationSource();
  return {
    readCpuTimes: async () => parseCpuTimes(await readFile4(path7.join(roots.proc, "stat"), "utf8")),
    readMemory: () => systeminformation.readMemory(),
    readNetwork: () => readLinuxNetwork(roots),
    readDisks: () => readLinuxDisks(path7.join(roots.proc, "self/mountinfo")),
    readTemperatureC: () => readLinuxTemperatureC(roots.sys),
    readBattery: () => readLinuxBattery(roots.sys)
  };
}
function parseCpuTimes(stat3) {
  const fields = /^cpu +(.+)$/m.exec(stat3)?.[1]?.trim().split(/ +/).slice(0, 8).map(Number);
  if (fields === void 0 || fields.length < 4 || fields.some(Number.isNaN)) throw new RangeError("no cpu line");
  const total2 = fields.reduce((sum, ticks) => sum + ticks, 0);
  const [, , , idle = 0, iowait = 0] = fields;
  return { busy: total2 - idle - iowait, total: total2 };
}

// src/node/metrics/probe.ts
var Probe = class {
  #options;
  #value = null;
  /** Monotonic ms at which the last read ended, well or not. */
  #readAt;
  #pending;
  #overdue = false;
  constructor(options) {
    this.#options = options;
  }
  /** The figure, or null when it cannot be had within `deadlineMs`. A late answer serves the next call. Never rejects. */
  async get(deadlineMs) {
    const { maxAgeMs, clock } = this.#options;
    if (this.#readAt !== void 0 && clock.monotonic() - this.#readAt < maxAgeMs) return this.#value;
    if (this.#pending === void 0) {
      this.#overdue = false;
      this.#pending = this.#read();
    } else if (this.#overdue) {
      return null;
    }
    return await this.#settledWithin(this.#pending, deadlineMs) ? this.#value : null;
  }
  async #read() {
    const { name, read, clock, logger } = this.#options;
    try {
      this.#value = await read();
    } catch (error) {
      this.#value = null;
      logger.debug({ metric: name, err: error }, "metric not available");
    }
    this.#readAt = clock.monotonic();
    this.#pending = void 0;
  }
  #settledWithin(pending, deadlineMs) {
    const { name, clock, logger } = this.#options;
    return new Promise((resolve2) => {
      const timer = clock.after(
        deadlineMs,
        () => {
          this.#overdue = true;
          logger.debug({ metric: name, deadlineMs }, "metric is late");
          resolve2(false);
        },
        { unref: true }
      );
      void pending.then(() => {
        timer.cancel();
        resolve2(true);
      });
    });
  }
};

// src/node/metrics/rates.ts
function cpuPctBetween(before, after) {
  const total2 = after.total - before.total;
  const busy = after.busy - before.busy;
  return total2 > 0 && busy >= 0 ? Math.min(100, busy / total2 * 100) : null;
}
function networkRatesBetween(before, after, elapsedMs) {
  let rxBytes = 0;
  let txBytes = 0;
  let interfaces = 0;
  for (const [name, now] of after) {
    const then = before.get(name);
    if (then === void 0 || now.rxBytes < then.rxBytes || now.txBytes < then.txBytes) continue;
    rxBytes += now.rxBytes - then.rxBytes;
    txBytes += now.txBytes - then.txBytes;
    interfaces += 1;
  }
  if (interfaces === 0 || !(elapsedMs > 0)) return null;
  return { rxBytesPerS: rxBytes / elapsedMs * 1e3, txBytesPerS: txBytes / elapsedMs * 1e3 };
}
var MIN_SPAN_MS = 100;
var DifferenceOf = class {
  #between;
  #last;
  #rate = null;
  constructor(between) {
    this.#between = between;
  }
  /** The rate since the reading before; null at first, and after a reading that failed (null). `at` is monotonic ms. */
  next(reading, at) {
    if (reading === null) {
      this.#last = void 0;
      return null;
    }
    if (this.#last !== void 0 && at - this.#last.at < MIN_SPAN_MS) return this.#rate;
    this.#rate = this.#last === void 0 ? null : this.#between(this.#last.reading, reading, at - this.#last.at);
    this.#last = { reading, at };
    return this.#rate;
  }
};

// src/node/metrics/metrics.ts
var FIRST_DEADLINE_MS = 250;
var DEADLINE_MS = 2e3;
var DISKS_MAX_AGE_MS = 6e4;
var BATTERY_MAX_AGE_MS = 6e4;
var TEMPERATURE_MAX_AGE_MS = 6e4;
function defaultMetricsSource(platform = process.platform) {
  return platform === "linux" ? createLinuxSource() : createSysteminformationSource();
}
function createMetrics({ clock, logger, source = defaultMetricsSource() }) {
  const probe = (name, read, maxAgeMs) => new Probe({ name, read, maxAgeMs, clock, logger });
  const cpuTimes2 = probe("cpu", () => source.readCpuTimes(), 0);
  const memory = probe("memory", () => source.readMemory(), 0);
  const network = probe("network", () => source.readNetwork(), 0);
  const disks = probe("disks", () => source.readDisks(), DISKS_MAX_AGE_MS);
  const temperature = probe("temperature", () => source.readTemperatureC(), TEMPERATURE_MAX_AGE_MS);
  const battery = probe("battery", () => source.readBattery(), BATTERY_MAX_AGE_MS);
  const cpuPct = new DifferenceOf(cpuPctBetween);
  const networkRates = new DifferenceOf(networkRatesBetween);
  let lag;
  let closed = false;
  let sampled = false;
  const readCpuPct = async (deadlineMs) => cpuPct.next(await cpuTimes2.get(deadlineMs), clock.monotonic());
  const readNetworkRates = async (deadlineMs) => networkRates.next(await network.get(deadlineMs), clock.monotonic());
  const watchEventLoop = () => {
    if (!closed) lag ??= startEventLoopLag();
  };
  return {
    async start() {
      watchEventLoop();
      await Promise.all([readCpuPct(FIRST_DEADLINE_MS), readNetworkRates(FIRST_DEADLINE_MS)]);
    },
    async sample() {
      watchEventLoop();
      const deadlineMs = sampled ? DEADLINE_MS : FIRST_DEADLINE_MS;
      sampled = true;
      const [cpu, mem, rates, diskUsages, temperatureC, charge] = await Promise.all([
        readCpuPct(deadlineMs),
        memory.get(deadlineMs),
        readNetworkRates(deadlineMs),
        disks.get(deadlineMs),
        temperature.get(deadlineMs),
        battery.get(deadlineMs)
      ]);
      const at = clock.now();
      const uptimeS = os3.uptime();
      return {
        at,
        bootedAt: Math.max(0, Math.round(at - uptimeS * 1e3)),
        uptimeS,
        cpuPct: cpu,
        ...loadAverages(),
        cores: os3.availableParallelism(),
        memTotalBytes: mem?.memTotalBytes ?? null,
        memUsedBytes: mem?.memUsedBytes ?? null,
        swapTotalBytes: mem?.swapTotalBytes ?? null,
        swapUsedBytes: mem?.swapUsedBytes ?? null,
        disks: diskUsages,
        network: rates,
        temperatureC,
        battery: charge,
        agent: {
          version: FLEET_VERSION,
          rssBytes: process.memoryUsage.rss(),
          eventLoopLagMs: lag?.take() ?? null,
          uptimeS: process.uptime()
        }
      };
    },
    close() {
      closed = true;
      lag?.close();
    }
  };
}
function loadAverages() {
  if (process.platform === "win32") return { load1: null, load5: null, load15: null };
  const [load1 = null, load5 = null, load15 = null] = os3.loadavg();
  return { load1, load5, load15 };
}

// src/node/node-keys.ts
import { renameSync as renameSync3, rmSync as rmSync3 } from "node:fs";
import path8 from "node:path";

// src/node/identity.ts
import nacl from "tweetnacl";
function loadOrCreateIdentity(file2, comment) {
  const present = readPrivateFile(file2);
  if (present !== void 0) return toIdentity(present);
  const pair2 = nacl.sign.keyPair();
  const text = encodeOpenSshPrivateKey({ seed: pair2.secretKey.subarray(0, 32), publicKey: pair2.publicKey, comment });
  writePrivateFile(file2, text);
  return toIdentity(text);
}
function toIdentity(text) {
  const { seed } = parseOpenSshPrivateKey(text);
  const pair2 = nacl.sign.keyPair.fromSeed(Uint8Array.from(seed));
  return {
    privateKey: text,
    publicKey: pair2.publicKey,
    sign: (message) => nacl.sign.detached(message, pair2.secretKey)
  };
}

// src/node/node-keys.ts
var NodeKeys = class {
  #options;
  #current;
  #next;
  /** Reads the files at once, and makes a key if there is none. @throws FleetError `home_insecure`, `config_invalid`, `storage_failed`. */
  constructor(options) {
    this.#options = options;
    const { file: file2, nextFile, comment } = options;
    this.#current = loadOrCreateIdentity(file2, comment);
    this.#next = readPrivateFile(nextFile) === void 0 ? void 0 : loadOrCreateIdentity(nextFile, comment);
  }
  get current() {
    return this.#current;
  }
  /** Made, and perhaps known to the gateway already. */
  get next() {
    return this.#next;
  }
  /** Makes the next key, if there is none; it is on the disk when this returns. */
  prepare() {
    this.#next ??= loadOrCreateIdentity(this.#options.nextFile, this.#options.comment);
    return this.#next;
  }
  /** The gateway knows the next key and no other: it is the node's from now on. */
  promote() {
    if (this.#next === void 0) return;
    const { file: file2, nextFile } = this.#options;
    renameSync3(nextFile, file2);
    syncFolder(path8.dirname(file2));
    this.#current = this.#next;
    this.#next = void 0;
  }
  /** The gateway has refused the next key, over a connection of the present one. */
  discard() {
    rmSync3(this.#options.nextFile, { force: true });
    this.#next = void 0;
  }
};

// src/node/node-state.ts
import { z as z9 } from "zod";
var nodeStateSchema = z9.object({
  version: z9.literal(1),
  gateway: z9.object({ host: z9.string(), port: z9.number() }),
  /** Pinned SSH host key, wire format, base64. */
  hostKey: z9.string(),
  /** Set once the gateway has let this key in. */
  pairing: z9.object({
    id: z9.string(),
    name: z9.string(),
    token: z9.string(),
    /** On the gateway's clock, ms. */
    tokenIssuedAt: z9.number(),
    tokenExpiresAt: z9.number(),
    /** Raw Ed25519 public keys, base64url. */
    signingKeys: z9.array(z9.string())
  }).optional(),
  /** What the gateway's answer to the last hello said: its next one must present it. */
  epoch: z9.string().optional(),
  /** The comparison code that was shown, while the node waits for approval. */
  pendingCode: z9.string().optional()
});
var NodeStateFile = class {
  #file;
  #state;
  /** Reads the file at once. @throws FleetError `config_invalid` when it is damaged, `home_insecure`, `storage_failed`. */
  constructor(file2) {
    this.#file = file2;
    const text = readPrivateFile(file2);
    if (text === void 0) return;
    const parsed = nodeStateSchema.safeParse(parseJson2(text));
    if (!parsed.success) {
      throw new FleetError("config_invalid", `${file2} is damaged`, {
        hint: "Move it away and pair again: fleet node up --gateway HOST --code CODE."
      });
    }
    this.#state = parsed.data;
  }
  get current() {
    return this.#state;
  }
  /**
   * Lays `changes` over what is there; does nothing before there is a state. A disk that refuses keeps nobody from working: this
   * process knows it all the same, and the next change writes it.
   */
  change(changes, logger) {
    if (this.#state === void 0) return;
    const next = { ...this.#state, ...changes };
    this.#state = next;
    try {
      this.save(next);
    } catch (error) {
      logger.error({ err: error }, "what the gateway has said could not be stored; a restart would not know it");
    }
  }
  /** The same for what the gateway has said of this node; does nothing while it is not paired. */
  changePairing(changes, logger) {
    const pairing = this.#state?.pairing;
    if (pairing !== void 0) this.change({ pairing: { ...pairing, ...changes } }, logger);
  }
  save(state) {
    writePrivateFile(this.#file, `${JSON.stringify(state, null, 2)}
`);
    this.#state = state;
  }
};
function parseJson2(text) {
  try {
    return JSON.parse(text);
  } catch {
    return void 0;
  }
}

// src/node/runner/runner.ts
import { chmod, mkdir } from "node:fs/promises";
import { join as join5 } from "node:path";

// src/node/runner/reconcile.ts
import { appendFile } from "node:fs/promises";

// src/protocol/frames.ts
var FRAME_TYPE = {
  /** Bytes that the command wrote to stdout. */
  stdout: 1,
  /** Bytes that the command wrote to stderr. */
  stderr: 2,
  /** JSON of a {@link RunStarted}: the process exists. */
  started: 3,
  /** JSON of a {@link RunOutcome}: the process group is gone and its pipes are drained. Nothing follows. */
  end: 4,
  /** JSON of a {@link RunGap}: at this place output was not kept. */
  gap: 5
};
var FRAME_HEADER_BYTES = 5;
var MAX_FRAME_PAYLOAD_BYTES = 256 * 1024;
var KNOWN_TYPES = new Set(Object.values(FRAME_TYPE));
function encodeFrame(type, payload) {
  if (payload.length > MAX_FRAME_PAYLOAD_BYTES) throw new RangeError(`frame payload of ${payload.length} bytes`);
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt32BE(payload.length, 1);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

// src/node/shim/stream-bytes.ts
function add(a, b) {
  return { stdoutBytes: a.stdoutBytes + b.stdoutBytes, stderrBytes: a.stderrBytes + b.stderrBytes };
}
function total({ stdoutBytes, stderrBytes }) {
  return stdoutBytes + stderrBytes;
}

// src/node/runner/live-run.ts
import { closeSync as closeSync4 } from "node:fs";

// src/node/shim/fifo-ends.ts
import { closeSync as closeSync3, constants, openSync as openSync3 } from "node:fs";
function openForSending(path11) {
  try {
    return openSync3(path11, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (systemErrorCode(error) === "ENXIO") return void 0;
    throw error;
  }
}

// src/node/shim/start-failure.ts
var StartFailure = class extends Error {
  name = "StartFailure";
};

// src/node/runner/run-tool.ts
import { execa, execaSync } from "execa";
var TOOL_OPTIONS = { reject: false, stdin: "ignore", timeout: 1e4, env: { LC_ALL: "C" } };
async function runTool(file2, args) {
  const { exitCode, stdout, stderr } = await execa(file2, args, TOOL_OPTIONS);
  return { exitCode, stdout, stderr };
}
function runToolSync(file2, args) {
  const { exitCode, stdout, stderr } = execaSync(file2, args, TOOL_OPTIONS);
  return { exitCode, stdout, stderr };
}

// src/node/runner/process-group.ts
var FIRST_POLL_MS = 5;
var LONGEST_POLL_MS = 250;
var ProcessGroup = class {
  /** Pid of the leader, which is the id of the group and of the session. */
  leader;
  /** The leader's, from the process table; undefined if it was gone before anybody could look. */
  identity;
  #table;
  constructor(leader, identity, table) {
    this.leader = leader;
    this.identity = identity;
    this.#table = table;
  }
  leaderIsAlive() {
    const facts = this.#table.find(this.leader);
    return facts !== void 0 && !facts.zombie && facts.identity === this.identity;
  }
  /** Whether a member can still do something. When in doubt it can: nothing is said to be dead that was not seen to be. */
  isAlive() {
    const leader = this.#table.find(this.leader);
    if (this.identity !== void 0 && leader !== void 0 && leader.identity !== this.identity) return false;
    try {
      process.kill(-this.leader, 0);
    } catch (error) {
      if (systemErrorCode(error) === "ESRCH") return false;
    }
    const members = this.#table.group(this.leader);
    return members.length === 0 || members.some((facts) => !facts.zombie);
  }
  /** False if this process may not signal any member (commands that run as another user through sudo). */
  signal(signal) {
    if (!this.isAlive()) return true;
    try {
      process.kill(-this.leader, signal);
      return true;
    } catch (error) {
      if (systemErrorCode(error) === "ESRCH") return true;
      if (systemErrorCode(error) === "EPERM") return false;
      throw error;
    }
  }
};
async function terminateGroup(group, options) {
  const { clock, killGraceMs, signal, signalAs } = options;
  const send = async (name) => {
    if (!group.signal(name)) await signalAs?.(name);
  };
  const killAt = clock.monotonic() + killGraceMs;
  await send("SIGTERM");
  await send("SIGCONT");
  let pollMs = FIRST_POLL_MS;
  while (group.isAlive()) {
    if (signal.aborted) return false;
    const graceLeftMs = killAt - clock.monotonic();
    if (graceLeftMs <= 0) await send("SIGKILL");
    await sleep(clock, graceLeftMs > 0 ? Math.min(pollMs, graceLeftMs) : pollMs, signal);
    pollMs = Math.min(pollMs * 1.5, LONGEST_POLL_MS);
  }
  return true;
}
function signalThrough(prefix, group) {
  const [file2, ...args] = prefix;
  return async (signal) => {
    await runTool(file2, [...args, "/bin/kill", "-s", signal.slice(3), "--", `-${group}`]);
  };
}

// src/node/runner/adoption.ts
function findGroup(row, processes, pipePath) {
  if (row.pid !== null && row.identity !== null) {
    return new ProcessGroup(row.pid, row.identity, processes);
  }
  if (row.place === null) return void 0;
  const found = processes.findHolder(pipePath(row.place.pipes.stdout));
  return found && new ProcessGroup(found.pid, found.identity, processes);
}

// src/node/runner/run-command.ts
var DRAIN_AFTER_KILL_MS = 1e3;
var RunCommand = class {
  #spec;
  #log;
  #record;
  #context;
  #group;
  #startedAt = null;
  #spaceBytes = 0;
  #ordered = false;
  #end;
  #ended = Promise.withResolvers();
  constructor(spec, log, record, context) {
    this.#spec = spec;
    this.#log = log;
    this.#record = record;
    this.#context = context;
  }
  /** Undefined until it is known that it was started. */
  get group() {
    return this.#group;
  }
  /** Gateway's time, ms; null until it is known that it was started. */
  get startedAt() {
    return this.#startedAt;
  }
  /** Whether the shim may know of it. */
  get ordered() {
    return this.#ordered;
  }
  /** What the shim tells at its end; its log is complete but for the end frame then. */
  get end() {
    return this.#end;
  }
  /** Resolves with `end`. */
  get ended() {
    return this.#ended.promise;
  }
  /** What the output takes of the spool's room, bytes. */
  get spaceBytes() {
    return Math.max(this.#spaceBytes, this.#log.bytes);
  }
  /** @throws StartFailure when there is no command; FleetError `connection_lost` when nobody knows. */
  async start(plan, { pipes }) {
    const { shim, now } = this.#context;
    const { argv, cwd, env, input } = plan;
    const startedAt = Math.round(now());
    this.#ordered = true;
    const order = { ...this.#order(pipes, startedAt), command: { argv, cwd, env, input } };
    const { pid, identity } = await shim.start(order, (event) => this.#take(event));
    this.#isProcess(pid, identity, startedAt);
  }
  /** What the shim still knows of a command that a former process has started; undefined if it does not. */
  claim() {
    return this.#context.shim.claim(this.#spec.run, (event) => this.#take(event));
  }
  /** Goes on with a command that the shim has followed all the time. */
  resume(state) {
    this.#ordered = true;
    this.#isProcess(state.pid, state.identity, state.startedAt);
    this.#log.advance(state.logBytes);
    this.#spaceBytes = state.spaceBytes;
    if (state.end !== null) this.#take({ run: this.#spec.run, event: "end", end: state.end });
  }
  /** Takes up a command whose shim is gone. False if nobody can say whether there was one. @throws FleetError `connection_lost` */
  async adopt(row, past) {
    const { fifos, processes, shim, now } = this.#context;
    const group = findGroup(row, processes, (name) => fifos.path(name));
    if (group === void 0 || row.place === null) return false;
    const startedAt = row.startedAt ?? Math.round(now());
    this.#isProcess(group.leader, group.identity, startedAt);
    this.#ordered = true;
    const order = this.#order({ ...row.place.pipes, stdin: null }, startedAt);
    const { leader: pid, identity } = group;
    await shim.adopt({ ...order, pid, identity, past, exit: row.exit }, (event) => this.#take(event));
    return true;
  }
  /**
   * Ends the whole group, and reads what is left of its output. False if `signal` aborted before all of it was dead; `onDead` is called
   * when it is.
   */
  async terminate(signalWith, signal, onDead) {
    const { clock, killGraceMs, shim } = this.#context;
    if (this.#group === void 0) return true;
    const signalAs = signalWith && signalThrough(signalWith, this.#group.leader);
    if (!await terminateGroup(this.#group, { clock, killGraceMs, signal, signalAs })) return false;
    onDead();
    const drainTime = new AbortController();
    await Promise.race([this.ended, sleep(clock, DRAIN_AFTER_KILL_MS, AbortSignal.any([signal, drainTime.signal]))]);
    drainTime.abort();
    if (this.#end === void 0) shim.finish(this.#spec.run);
    await Promise.race([this.ended, shim.lost]);
    return this.#end !== void 0;
  }
  /** The sender of stdin is done: the command may see its end. */
  closeStdin() {
    this.#context.shim.closeStdin(this.#spec.run);
  }
  /** Its end is recorded. */
  forget() {
    if (this.#ordered) this.#context.shim.forget(this.#spec.run);
  }
  #order(pipes, startedAt) {
    const { agents, maxOutputBytes } = this.#context;
    return {
      run: this.#spec.run,
      pipes,
      maxOutputBytes: Math.min(this.#spec.maxOutputBytes, maxOutputBytes),
      startedAt,
      agent: agents.startedAs(this.#spec)
    };
  }
  /** Records, as the first thing after the spawn, which process it is. */
  #isProcess(pid, identity, startedAt) {
    this.#group = new ProcessGroup(pid, identity, this.#context.processes);
    this.#startedAt = startedAt;
    this.#record.started({ pid, identity, startedAt });
  }
  #take(event) {
    const { run } = this.#spec;
    switch (event.event) {
      case "output":
        this.#log.advance(event.logBytes);
        this.#spaceBytes = event.spaceBytes;
        return;
      case "exit":
        this.#record.note((journal) => journal.setExit(run, event.exit));
        return;
      case "unsafe":
        this.#record.note((journal) => journal.setCounters(run, event.counters));
        return;
      case "end":
        this.#end = event.end;
        this.#ended.resolve();
    }
  }
};

// src/node/shim/log-writer.ts
import { constants as constants2 } from "node:fs";
import { open } from "node:fs/promises";
var BATCH_BYTES = 1024 * 1024;
async function openLog2(path11) {
  return await open(path11, constants2.O_RDWR | constants2.O_CREAT, 384);
}
async function writeWhole(file2, data, end2) {
  let written = 0;
  try {
    while (written < data.length) {
      written += (await file2.write(data, written, data.length - written, end2 + written)).bytesWritten;
    }
  } catch (error) {
    await file2.truncate(end2).catch(() => {
    });
    throw error;
  }
}

// src/node/runner/run-log.ts
var RunLog = class {
  #path;
  #bytes;
  #complete = false;
  #stopped = false;
  #waiters = /* @__PURE__ */ new Set();
  constructor(path11, bytes) {
    this.#path = path11;
    this.#bytes = bytes;
  }
  get bytes() {
    return this.#bytes;
  }
  get complete() {
    return this.#complete;
  }
  get stopped() {
    return this.#stopped;
  }
  /** The file has `bytes` bytes of whole frames now. */
  advance(bytes) {
    if (bytes <= this.#bytes) return;
    this.#bytes = bytes;
    this.#wake();
  }
  /** Writes the end frame behind what there is; nobody else writes any more. @throws the system's error; may be called again. */
  async appendEnd(frame) {
    const file2 = await openLog2(this.#path);
    try {
      await writeWhole(file2, frame, this.#bytes);
    } finally {
      await file2.close();
    }
    this.#bytes += frame.length;
    this.#complete = true;
    this.#wake();
  }
  /** Nothing follows here, even if the end frame is missing: readers learn it. */
  stop() {
    this.#stopped = true;
    this.#wake();
  }
  changed(signal) {
    return new Promise((resolve2) => {
      const done = () => {
        this.#waiters.delete(done);
        signal.removeEventListener("abort", done);
        resolve2();
      };
      if (signal.aborted) return resolve2();
      signal.addEventListener("abort", done, { once: true });
      this.#waiters.add(done);
    });
  }
  #wake() {
    for (const waiter of [...this.#waiters]) waiter();
  }
};

// src/node/runner/outcome.ts
var OUTPUT_GAP = "output_gap: some output may be missing where the shim was killed";
function composeOutcome(ending, facts) {
  const { state, exitCode, signal, reason } = verdict(ending, facts);
  const spoolFull = facts.spoolError === null ? null : `spool_full: ${facts.counters.droppedBytes} bytes of output are lost: ${facts.spoolError}`;
  return {
    state,
    exitCode,
    signal,
    reason: [reason, facts.outputInDoubt ? OUTPUT_GAP : null, spoolFull].filter((part) => part !== null).join("; ") || null,
    startedAt: facts.startedAt,
    endedAt: facts.endedAt,
    ...facts.counters
  };
}
function verdict(ending, facts) {
  switch (ending.kind) {
    case "exit":
      return exitVerdict(ending.exit);
    case "killed":
      return killVerdict(ending.cause, facts);
    case "failed_to_start":
    case "unknown":
      return { state: ending.kind, exitCode: null, signal: null, reason: ending.reason };
  }
}
function exitVerdict({ exitCode, signal }) {
  if (signal !== null) return { state: "signaled", exitCode: null, signal, reason: null };
  if (exitCode !== null) return { state: "exited", exitCode, signal: null, reason: null };
  return {
    state: "unknown",
    exitCode,
    signal,
    reason: "not_observed: the system told neither an exit code nor a signal"
  };
}
function killVerdict(cause, { startedAt, timeoutMs }) {
  const none = { exitCode: null, signal: null };
  switch (cause) {
    case "timeout":
      return { state: "timed_out", ...none, reason: `timeout: not done after ${timeoutMs} ms` };
    case "stdin_lost":
      return { state: "canceled", ...none, reason: "stdin_lost: the sender of stdin broke off before its end" };
    case "canceled":
      return {
        state: "canceled",
        ...none,
        reason: startedAt === null ? "canceled: before it started" : "canceled: on request"
      };
  }
}

// src/node/runner/until-stored.ts
var FIRST_RETRY_MS = 100;
var LONGEST_RETRY_MS = 5e3;
async function untilStored(write, options) {
  const { clock, signal, onFailure } = options;
  for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)) {
    try {
      await write();
      return true;
    } catch (error) {
      if (retryMs === FIRST_RETRY_MS) onFailure(error);
      await sleep(clock, retryMs, signal);
      if (signal.aborted) return false;
    }
  }
}

// src/node/runner/run-record.ts
var NO_COUNTERS = { stdoutBytes: 0, stderrBytes: 0, droppedBytes: 0 };
var RunRecord = class {
  #options;
  #outcome = null;
  constructor(options) {
    this.#options = options;
  }
  /** Null until it is durable. */
  get outcome() {
    return this.#outcome;
  }
  /** Writes what only makes a later restart wiser; without it that one says `unknown`. */
  note(write) {
    try {
      write(this.#options.journal);
    } catch (error) {
      this.#options.logger.warn({ err: error }, "the journal refused a fact about a run");
    }
  }
  /** The process exists. */
  started(facts) {
    const { spec, journal } = this.#options;
    void this.#persist("started", () => journal.started(spec.run, facts));
  }
  /**
   * Makes the end durable, and completes the log, to which nobody else writes any more. `end` is undefined if the command was never
   * started. False if the signal came before that.
   */
  async end(ending, startedAt, end2) {
    const { spec, journal, log, outputInDoubt, now } = this.#options;
    if (end2 !== void 0) log.advance(end2.logBytes);
    const outcome = composeOutcome(ending, {
      startedAt,
      endedAt: Math.round(now()),
      timeoutMs: spec.timeoutMs,
      counters: end2?.counters ?? NO_COUNTERS,
      outputInDoubt,
      spoolError: end2?.error ?? null
    });
    const frame = encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(outcome)));
    const logBytes = log.bytes + frame.length;
    if (!await this.#persist("outcome", () => journal.ended(spec.run, outcome, logBytes))) return false;
    this.#outcome = outcome;
    return await this.#persist("end frame", () => log.appendEnd(frame));
  }
  #persist(what, write) {
    const { clock, signal, logger } = this.#options;
    const onFailure = (error) => {
      logger.error({ err: error, what }, "a run cannot be recorded; trying on");
    };
    return untilStored(write, { clock, signal, onFailure });
  }
};

// src/node/runner/stdin-pipe.ts
import { Socket } from "node:net";
import { Writable } from "node:stream";
var StdinPipe = class extends Writable {
  #options;
  #socket;
  #discarding = false;
  /** The one write or end that waits for the command to start. */
  #waiting;
  /** The write that the socket works on. */
  #writing;
  constructor(options) {
    super({ highWaterMark: 64 * 1024 });
    this.#options = options;
    this.on("error", () => {
    });
  }
  /** The command is there and reads from the FIFO whose writing end is `fd`, which is this object's to close. */
  attach(fd) {
    const socket = new Socket({ fd, readable: false, writable: true });
    this.#socket = socket;
    socket.on("error", () => this.discard());
    this.#proceed();
  }
  /** Takes everything else that comes, and drops it: the command is gone or wants no more. Also closes the FIFO. */
  discard() {
    this.#discarding = true;
    this.#socket?.destroy();
    this.#finishWrite();
    this.#proceed();
  }
  _write(chunk, _encoding, done) {
    this.#whenAttached(() => {
      if (this.#discarding) return done();
      this.#writing = done;
      this.#socket?.write(chunk, (error) => {
        if (!error) this.#finishWrite();
      });
    });
  }
  _final(done) {
    this.#whenAttached(() => {
      if (!this.#discarding) this.#options.onComplete();
      this.discard();
      done();
    });
  }
  /** Leaves the FIFO open on purpose: its end would tell the command that this was all. `discard` closes it. */
  _destroy(error, done) {
    this.#waiting = void 0;
    if (!this.writableFinished && !this.#discarding) this.#options.onLost();
    done(error);
  }
  #whenAttached(action) {
    if (this.#socket !== void 0 || this.#discarding) action();
    else this.#waiting = action;
  }
  #proceed() {
    const waiting = this.#waiting;
    this.#waiting = void 0;
    waiting?.();
  }
  #finishWrite() {
    const done = this.#writing;
    this.#writing = void 0;
    done?.();
  }
};

// src/node/runner/live-run.ts
var RESTARTED = "node_restarted: exit code could not be observed";
var LiveRun = class {
  spec;
  log;
  /** Undefined unless somebody shall send stdin. */
  stdin;
  #context;
  #logger;
  #record;
  #begun;
  #command;
  #phase;
  #place;
  #signalWith;
  #stdinOpen;
  #timer;
  #cause;
  #causeRaised = Promise.withResolvers();
  /** No cause counts any more: the command came to its own end before. */
  #sealed = false;
  #letGo = new AbortController();
  /** Ends the wait for a turn. */
  #noTurn = new AbortController();
  #giveSlotBack;
  #ended = Promise.withResolvers();
  #over = Promise.withResolvers();
  #takenUp = Promise.withResolvers();
  #working = Promise.resolve();
  constructor(spec, context, begun = {}) {
    const { row, place, inheritance } = begun;
    this.spec = spec;
    this.#context = context;
    this.#begun = begun;
    this.#logger = context.logger.child({ run: spec.run });
    this.#place = place ?? row?.place ?? void 0;
    this.#phase = row?.phase ?? (place === void 0 ? "accepted" : "starting");
    this.#cause = row?.cause ?? void 0;
    this.#stdinOpen = row === void 0 ? spec.stdin : row.stdinOpen;
    this.log = new RunLog(context.logPath(spec.run), inheritance?.past.logBytes ?? 0);
    const { journal, clock, now } = context;
    this.#record = new RunRecord({
      spec,
      journal,
      log: this.log,
      outputInDoubt: inheritance?.outputInDoubt ?? false,
      clock,
      now,
      logger: this.#logger,
      signal: this.#letGo.signal
    });
    this.#command = new RunCommand(spec, this.log, this.#record, context);
    const mayBeStarted2 = row !== void 0 && (inheritance !== void 0 || context.shim.knows(spec.run));
    if (spec.stdin && !mayBeStarted2) {
      this.stdin = new StdinPipe({ onComplete: () => this.#stdinComplete(), onLost: () => this.kill("stdin_lost") });
    }
    this.#ended.promise.catch(() => {
    });
  }
  /** What the output takes of the spool's room, bytes. */
  get spaceBytes() {
    return this.#command.spaceBytes;
  }
  /** Resolves when the outcome is durable and the log complete. @throws FleetError `connection_lost` when this process lets go first. */
  get ended() {
    return this.#ended.promise;
  }
  /** Resolves when a command that a former process has started is followed again. */
  get takenUp() {
    return this.#takenUp.promise;
  }
  /** Resolves when the command is gone, though perhaps not recorded yet. */
  get over() {
    return this.#over.promise;
  }
  /** Whether the command waits for a stdin that ends with this process. */
  get needsStdin() {
    return this.#stdinOpen && this.#command.group !== void 0 && !this.#sealed;
  }
  get status() {
    const { outcome } = this.#record;
    const state = outcome?.state ?? (this.#command.group === void 0 ? "delivered" : "running");
    return { run: this.spec.run, state, outcome, logBytes: this.log.bytes };
  }
  /** Begins the work in the background: a run that was surely never spawned is started, another one followed to its end. */
  begin() {
    this.#working = this.#work(this.#command.claim()).catch((error) => {
      this.#logger.error({ err: error }, "a run cannot be followed any more");
      this.#ended.reject(error);
      this.#over.resolve();
    });
  }
  /** Ends the command if it has not come to its end by itself. The first cause wins. `over` and `ended` tell when. */
  kill(cause) {
    if (this.#cause !== void 0 || this.#sealed) return;
    this.#cause = cause;
    this.#record.note((journal) => journal.setCause(this.spec.run, cause));
    this.#causeRaised.resolve();
    this.#noTurn.abort();
  }
  /** Stops following and leaves the command alive for the next process; an ending that has begun is completed if the disk lets it. */
  async letGo() {
    this.#letGo.abort();
    this.#noTurn.abort();
    await this.#working;
    this.#timer?.cancel();
    this.stdin?.discard();
    this.log.stop();
    this.#over.resolve();
    this.#ended.reject(new FleetError("connection_lost", "the node lets go of the run; it goes on after its restart"));
  }
  async #work(state) {
    const { row, inheritance } = this.#begun;
    try {
      if (row !== void 0 && state !== void 0) await this.#resume(row, state);
      else if (row !== void 0 && inheritance !== void 0) await this.#adopt(row, inheritance);
      else {
        this.#takenUp.resolve();
        await this.#start();
      }
    } catch (error) {
      if (!(error instanceof FleetError) || error.code !== "connection_lost") throw error;
      await aborted(this.#letGo.signal);
    } finally {
      this.#takenUp.resolve();
    }
  }
  async #start() {
    const { plan, agents } = this.#context;
    this.#giveSlotBack = await agents.takeSlot(this.spec, this.#noTurn.signal);
    if (this.#giveSlotBack === void 0) return await this.#follow();
    try {
      const command = await plan(this.spec);
      const place = this.#place ?? await this.#takePlace();
      if (this.#cause === void 0 && !this.#letGo.signal.aborted) await this.#launch(command, place);
    } catch (error) {
      if (error instanceof FleetError && error.code === "connection_lost") throw error;
      if (this.#letGo.signal.aborted && !this.#command.ordered) return this.#takeBack();
      return await this.#end({ kind: "failed_to_start", reason: startFailure(error) });
    }
    if (this.#letGo.signal.aborted && !this.#command.ordered) return this.#takeBack();
    await this.#follow();
  }
  async #takePlace() {
    const { fifos, shim } = this.#context;
    const pipes = await fifos.take(this.spec.stdin);
    this.#place = { pipes, shim: shim.shim };
    return this.#place;
  }
  /** The command was surely not started, and shall be by the next process. */
  #takeBack() {
    if (this.#phase === "starting") this.#record.note((journal) => journal.notStarting(this.spec.run));
  }
  /** From the line on that writes `starting`, the command may have been started. */
  async #launch(plan, place) {
    const { journal, shim, fifos } = this.#context;
    if (this.#phase === "accepted" || place.shim !== shim.shim) {
      this.#place = { ...place, shim: shim.shim };
      journal.starting(this.spec.run, this.#place);
    }
    this.#phase = "starting";
    this.#signalWith = plan.signalWith;
    await this.#command.start(plan, place);
    this.#openStdin(place.pipes.stdin === null ? void 0 : fifos.path(place.pipes.stdin));
    if (this.spec.timeoutMs !== void 0) this.#armTimeout(this.spec.timeoutMs);
  }
  #openStdin(path11) {
    if (path11 === void 0 || this.stdin === void 0) return;
    const fd = openForSending(path11);
    if (fd === void 0) this.stdin.discard();
    else if (this.#letGo.signal.aborted || this.stdin.destroyed) closeSync4(fd);
    else this.stdin.attach(fd);
  }
  /** Goes on with a command that the shim has followed all the time. */
  async #resume(row, state) {
    this.#giveSlotBack = this.#context.agents.occupySlot(this.spec);
    this.#command.resume(state);
    if (this.spec.stdin && !row.stdinOpen) this.#command.closeStdin();
    await this.#goOn(row);
  }
  /** Takes up a command whose shim is gone, or finds that nobody can say whether there was one. */
  async #adopt(row, { past }) {
    this.#giveSlotBack = this.#context.agents.occupySlot(this.spec);
    if (await this.#command.adopt(row, past)) return await this.#goOn(row);
    const { logBytes, written, kept } = past;
    const counters = { ...written, droppedBytes: total(written) - total(kept) };
    const reason = "node_restarted: it is not known whether the command was started";
    await this.#end({ kind: "unknown", reason }, { drained: false, logBytes, counters, error: null });
  }
  async #goOn(row) {
    const { now } = this.#context;
    this.#takenUp.resolve();
    this.#signalWith = await this.#planSignals();
    if (row.stdinOpen && this.#command.end === void 0 && this.#command.group?.isAlive()) this.kill("stdin_lost");
    const { timeoutMs } = this.spec;
    const ranMs = Math.max(0, now() - (this.#command.startedAt ?? now()));
    if (timeoutMs !== void 0) this.#armTimeout(Math.max(0, timeoutMs - ranMs));
    await this.#follow();
  }
  /** As of the present: the account may have been removed meanwhile. */
  async #planSignals() {
    if (this.spec.user === void 0) return void 0;
    try {
      return (await this.#context.plan(this.spec)).signalWith;
    } catch (error) {
      this.#logger.warn({ err: error }, "an inherited run may not be signaled");
      return void 0;
    }
  }
  /** From the spawn to the end; returns early if this process lets go. */
  async #follow() {
    const { signal } = this.#letGo;
    const command = this.#command;
    if (this.#cause === void 0) {
      await Promise.race([command.ended, this.#causeRaised.promise, aborted(signal)]);
    }
    const { end: end2 } = command;
    if (this.#cause !== void 0) {
      const dead = await command.terminate(this.#signalWith, signal, () => this.#over.resolve());
      if (dead) await this.#end({ kind: "killed", cause: this.#cause }, command.end);
    } else if (end2 !== void 0) {
      const { exit } = end2;
      await this.#end(exit === null ? { kind: "unknown", reason: RESTARTED } : { kind: "exit", exit }, end2);
    }
  }
  /** `end` is undefined if the command was never started. */
  async #end(ending, end2) {
    this.#sealed = true;
    this.#timer?.cancel();
    this.#giveSlotBack?.();
    this.#over.resolve();
    this.stdin?.discard();
    if (!await this.#record.end(ending, this.#command.startedAt, end2)) return;
    this.#command.forget();
    if (this.#place !== void 0) this.#context.fifos.release(this.#place.pipes, end2?.drained ?? true);
    this.#ended.resolve(this.status);
  }
  #stdinComplete() {
    this.#stdinOpen = false;
    this.#record.note((journal) => journal.setStdinComplete(this.spec.run));
    this.#command.closeStdin();
  }
  #armTimeout(leftMs) {
    this.#timer = this.#context.clock.after(leftMs, () => this.kill("timeout"));
  }
};
function startFailure(error) {
  if (error instanceof StartFailure) return error.message;
  if (error instanceof FleetError) return `${error.code}: ${error.message}`;
  return `spawn_failed: ${systemErrorCode(error) ?? String(error)}`;
}
function aborted(signal) {
  return new Promise((resolve2) => {
    if (signal.aborted) resolve2();
    else signal.addEventListener("abort", () => resolve2(), { once: true });
  });
}

// src/node/runner/log-recovery.ts
import { constants as constants3 } from "node:fs";
import { open as open2 } from "node:fs/promises";
var WINDOW_BYTES = 256 * 1024;
var STORED_TYPES = /* @__PURE__ */ new Set([
  FRAME_TYPE.stdout,
  FRAME_TYPE.stderr,
  FRAME_TYPE.started,
  FRAME_TYPE.gap,
  FRAME_TYPE.end
]);
async function recoverLog(path11) {
  const file2 = await open2(path11, constants3.O_RDWR | constants3.O_CREAT, 384);
  try {
    const { size } = await file2.stat();
    const log = await scan(file2, size);
    if (log.bytes < size) await file2.truncate(log.bytes);
    return log;
  } finally {
    await file2.close();
  }
}
async function scan(file2, size) {
  const log = {
    bytes: 0,
    stdoutBytes: 0,
    stderrBytes: 0,
    gaps: { stdoutBytes: 0, stderrBytes: 0 },
    ended: false
  };
  const window = Buffer.allocUnsafe(WINDOW_BYTES);
  let windowStart = 0;
  let windowBytes = 0;
  while (!log.ended && log.bytes + FRAME_HEADER_BYTES <= size) {
    if (log.bytes + FRAME_HEADER_BYTES > windowStart + windowBytes) {
      windowStart = log.bytes;
      windowBytes = (await file2.read(window, 0, WINDOW_BYTES, windowStart)).bytesRead;
      if (windowBytes < FRAME_HEADER_BYTES) break;
    }
    const type = window.readUInt8(log.bytes - windowStart);
    const length = window.readUInt32BE(log.bytes - windowStart + 1);
    const next = log.bytes + FRAME_HEADER_BYTES + length;
    if (!STORED_TYPES.has(type) || length > MAX_FRAME_PAYLOAD_BYTES || next > size) break;
    if (type === FRAME_TYPE.gap) {
      const gap = await readGap(file2, next - length, length);
      if (gap === void 0) break;
      log.gaps = add(log.gaps, gap);
    }
    log.bytes = next;
    if (type === FRAME_TYPE.stdout) log.stdoutBytes += length;
    if (type === FRAME_TYPE.stderr) log.stderrBytes += length;
    log.ended = type === FRAME_TYPE.end;
  }
  return log;
}
async function readGap(file2, at, length) {
  const payload = Buffer.alloc(length);
  await file2.read(payload, 0, length, at);
  try {
    return runGapSchema.parse(JSON.parse(payload.toString()));
  } catch {
    return void 0;
  }
}

// src/node/runner/reconcile.ts
async function reconcile(context) {
  const { journal, fifos, shim, logPath } = context;
  const unfinished = journal.unfinished();
  const inUse = unfinished.map(({ row: { place } }) => place?.pipes);
  const names = inUse.flatMap((pipes) => [pipes?.stdout, pipes?.stderr, pipes?.stdin]);
  await fifos.start(new Set(names.filter((name) => typeof name === "string")));
  for (const row of journal.unacknowledged()) {
    if (row.phase === "ended") await completeLog(row, logPath(row.run), journal);
  }
  const runs = [];
  for (const { row, spec } of unfinished) {
    const gone = !shim.knows(row.run) && mayBeStarted(row, shim.shim);
    const inheritance = gone ? inherit(row, await recoverLog(logPath(row.run))) : void 0;
    runs.push(new LiveRun(spec, context, { row, inheritance }));
  }
  const known = new Set(unfinished.map(({ row }) => row.run));
  for (const run of shim.unclaimed) if (!known.has(run)) shim.forget(run);
  return runs;
}
function mayBeStarted({ phase, place }, shim) {
  return phase === "started" || phase === "starting" && place?.shim !== shim;
}
async function completeLog(row, path11, journal) {
  if (row.outcome === null || !row.hasLog) return;
  const log = await recoverLog(path11);
  const frame = encodeFrame(FRAME_TYPE.end, Buffer.from(JSON.stringify(row.outcome)));
  if (!log.ended) await appendFile(path11, frame);
  const logBytes = log.ended ? log.bytes : log.bytes + frame.length;
  if (logBytes !== row.logBytes) journal.setLogBytes(row.run, logBytes);
}
function inherit(row, log) {
  const known = row.counters ?? { stdoutBytes: 0, stderrBytes: 0 };
  const written = {
    stdoutBytes: Math.max(log.stdoutBytes + log.gaps.stdoutBytes, known.stdoutBytes),
    stderrBytes: Math.max(log.stderrBytes + log.gaps.stderrBytes, known.stderrBytes)
  };
  const kept = { stdoutBytes: log.stdoutBytes, stderrBytes: log.stderrBytes };
  const closed = row.counters !== null && total(known) >= total(kept) + total(log.gaps);
  return {
    past: { logBytes: log.bytes, written, kept, told: log.gaps },
    outputInDoubt: row.phase !== "accepted" && !closed
  };
}

// src/node/runner/active-runs.ts
var RELINK_MS = 1e3;
var ActiveRuns = class {
  #options;
  #live = /* @__PURE__ */ new Map();
  /** Undefined before the start, after the close, and while there is no shim. */
  #context;
  #relinking;
  #closing = false;
  constructor(options) {
    this.#options = options;
  }
  get all() {
    return [...this.#live.values()];
  }
  get size() {
    return this.#live.size;
  }
  /** What the output of all of them takes of the spool's room, bytes. */
  get spaceBytes() {
    return this.all.reduce((sum, live) => sum + live.spaceBytes, 0);
  }
  /** Whether the shim was killed and there is no other one yet. */
  get shimIsGone() {
    return this.#relinking !== void 0;
  }
  /** 0 while there is none. */
  get shimPid() {
    return this.#context?.shim.pid ?? 0;
  }
  find(run) {
    return this.#live.get(run);
  }
  /** What a new run works with. @throws FleetError `not_running`, or `busy` while there is no shim. */
  requireContext() {
    if (this.shimIsGone) throw new FleetError("busy", "the node is starting its shim anew");
    if (this.#context === void 0) throw new FleetError("not_running", "the runner is not open");
    return this.#context;
  }
  /** Adds a run that the journal has accepted, and begins it. */
  add(live) {
    const { run } = live.spec;
    const { logger, onEnded } = this.#options;
    this.#live.set(run, live);
    live.begin();
    live.ended.then(
      (status) => {
        this.#live.delete(run);
        onEnded(run, status.logBytes);
        logger.info({ run, state: status.state }, "run ended");
      },
      (error) => logger.debug({ run, err: error }, "run is left to the next process")
    );
  }
  /**
   * Connects to the shim, and takes up the runs of a former process: what was surely not spawned is started, what still lives is
   * followed to its end, of the rest nothing is run again. @throws FleetError `storage_failed`
   */
  async open() {
    const { openShim, logger, ...rest } = this.#options;
    const shim = await openShim();
    const context = { ...rest, logger, shim };
    try {
      for (const live of await reconcile(context)) this.add(live);
    } catch (error) {
      await this.#letGo();
      await shim.close();
      throw error;
    }
    await Promise.race([Promise.all(this.all.map((live) => live.takenUp)), shim.lost]);
    this.#context = context;
    void shim.lost.then(() => {
      if (this.#context !== context) return;
      this.#context = void 0;
      logger.error({ pid: shim.pid }, "the shim is gone; starting another one");
      this.#relinking = this.#relink().finally(() => {
        this.#relinking = void 0;
      });
    });
  }
  /** Lets go of all; commands whose stdin would end in the middle are canceled before. Idempotent. */
  async close() {
    this.#closing = true;
    await this.#relinking;
    const context = this.#context;
    this.#context = void 0;
    await this.#letGo();
    await context?.shim.close();
  }
  /** The shim was killed: its commands live on, and another shim takes them up, as after a restart of the node. */
  async #relink() {
    const { clock, logger } = this.#options;
    await this.#letGo();
    while (!this.#closing) {
      try {
        return await this.open();
      } catch (error) {
        logger.error({ err: error }, "there is no shim; trying again");
        await sleep(clock, RELINK_MS);
      }
    }
  }
  async #letGo() {
    const cut = this.all.filter((live) => live.needsStdin);
    for (const live of cut) live.kill("stdin_lost");
    await Promise.all(cut.map((live) => live.over));
    await Promise.all(this.all.map((live) => live.letGo()));
    this.#live.clear();
  }
};

// src/node/runner/agent-plan.ts
import { constants as constants4 } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
async function planAgent(spec, agent, baseEnv) {
  const [file2, ...args] = agent.command;
  const program = await findProgram(file2, baseEnv);
  if (agent.prompt === "argument") return { argv: [program, ...args, spec.prompt], input: void 0 };
  const { prompt, run, job, node } = spec;
  const input = agent.prompt === "stdin" ? prompt : `${JSON.stringify({ prompt, agent: spec.agent, run, job, node })}
`;
  return { argv: [program, ...args], input };
}
async function findProgram(file2, baseEnv) {
  const folders = (baseEnv.PATH ?? "").split(delimiter).filter((folder) => folder.startsWith("/"));
  const candidates = file2.includes("/") ? [file2] : folders.map((folder) => join(folder, file2));
  for (const candidate of candidates) if (candidate.startsWith("/") && await isProgram(candidate)) return candidate;
  throw new StartFailure(`no_such_program: ${file2}`);
}
async function isProgram(path11) {
  try {
    await access(path11, constants4.X_OK);
    return (await stat(path11)).isFile();
  } catch {
    return false;
  }
}

// src/node/runner/agent-slots.ts
var AgentSlots = class {
  #agents = /* @__PURE__ */ new Map();
  /**
   * Resolves with what gives the slot back (idempotent), once there is one of `most`; undefined when `signal` aborts before that.
   */
  async take(name, most, signal) {
    const agent = this.#agentOf(name);
    if (signal.aborted) return void 0;
    if (agent.taken < most) return this.occupy(name);
    return await new Promise((resolve2) => {
      const leave = () => {
        agent.waiting.delete(waiter);
        resolve2(void 0);
      };
      const waiter = {
        most,
        grant: () => {
          agent.waiting.delete(waiter);
          signal.removeEventListener("abort", leave);
          resolve2(this.occupy(name));
        }
      };
      agent.waiting.add(waiter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }
  /** Takes a slot whether there is one or not, for a run that works already. */
  occupy(name) {
    const agent = this.#agentOf(name);
    agent.taken += 1;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      agent.taken -= 1;
      const [next] = agent.waiting;
      if (next !== void 0 && agent.taken < next.most) next.grant();
    };
  }
  #agentOf(name) {
    const present = this.#agents.get(name);
    if (present !== void 0) return present;
    const created = { taken: 0, waiting: /* @__PURE__ */ new Set() };
    this.#agents.set(name, created);
    return created;
  }
};

// src/node/runner/agents.ts
var NO_SLOT = () => {
};
var Agents = class {
  #config;
  #slots = new AgentSlots();
  constructor(config) {
    this.#config = config;
  }
  /** The spec with what the agent's config adds where the job says nothing. @throws FleetError `no_such_agent`. */
  complete(spec) {
    if (spec.kind !== "agent") return spec;
    const agent = this.#find(spec);
    if (agent === void 0) {
      throw new FleetError("no_such_agent", `${spec.node} has no agent ${spec.agent}`, {
        hint: `See them: fleet agents ${spec.node}`
      });
    }
    const timeoutMs = spec.timeoutMs ?? agent.timeout;
    return timeoutMs === void 0 ? spec : { ...spec, timeoutMs };
  }
  /** @throws StartFailure `no_such_agent` or `no_such_program`. */
  async plan(spec, baseEnv) {
    const agent = this.#find(spec);
    if (agent === void 0) throw new StartFailure(`no_such_agent: ${spec.agent}`);
    return await planAgent(spec, agent, baseEnv);
  }
  /** What a log's first frame says of the agent; undefined for a run of the shell. */
  startedAs(spec) {
    const agent = spec.kind === "agent" ? this.#find(spec) : void 0;
    return spec.kind !== "agent" || agent === void 0 ? void 0 : { name: spec.agent, events: agent.events };
  }
  /** Resolves with what gives the slot back, once it is this run's turn; undefined when `signal` aborts first. */
  async takeSlot(spec, signal) {
    const most = spec.kind === "agent" ? this.#find(spec)?.maxParallel : void 0;
    if (spec.kind !== "agent" || most === void 0) return NO_SLOT;
    return await this.#slots.take(spec.agent, most, signal);
  }
  /** The slot of a run that a former process started. */
  occupySlot(spec) {
    return spec.kind === "agent" ? this.#slots.occupy(spec.agent) : NO_SLOT;
  }
  #find({ agent }) {
    return Object.hasOwn(this.#config, agent) ? this.#config[agent] : void 0;
  }
};

// src/node/runner/command-plan.ts
import { constants as constants5 } from "node:fs";
import { access as access2, stat as stat2 } from "node:fs/promises";
import { delimiter as delimiter2, join as join2, resolve } from "node:path";
var SYSTEM_PATH = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
async function planCommand(spec, host) {
  const { argv, input } = await chooseProgram(spec, host);
  const user = spec.user === void 0 ? void 0 : await requireUser(spec.user, host);
  const fleetEnv = { FLEET_NODE: spec.node, FLEET_JOB: spec.job, FLEET_RUN: spec.run };
  const base = { LVM_SUPPRESS_FD_WARNINGS: "1", ...host.baseEnv };
  if (user === void 0 || user.uid === host.currentUid) {
    const cwd = await chooseFolder(spec.cwd, host.homeFolder);
    return { argv, input, cwd, env: { ...base, ...spec.env, ...fleetEnv } };
  }
  const userEnv = { HOME: user.home, USER: user.name, LOGNAME: user.name, SHELL: user.shell };
  const setpriv = host.currentUid === 0 ? await findTool("setpriv", host.baseEnv) : void 0;
  if (setpriv !== void 0) {
    const own = { ...spec.env, ...fleetEnv };
    return {
      argv: [...setprivArgv(setpriv, user), ...setEnvironmentArgv(Object.keys(own)), ...argv],
      input,
      cwd: await chooseFolder(spec.cwd, user.home),
      env: { ...base, ...userEnv, ...carried(own) }
    };
  }
  const sudo = await findTool("sudo", host.baseEnv);
  if (sudo === void 0)
    throw new StartFailure(`spawn_failed: sudo is needed to run as ${user.name}, and is not installed`);
  const env = { ...spec.env, ...fleetEnv };
  return {
    argv: sudoArgv(sudo, user, Object.keys(env), resolve(user.home, spec.cwd ?? "."), argv),
    input,
    cwd: "/",
    env: { ...base, ...env },
    signalWith: [sudo, "-n", "-u", user.name, "--"]
  };
}
async function chooseProgram(spec, host) {
  if (spec.kind === "agent") return await host.planAgent(spec);
  await requireShell(host.shell);
  return { argv: [host.shell, "-c", spec.command], input: void 0 };
}
function setprivArgv(setpriv, user) {
  return [setpriv, "--reuid", String(user.uid), "--regid", String(user.gid), "--init-groups", "--"];
}
var CARRIED_PREFIX = "FLEET_SET_";
function carried(env) {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [CARRIED_PREFIX + name, value]));
}
function setEnvironmentArgv(names) {
  const steps = names.map(
    (name) => `${name}=$${CARRIED_PREFIX}${name}; export ${name}; unset ${CARRIED_PREFIX}${name}`
  );
  return ["/bin/sh", "-c", [...steps, 'exec "$@"'].join("\n"), "sh"];
}
function sudoArgv(sudo, user, keep, cwd, command) {
  const enter = 'cd -- "$1" || exit 1; shift; exec "$@"';
  const preserve = `--preserve-env=${keep.join(",")}`;
  return [sudo, "-n", "-H", "-u", user.name, preserve, "--", "/bin/sh", "-c", enter, "sh", cwd, ...command];
}
async function requireUser(name, host) {
  const user = await host.findUser(name);
  if (user === void 0) throw new StartFailure(`no_such_user: ${name}`);
  return user;
}
async function requireShell(shell) {
  try {
    await access2(shell, constants5.X_OK);
  } catch (error) {
    throw new StartFailure(`no_such_shell: ${shell} (${systemErrorCode(error) ?? "unknown"})`);
  }
}
async function chooseFolder(asked, home) {
  const folder = resolve(home, asked ?? ".");
  const fault = await folderFault(folder);
  if (fault === void 0) return folder;
  if (asked === void 0) return "/";
  throw new StartFailure(`no_such_folder: ${folder} (${fault})`);
}
async function folderFault(folder) {
  try {
    if (!(await stat2(folder)).isDirectory()) return "ENOTDIR";
    await access2(folder, constants5.X_OK);
    return void 0;
  } catch (error) {
    return systemErrorCode(error) ?? "unknown";
  }
}
async function findTool(name, baseEnv) {
  const folders = [...SYSTEM_PATH, ...(baseEnv.PATH ?? "").split(delimiter2)].filter((folder) => folder.startsWith("/"));
  for (const folder of folders) {
    const path11 = join2(folder, name);
    try {
      await access2(path11, constants5.X_OK);
      return path11;
    } catch {
    }
  }
  return void 0;
}

// src/node/runner/fifo-pool.ts
import { closeSync as closeSync5, constants as constants6, openSync as openSync4, unlinkSync } from "node:fs";
import { readdir as readdir3, unlink as unlink2 } from "node:fs/promises";
import { join as join4 } from "node:path";

// src/node/shim/prompt-file.ts
import { readdir as readdir2, unlink } from "node:fs/promises";
import { join as join3 } from "node:path";
var SUFFIX = ".prompt";
async function removePrompts(folder) {
  for (const name of await readdir2(folder)) if (name.endsWith(SUFFIX)) await unlink(join3(folder, name));
}

// src/node/runner/fifo-pool.ts
var BATCH = 16;
var MOST_FREE = 32;
var FIFO_NAME = /^(\d+)\.fifo$/;
var FifoPool = class {
  #options;
  #free = [];
  #next = 0;
  #making;
  #closed = false;
  constructor(options) {
    this.#options = options;
  }
  /** Removes what was left, except the names `inUse`, and makes the first few. @throws FleetError `storage_failed`. */
  async start(inUse) {
    this.#free = [];
    for (const name of await readdir3(this.#options.folder)) {
      const number = FIFO_NAME.exec(name)?.[1];
      if (number === void 0) continue;
      this.#next = Math.max(this.#next, Number(number) + 1);
      if (!inUse.has(name)) await unlink2(this.path(name));
    }
    await removePrompts(this.#options.folder);
    await this.#make();
  }
  path(name) {
    return join4(this.#options.folder, name);
  }
  /** FIFOs that no process has open. @throws FleetError `storage_failed`, or `not_running` once closed. */
  async take(stdin) {
    for (; ; ) {
      if (this.#closed) throw new FleetError("not_running", "the runner is closed");
      const pipes = this.takeNow(stdin);
      if (pipes !== void 0) return pipes;
      await this.#make();
    }
  }
  /** The same, if there are some at once. */
  takeNow(stdin) {
    if (this.#closed || this.#free.length < (stdin ? 3 : 2)) return void 0;
    const [stdout = "", stderr = "", third = null] = this.#free.splice(0, stdin ? 3 : 2);
    if (this.#free.length < BATCH / 2) {
      this.#make().catch((error) => this.#options.logger.warn({ err: error }, "cannot make pipes ahead"));
    }
    return { stdout, stderr, stdin: third };
  }
  /**
   * Gives FIFOs back whose ends here and in the shim are closed; `drained` says that their end of file was seen. One that a background
   * process of the command still holds is never used again: that process could read from the next run or write into it.
   */
  release(pipes, drained2) {
    for (const name of [pipes.stdout, pipes.stderr, pipes.stdin]) {
      if (name === null) continue;
      const keep = drained2 && !this.#closed && this.#free.length < MOST_FREE;
      if (keep && isUnused(this.path(name))) this.#free.push(name);
      else this.#remove(name);
    }
  }
  /** Removes the free ones; those of running commands stay for the next process. */
  close() {
    this.#closed = true;
    for (const name of this.#free.splice(0)) this.#remove(name);
  }
  #remove(name) {
    try {
      unlinkSync(this.path(name));
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") this.#options.logger.warn({ err: error, name }, "cannot remove a pipe");
    }
  }
  #make() {
    this.#making ??= this.#makeBatch().finally(() => {
      this.#making = void 0;
    });
    return this.#making;
  }
  async #makeBatch() {
    const names = Array.from({ length: BATCH }, () => `${this.#next++}.fifo`);
    const { exitCode, stderr } = await this.#options.runTool("mkfifo", [
      "-m",
      "666",
      "--",
      ...names.map((name) => this.path(name))
    ]);
    if (exitCode !== 0) {
      for (const name of names) this.#remove(name);
      throw new FleetError("storage_failed", `cannot make named pipes in ${this.#options.folder}: ${stderr.trim()}`, {
        hint: "The folder must be on a local file system that can hold FIFOs."
      });
    }
    if (this.#closed) for (const name of names) this.#remove(name);
    else this.#free.push(...names);
  }
};
function isUnused(path11) {
  try {
    closeSync5(openSync4(path11, constants6.O_WRONLY | constants6.O_NONBLOCK));
    return false;
  } catch (error) {
    return systemErrorCode(error) === "ENXIO";
  }
}

// src/node/runner/journal.ts
import { closeSync as closeSync6, openSync as openSync5 } from "node:fs";
import Database2 from "better-sqlite3";

// src/node/runner/journal-row.ts
function parseRow(row) {
  const json = (name) => {
    const text = row[name];
    return typeof text === "string" ? JSON.parse(text) : null;
  };
  const number = (name) => row[name] === null ? null : Number(row[name]);
  const outcome = json("outcome");
  return {
    run: String(row.run),
    phase: row.phase,
    specDigest: String(row.spec_digest),
    place: json("place"),
    pid: number("pid"),
    identity: row.identity === null ? null : String(row.identity),
    startedAt: number("started_at"),
    cause: row.cause,
    exit: json("exit"),
    stdinOpen: row.stdin_open === 1,
    counters: json("counters"),
    outcome: outcome === null ? null : runOutcomeSchema.parse(outcome),
    logBytes: Number(row.log_bytes),
    hasLog: row.has_log === 1,
    acknowledgedAt: number("acknowledged_at")
  };
}

// src/node/runner/journal.ts
var SCHEMA_VERSION = 1;
var SCHEMA = `
  CREATE TABLE run (
    run TEXT PRIMARY KEY,
    phase TEXT NOT NULL CHECK (phase IN ('accepted', 'starting', 'started', 'ended')),
    spec_digest TEXT NOT NULL,
    place TEXT,
    pid INTEGER,
    identity TEXT,
    started_at INTEGER,
    cause TEXT,
    exit TEXT,
    stdin_open INTEGER NOT NULL,
    counters TEXT,
    outcome TEXT,
    log_bytes INTEGER NOT NULL DEFAULT 0,
    has_log INTEGER NOT NULL DEFAULT 1,
    acknowledged_at INTEGER
  ) STRICT, WITHOUT ROWID;
  -- Apart from the run, so that a long command is not written again with each change of state; and only until the run has ended: it may
  -- hold secrets, and the digest is enough to tell a repetition from a contradiction.
  CREATE TABLE spec (run TEXT PRIMARY KEY, json TEXT NOT NULL) STRICT;
  -- A journal that was lost is replaced by one with another id: then the gateway knows that nobody can say any more what was run.
  CREATE TABLE journal (id TEXT NOT NULL) STRICT;
  INSERT INTO journal VALUES (lower(hex(randomblob(12))));
  CREATE INDEX run_open ON run (phase) WHERE phase <> 'ended';
  CREATE INDEX run_unacknowledged ON run (run) WHERE acknowledged_at IS NULL;
  CREATE INDEX run_evictable ON run (acknowledged_at) WHERE acknowledged_at IS NOT NULL;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;
var Journal = class {
  #path;
  #open;
  #statements = /* @__PURE__ */ new Map();
  constructor(path11) {
    this.#path = path11;
  }
  /**
   * @throws FleetError `already_running` if another process has it open; `storage_failed` if it cannot be read. A broken journal is
   * never replaced by an empty one: the gateway would hand runs over again, and they would run again.
   */
  open() {
    let database;
    try {
      closeSync6(openSync5(this.#path, "a", 384));
      database = new Database2(this.#path, { timeout: 1e3 });
      database.pragma("locking_mode = EXCLUSIVE");
      database.pragma("journal_mode = WAL");
      database.pragma("secure_delete = ON");
      database.pragma("synchronous = FULL");
      const version = Number(database.pragma("user_version", { simple: true }));
      if (version > SCHEMA_VERSION) throw new Error(`version ${version} was written by a newer fleet`);
      if (version === 0) database.transaction((open4) => open4.exec(SCHEMA)).exclusive(database);
      this.#open = database;
    } catch (error) {
      database?.close();
      if (isBusy(error))
        throw new FleetError("already_running", `another process uses ${this.#path}`, { cause: error });
      throw new FleetError("storage_failed", `cannot open the journal ${this.#path}: ${messageOf(error)}`, {
        hint: "If the file is broken, end its commands, move it away, and start again; runs handed over twice may then run twice.",
        cause: error
      });
    }
  }
  close() {
    this.#open?.close();
    this.#open = void 0;
    this.#statements.clear();
  }
  /** Made with the file, random: another id means that an earlier journal was lost. */
  get id() {
    return this.#guard((database) => String(this.#prepare(database, "SELECT id FROM journal").get().id));
  }
  find(run) {
    return this.#select("SELECT * FROM run WHERE run = ?", run)[0];
  }
  /** Runs that have not ended, and what they shall do. */
  unfinished() {
    const sql = "SELECT * FROM run JOIN spec USING (run) WHERE phase <> 'ended'";
    return this.#guard(
      (database) => this.#prepare(database, sql).all().map((row) => ({
        row: parseRow(row),
        spec: runSpecSchema.parse(JSON.parse(String(row.json)))
      }))
    );
  }
  /** Ended or not. */
  unacknowledged() {
    return this.#select("SELECT * FROM run WHERE acknowledged_at IS NULL");
  }
  /** The ended run with a log that was acknowledged first. */
  oldestEvictable() {
    return this.#select(
      "SELECT * FROM run WHERE acknowledged_at IS NOT NULL AND has_log = 1 ORDER BY acknowledged_at LIMIT 1"
    )[0];
  }
  /** Bytes of the logs of all ended runs. */
  endedLogBytes() {
    const sql = "SELECT total(log_bytes) AS bytes FROM run WHERE phase = 'ended' AND has_log = 1";
    return this.#guard((database) => Number(this.#prepare(database, sql).get().bytes));
  }
  /**
   * Durable when it returns, as are `starting` and `ended`; with a place it is `starting` at once, which saves a write to the disk.
   * @throws FleetError `storage_failed`, as all that write.
   */
  accept(spec, specDigest2, place) {
    const { run, stdin } = spec;
    this.#write(
      ["INSERT INTO spec (run, json) VALUES (?, ?)", run, JSON.stringify(spec)],
      [
        "INSERT INTO run (run, phase, spec_digest, stdin_open, place) VALUES (?, ?, ?, ?, ?)",
        run,
        place === void 0 ? "accepted" : "starting",
        specDigest2,
        stdin ? 1 : 0,
        place === void 0 ? null : JSON.stringify(place)
      ]
    );
  }
  starting(run, place) {
    const sql = "UPDATE run SET phase = 'starting', place = ? WHERE run = ? AND phase IN ('accepted', 'starting')";
    this.#write([sql, JSON.stringify(place), run]);
  }
  /** What was `starting` was surely not started. */
  notStarting(run) {
    const sql = "UPDATE run SET phase = 'accepted', place = NULL WHERE run = ? AND phase = 'starting'";
    this.#writeSoon(sql, [run]);
  }
  started(run, facts) {
    this.#writeSoon(
      "UPDATE run SET phase = 'started', pid = ?, identity = ?, started_at = ? WHERE run = ? AND phase IN ('starting', 'started')",
      [facts.pid, facts.identity ?? null, Math.round(facts.startedAt), run]
    );
  }
  setCause(run, cause) {
    this.#writeSoon("UPDATE run SET cause = ? WHERE run = ? AND phase <> 'ended'", [cause, run]);
  }
  setExit(run, exit) {
    this.#writeSoon("UPDATE run SET exit = ? WHERE run = ?", [JSON.stringify(exit), run]);
  }
  setStdinComplete(run) {
    this.#writeSoon("UPDATE run SET stdin_open = 0 WHERE run = ?", [run]);
  }
  setCounters(run, counters) {
    this.#writeSoon("UPDATE run SET counters = ? WHERE run = ? AND phase <> 'ended'", [JSON.stringify(counters), run]);
  }
  ended(run, outcome, logBytes) {
    const sql = "UPDATE run SET phase = 'ended', outcome = ?, log_bytes = ? WHERE run = ? AND phase <> 'ended'";
    this.#write([sql, JSON.stringify(outcome), logBytes, run], ["DELETE FROM spec WHERE run = ?", run]);
  }
  setLogBytes(run, logBytes) {
    this.#writeSoon("UPDATE run SET log_bytes = ? WHERE run = ?", [logBytes, run]);
  }
  acknowledge(run, atMs) {
    this.#writeSoon("UPDATE run SET acknowledged_at = ? WHERE run = ? AND acknowledged_at IS NULL", [
      Math.round(atMs),
      run
    ]);
  }
  logRemoved(run) {
    this.#writeSoon("UPDATE run SET has_log = 0 WHERE run = ?", [run]);
  }
  /** Forgets runs acknowledged before `beforeMs` whose logs are gone. */
  prune(beforeMs) {
    this.#writeSoon("DELETE FROM run WHERE acknowledged_at < ? AND has_log = 0", [Math.round(beforeMs)]);
  }
  /** Runs acknowledged before `beforeMs` that still have a log. */
  withLogAcknowledgedBefore(beforeMs) {
    return this.#select("SELECT * FROM run WHERE acknowledged_at < ? AND has_log = 1", Math.round(beforeMs));
  }
  #select(sql, ...parameters) {
    return this.#guard((database) => this.#prepare(database, sql).all(...parameters).map(parseRow));
  }
  /** All of the statements, each with its parameters, or none. */
  #write(...statements) {
    this.#guard(
      (database) => database.transaction(() => {
        for (const [sql, ...parameters] of statements) this.#prepare(database, sql).run(...parameters);
      })()
    );
  }
  /** Survives the end of this process at once, a power cut only with the next `#write`. */
  #writeSoon(sql, parameters) {
    this.#guard((database) => {
      database.pragma("synchronous = NORMAL");
      try {
        this.#prepare(database, sql).run(...parameters);
      } finally {
        database.pragma("synchronous = FULL");
      }
    });
  }
  #prepare(database, sql) {
    let statement = this.#statements.get(sql);
    if (statement === void 0) {
      statement = database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
  #guard(action) {
    if (this.#open === void 0) throw new FleetError("not_running", "the journal is closed");
    try {
      return action(this.#open);
    } catch (error) {
      throw new FleetError("storage_failed", `the journal ${this.#path} failed: ${messageOf(error)}`, { cause: error });
    }
  }
};
function isBusy(error) {
  return error instanceof Database2.SqliteError && error.code.startsWith("SQLITE_BUSY");
}
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

// src/node/runner/log-reader.ts
import { open as open3 } from "node:fs/promises";
var READ_CHUNK_BYTES = 256 * 1024;
async function* followLog(path11, from, log, signal) {
  signal.throwIfAborted();
  while (log.bytes <= from && !log.complete) await nextChange(log, signal);
  if (log.bytes <= from) return;
  const file2 = await openLog3(path11);
  try {
    for (let offset = from; ; ) {
      while (offset < log.bytes) {
        const piece = Buffer.allocUnsafe(Math.min(READ_CHUNK_BYTES, log.bytes - offset));
        const { bytesRead } = await file2.read(piece, 0, piece.length, offset);
        signal.throwIfAborted();
        if (bytesRead === 0) throw new FleetError("storage_failed", `the log ${path11} ends before its end`);
        offset += bytesRead;
        yield piece.subarray(0, bytesRead);
        signal.throwIfAborted();
      }
      if (log.complete && offset >= log.bytes) return;
      await nextChange(log, signal);
    }
  } finally {
    await file2.close();
  }
}
async function openLog3(path11) {
  try {
    return await open3(path11, "r");
  } catch (error) {
    const code = systemErrorCode(error) === "ENOENT" ? "not_found" : "storage_failed";
    throw new FleetError(code, `cannot open the log ${path11}`, { cause: error });
  }
}
async function nextChange(log, signal) {
  if (log.stopped) throw new FleetError("connection_lost", "the node lets go of the run; it goes on after its restart");
  await log.changed(signal);
  signal.throwIfAborted();
}

// src/node/runner/user-lookup.ts
import { readFile as readFile5 } from "node:fs/promises";
async function findUser(name, runTool2, passwdPath = "/etc/passwd") {
  const local = parsePasswd(await readFile5(passwdPath, "utf8"), name);
  if (local !== void 0) return local;
  const asked = await runTool2("getent", ["passwd", name]);
  const { exitCode, stdout } = asked.exitCode === void 0 ? await runTool2("id", ["-P", name]) : asked;
  return exitCode === 0 ? parsePasswd(stdout, name) : void 0;
}
function parsePasswd(text, name) {
  const fields = text.split("\n").map((line) => line.trimEnd().split(":")).find((line) => line[0] === name && (line.length === 7 || line.length === 10));
  if (fields === void 0 || !/^\d+$/.test(fields[2] ?? "") || !/^\d+$/.test(fields[3] ?? "")) return void 0;
  const [home = "", shell = ""] = fields.slice(-2);
  return { name, uid: Number(fields[2]), gid: Number(fields[3]), home, shell };
}

// src/node/runner/plan-host.ts
function createPlanHost({ shell, homeFolder, baseEnv }, agents) {
  return {
    shell,
    homeFolder,
    baseEnv,
    currentUid: process.geteuid?.() ?? -1,
    findUser: (name) => findUser(name, runTool),
    planAgent: (spec) => agents.plan(spec, baseEnv)
  };
}

// src/node/runner/process-table.ts
import { existsSync as existsSync2, readdirSync as readdirSync2, readFileSync as readFileSync4, statSync as statSync2 } from "node:fs";
function openProcessTable(runToolSync2) {
  return existsSync2("/proc/self/stat") ? new ProcTable() : new PsTable(runToolSync2);
}
var ProcTable = class {
  #bootId = readOrEmpty("/proc/sys/kernel/random/boot_id").trim();
  find(pid) {
    const stat3 = parseProcStat(readOrEmpty(`/proc/${pid}/stat`));
    if (stat3 === void 0) return void 0;
    const { group, state, startTicks: startTicks2 } = stat3;
    return { pid, group, zombie: state === "Z" || state === "X", identity: `${this.#bootId}/${startTicks2}` };
  }
  group(group) {
    return this.#all().filter((facts) => facts.group === group);
  }
  findHolder(path11) {
    const file2 = fileId(path11);
    if (file2 === void 0) return void 0;
    return this.#all().filter(({ pid, group, zombie }) => pid === group && !zombie).filter(({ pid }) => listOrEmpty(`/proc/${pid}/fd`).some((fd) => fileId(`/proc/${pid}/fd/${fd}`) === file2)).sort((a, b) => startTicks(a) - startTicks(b))[0];
  }
  #all() {
    return listOrEmpty("/proc").filter((name) => /^\d+$/.test(name)).map((name) => this.find(Number(name))).filter((facts) => facts !== void 0);
  }
};
var PsTable = class {
  #runToolSync;
  constructor(runToolSync2) {
    this.#runToolSync = runToolSync2;
  }
  find(pid) {
    return this.#list(["-p", String(pid)])[0];
  }
  group(group) {
    return this.#list(["-A"]).filter((facts) => facts.group === group);
  }
  /** `ps` does not show open files. */
  findHolder() {
    return void 0;
  }
  #list(which) {
    const { stdout } = this.#runToolSync("ps", [...which, "-o", "pid=,pgid=,stat=,lstart="]);
    return [...stdout.matchAll(/^\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S.*?)\s*$/gm)].map(
      ([, pid, group, state = "", identity = ""]) => ({
        pid: Number(pid),
        group: Number(group),
        zombie: state.startsWith("Z"),
        identity
      })
    );
  }
};
function startTicks(facts) {
  return Number(facts.identity.slice(facts.identity.indexOf("/") + 1));
}
function parseProcStat(text) {
  const fields = text.slice(text.lastIndexOf(")") + 1).trim().split(/\s+/);
  const [state, group, startTicks2] = [fields[0], fields[2], fields[19]];
  if (!text.includes(")") || !state || group === void 0 || startTicks2 === void 0) return void 0;
  if (!/^-?\d+$/.test(group) || !/^\d+$/.test(startTicks2)) return void 0;
  return { state, group: Number(group), startTicks: startTicks2 };
}
function readOrEmpty(path11) {
  try {
    return readFileSync4(path11, "utf8");
  } catch {
    return "";
  }
}
function listOrEmpty(path11) {
  try {
    return readdirSync2(path11);
  } catch {
    return [];
  }
}
function fileId(path11) {
  try {
    const { dev, ino } = statSync2(path11);
    return `${dev}:${ino}`;
  } catch {
    return void 0;
  }
}

// src/node/shim/line-socket.ts
import { StringDecoder } from "node:string_decoder";
function readLines(socket, take) {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  socket.on("data", (chunk) => {
    const lines = (rest + decoder.write(chunk)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      let value;
      try {
        value = JSON.parse(line);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : void 0);
        return;
      }
      take(value);
      if (socket.destroyed) return;
    }
  });
}
function writeLine(socket, value) {
  if (!socket.destroyed) socket.write(`${JSON.stringify(value)}
`);
}

// src/node/shim/messages.ts
var SHIM_PROTOCOL = 1;

// src/node/runner/start-shim.ts
import { closeSync as closeSync7, openSync as openSync6, rmSync as rmSync4 } from "node:fs";
import { createConnection } from "node:net";
import { execa as execa2 } from "execa";
var ANSWER_MS = 2e4;
async function connectToShim(path11) {
  const socket = createConnection(path11);
  return await new Promise((resolve2, reject) => {
    socket.once("connect", () => resolve2(socket));
    socket.once("error", (error) => {
      if (["ENOENT", "ECONNREFUSED"].includes(systemErrorCode(error) ?? "")) resolve2(void 0);
      else reject(new FleetError("storage_failed", `cannot connect to ${path11}`, { cause: error }));
    });
  });
}
async function startShim({ entry, folder, socket: path11, logFile, env, clock }) {
  rmSync4(path11, { force: true });
  const logFd = openSync6(logFile, "w", 384);
  try {
    const stdio = ["ignore", "pipe", logFd];
    const shim = execa2(process.execPath, ["--max-semi-space-size=1", entry, folder, path11], {
      cwd: "/",
      env,
      extendEnv: false,
      stdio,
      buffer: false,
      reject: false,
      cleanup: false,
      detached: true
    });
    const child = shim.nodeChildProcess;
    const enough = new AbortController();
    const ready = new Promise((resolve2) => child.stdout?.once("data", resolve2));
    try {
      await Promise.race([ready, shim, tooLate(clock, enough.signal)]);
    } finally {
      enough.abort();
      child.stdout?.destroy();
      child.unref();
    }
    const connected = await connectToShim(path11);
    if (connected !== void 0) return connected;
    throw new Error(`it ended with ${child.exitCode ?? child.signalCode ?? "no word"}`);
  } catch (error) {
    throw new FleetError("storage_failed", "cannot start the process that runs the commands (the shim)", {
      hint: `See ${logFile}.`,
      cause: error
    });
  } finally {
    closeSync7(logFd);
  }
}
async function tooLate(clock, signal) {
  await sleep(clock, ANSWER_MS, signal);
  throw new Error("it does not answer");
}

// src/node/runner/shim-link.ts
var RETRY_MS = 20;
var ShimLink = class _ShimLink {
  #socket;
  #waiting = /* @__PURE__ */ new Map();
  #listeners = /* @__PURE__ */ new Map();
  #lost = Promise.withResolvers();
  #requests = 0;
  #state;
  /** What the shim knew when the link was made, and has told since, of commands that nobody listens to yet. */
  #states = /* @__PURE__ */ new Map();
  constructor(socket) {
    this.#socket = socket;
    readLines(socket, (value) => this.#take(value));
    socket.on("error", () => {
    });
    socket.on("close", () => this.#break());
  }
  /** @throws FleetError `storage_failed` when there is no shim and none can be started, or the one that is there is not ours. */
  static async open(options) {
    const enough = new AbortController();
    const late = tooLate(options.clock, enough.signal);
    late.catch(() => {
    });
    try {
      for (; ; ) {
        const link = new _ShimLink(await connectToShim(options.socket) ?? await startShim(options));
        if (await link.#greet(late)) return link;
        await sleep(options.clock, RETRY_MS);
      }
    } finally {
      enough.abort();
    }
  }
  /** False if the shim is gone. */
  async #greet(late) {
    try {
      this.#begin(await Promise.race([this.#request({ do: "hello" }), late]));
      return true;
    } catch (error) {
      this.#socket.destroy();
      if (error instanceof FleetError && error.code === "connection_lost") return false;
      throw new FleetError("storage_failed", "the process that runs the commands (the shim) cannot be used", {
        hint: "End the commands of this node and its shim, and start the node again.",
        cause: error
      });
    }
  }
  /** Random; another one is another process, which knows nothing of the commands of this one. */
  get shim() {
    return this.#state?.shim ?? "";
  }
  get pid() {
    return this.#state?.pid ?? 0;
  }
  /** Whether the shim has, or had, a command of this run that nobody here has claimed yet. */
  knows(run) {
    return this.#states.has(run);
  }
  /** All such runs. */
  get unclaimed() {
    return [...this.#states.keys()];
  }
  /** Resolves when the shim is gone although nobody let it go; its commands live on, unfollowed. */
  get lost() {
    return this.#lost.promise;
  }
  /** @throws StartFailure when there is no command; FleetError `connection_lost` when nobody knows. */
  async start(order, listener) {
    this.#listeners.set(order.run, listener);
    return await this.#request({ do: "start", order });
  }
  /** A command that the shim knows from before; undefined if it does not. Events that came in between are in the state. */
  claim(run, listener) {
    const state = this.#states.get(run);
    if (state === void 0) return void 0;
    this.#states.delete(run);
    this.#listeners.set(run, listener);
    return state;
  }
  /** @throws FleetError `connection_lost` */
  async adopt(order, listener) {
    this.#listeners.set(order.run, listener);
    await this.#request({ do: "adopt", order });
  }
  /** The command's output is read no further; the event `end` follows. */
  finish(run) {
    this.#order({ do: "finish", run });
  }
  closeStdin(run) {
    this.#order({ do: "close-stdin", run });
  }
  /** Everything about the run is recorded. */
  forget(run) {
    this.#listeners.delete(run);
    this.#states.delete(run);
    this.#order({ do: "forget", run });
  }
  /** Lets the shim go, which stays as long as there are commands. Resolves when the connection is closed. */
  async close() {
    this.#listeners.clear();
    if (!this.#socket.destroyed) {
      const closed = new Promise((resolve2) => this.#socket.once("close", resolve2));
      await this.#request({ do: "leave" }).catch(() => {
      });
      this.#socket.destroy();
      await closed;
    }
  }
  #begin(state) {
    if (state.protocol !== SHIM_PROTOCOL) throw new Error(`it speaks protocol ${state.protocol}, not ${SHIM_PROTOCOL}`);
    this.#state = state;
    for (const command of state.commands) this.#states.set(command.run, command);
  }
  #order(order) {
    this.#request(order).catch(() => {
    });
  }
  #request(order) {
    this.#requests += 1;
    const id = this.#requests;
    return new Promise((resolve2, reject) => {
      if (this.#socket.destroyed) return reject(lostLink());
      this.#waiting.set(id, { resolve: resolve2, reject });
      writeLine(this.#socket, { id, ...order });
    });
  }
  #take(message) {
    if ("re" in message) {
      const waiting = this.#waiting.get(message.re);
      this.#waiting.delete(message.re);
      if ("failure" in message) waiting?.reject(new StartFailure(message.failure));
      else waiting?.resolve(message.value);
      return;
    }
    const listener = this.#listeners.get(message.run);
    const state = this.#states.get(message.run);
    if (listener !== void 0) listener(message);
    else if (state !== void 0) this.#states.set(message.run, updated(state, message));
  }
  #break() {
    for (const { reject } of this.#waiting.values()) reject(lostLink());
    this.#waiting.clear();
    this.#lost.resolve();
  }
};
function updated(state, event) {
  switch (event.event) {
    case "output":
      return { ...state, logBytes: event.logBytes, spaceBytes: event.spaceBytes };
    case "exit":
      return { ...state, exit: event.exit };
    case "unsafe":
      return state;
    case "end":
      return { ...state, end: event.end };
  }
}
function lostLink() {
  return new FleetError("connection_lost", "the connection to the shim broke");
}

// src/node/runner/spec-digest.ts
import { createHash as createHash4 } from "node:crypto";
function specDigest(spec) {
  const ordered = JSON.stringify(
    spec,
    (_key, value) => typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)) : value
  );
  return createHash4("sha256").update(ordered).digest("hex");
}

// src/node/runner/spool-space.ts
import { unlinkSync as unlinkSync2 } from "node:fs";
var SpoolSpace = class {
  #options;
  #endedBytes = 0;
  constructor(options) {
    this.#options = options;
  }
  /** Reads from the journal how much there is. */
  start() {
    this.#endedBytes = this.#options.journal.endedLogBytes();
  }
  /** A run has ended, and this is the length of its log. */
  add(logBytes) {
    this.#endedBytes += logBytes;
  }
  /** Removes acknowledged logs, the oldest first, until the rest fits. */
  evict() {
    while (this.#isOver()) {
      const row = this.#options.journal.oldestEvictable();
      if (row === void 0) return;
      this.remove(row.run, row.logBytes);
    }
  }
  /** @throws FleetError `storage_failed` when what the gateway has not stored yet takes all the room. */
  requireRoom() {
    this.evict();
    if (!this.#isOver()) return;
    throw new FleetError("storage_failed", `the spool holds more than ${this.#options.maxBytes} bytes`, {
      hint: "Let the gateway fetch what the node keeps for it, or allow the spool more room."
    });
  }
  /** Removes one log. */
  remove(run, logBytes) {
    try {
      unlinkSync2(this.#options.logPath(run));
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") {
        throw new FleetError("storage_failed", `cannot remove the log of ${run}`, { cause: error });
      }
    }
    this.#options.journal.logRemoved(run);
    this.#endedBytes -= logBytes;
  }
  #isOver() {
    return this.#endedBytes + this.#options.liveBytes() > this.#options.maxBytes;
  }
};

// src/node/runner/runner.ts
var PRUNE_INTERVAL_MS = 36e5;
var RECORD_MS = 1e3;
var Runner = class {
  #options;
  #journal;
  #fifos;
  #space;
  #agents;
  #planHost;
  #active;
  #stdinTaken = /* @__PURE__ */ new WeakSet();
  #stopping = false;
  #closing;
  #prunedAt = 0;
  constructor(options) {
    const { folder, logger, maxSpoolBytes, clock, baseEnv } = options;
    this.#options = options;
    this.#agents = new Agents(options.agents ?? {});
    this.#planHost = createPlanHost(options, this.#agents);
    this.#journal = new Journal(join5(folder, "runs.db"));
    this.#fifos = new FifoPool({ folder: join5(folder, "pipes"), runTool, logger });
    this.#space = new SpoolSpace({
      journal: this.#journal,
      logPath: (run) => this.#logPath(run),
      maxBytes: maxSpoolBytes,
      liveBytes: () => this.#active.spaceBytes
    });
    this.#active = new ActiveRuns({
      ...options,
      journal: this.#journal,
      fifos: this.#fifos,
      processes: openProcessTable(runToolSync),
      agents: this.#agents,
      plan: (spec) => planCommand(spec, this.#planHost),
      logPath: (run) => this.#logPath(run),
      openShim: () => ShimLink.open({ ...options.shim, folder, clock, env: { PATH: baseEnv.PATH } }),
      onEnded: (_run, logBytes) => this.#space.add(logBytes)
    });
  }
  /** Runs that have not ended. */
  get active() {
    return this.#active.size;
  }
  /** Of the process that runs the commands; 0 while there is none. */
  get shimPid() {
    return this.#active.shimPid;
  }
  /** Id of the journal; another one means that an earlier journal, and what it knew of runs, was lost. */
  get journalId() {
    return this.#journal.id;
  }
  /** What keeps the runner from taking runs, in words for the health monitor; empty when all is well. */
  faults() {
    if (this.#active.shimIsGone) return ["the process that runs the commands (the shim) is gone"];
    try {
      this.#space.requireRoom();
      return [];
    } catch (error) {
      return [toFleetError(error).message];
    }
  }
  /**
   * Opens the journal and takes up the runs of a former process: what was surely not spawned is started, what still lives is followed
   * to its end, of the rest nothing is run again.
   * @throws FleetError `already_running`, `storage_failed`
   */
  async start() {
    const { folder } = this.#options;
    try {
      for (const path11 of [folder, join5(folder, "pipes"), join5(folder, "logs")]) {
        await mkdir(path11, { recursive: true, mode: 448 });
        await chmod(path11, 448);
      }
    } catch (error) {
      throw new FleetError("storage_failed", `cannot make the folder ${folder}`, { cause: error });
    }
    this.#journal.open();
    try {
      this.#space.start();
      await this.#active.open();
      this.#prune();
    } catch (error) {
      this.#fifos.close();
      this.#journal.close();
      throw error;
    }
  }
  /**
   * Takes a run: it is in the journal, on the disk, when this returns, and starts afterwards. A repetition answers the present status
   * and starts nothing.
   * @throws FleetError `conflict` when the same run was handed over with another spec, `storage_failed` when the disk or the spool is
   * full, `bad_request` when the id is none, `no_such_agent`, `not_running`
   */
  accept(spec) {
    const context = this.#active.requireContext();
    if (!runIdSchema.safeParse(spec.run).success) throw new FleetError("bad_request", `not a run id: ${spec.run}`);
    const digest = specDigest(spec);
    const known = this.#journal.find(spec.run);
    if (known !== void 0) {
      if (known.specDigest !== digest)
        throw new FleetError("conflict", `${spec.run} was handed over before with another spec`);
      return this.#statusOf(known);
    }
    if (this.#stopping) throw new FleetError("not_running", "the node is going down");
    const complete = this.#agents.complete(spec);
    this.#space.requireRoom();
    const pipes = complete.kind === "shell" ? this.#fifos.takeNow(complete.stdin) : void 0;
    const place = pipes && { pipes, shim: context.shim.shim };
    try {
      this.#journal.accept(complete, digest, place);
    } catch (error) {
      if (pipes !== void 0) this.#fifos.release(pipes, true);
      throw error;
    }
    const live = new LiveRun(complete, context, { place });
    this.#active.add(live);
    return live.status;
  }
  /** Undefined if the run is not known here (any more). */
  status(run) {
    this.#active.requireContext();
    const row = this.#journal.find(run);
    return row && this.#statusOf(row);
  }
  /** Runs that are not acknowledged yet, ended or not. */
  list() {
    this.#active.requireContext();
    return this.#journal.unacknowledged().map((row) => this.#statusOf(row));
  }
  /**
   * The log's bytes from `from` on, in pieces of at most 256 KiB; follows a run that has not ended, and ends after its end frame.
   * @throws FleetError at once: `not_found` when there is no such run or its log was removed, `bad_request` when `from` is past the
   * end; while iterating: `connection_lost` when the runner closes first, and the signal's reason.
   */
  readLog(run, from, signal) {
    this.#active.requireContext();
    const row = this.#journal.find(run);
    if (row === void 0 || !row.hasLog) throw new FleetError("not_found", `no log of ${run} is kept`);
    const log = this.#active.find(run)?.log ?? finishedLog(row);
    if (!Number.isSafeInteger(from) || from < 0 || from > log.bytes) {
      throw new FleetError(
        "bad_request",
        `${from} is not a position in the log of ${run}, which has ${log.bytes} bytes`
      );
    }
    return followLog(this.#logPath(run), from, log, signal);
  }
  /**
   * Ends a run's whole process group, or keeps the run from starting. Resolves when it has ended, for whatever cause came first.
   * @throws FleetError `not_found`; `connection_lost` when the runner closes first
   */
  async cancel(run) {
    this.#active.requireContext();
    const live = this.#active.find(run);
    if (live !== void 0) {
      live.kill("canceled");
      return await live.ended;
    }
    const status = this.status(run);
    if (status === void 0) throw new FleetError("not_found", `no run ${run}`);
    return status;
  }
  /**
   * The one way into the stdin of a run whose spec wants it. Ending it ends the command's stdin; destroying it before that cancels
   * the run, since a part must not pass for the whole. What the command does not read any more is taken and dropped.
   * @throws FleetError `not_found`, `bad_request` when the spec has no stdin, `conflict` when it was taken before or the run is over
   */
  stdin(run) {
    this.#active.requireContext();
    const live = this.#active.find(run);
    if (live === void 0) {
      if (this.#journal.find(run) === void 0) throw new FleetError("not_found", `no run ${run}`);
      throw new FleetError("conflict", `${run} has ended`);
    }
    if (!live.spec.stdin) throw new FleetError("bad_request", `${run} takes no stdin`);
    if (live.stdin === void 0 || this.#stdinTaken.has(live)) {
      throw new FleetError("conflict", `the stdin of ${run} was taken before`);
    }
    this.#stdinTaken.add(live);
    return live.stdin;
  }
  /**
   * The gateway has stored everything of this run: its log may go when room is needed. The run itself is recognised for `retentionMs`.
   * @throws FleetError `not_found`, `conflict` when it has not ended
   */
  acknowledge(run) {
    this.#active.requireContext();
    const row = this.#journal.find(run);
    if (row === void 0) throw new FleetError("not_found", `no run ${run}`);
    if (row.phase !== "ended") throw new FleetError("conflict", `${run} has not ended`);
    this.#journal.acknowledge(run, this.#options.now());
    this.#space.evict();
    this.#prune();
  }
  /** Cancels all runs and accepts no more. Resolves when all are dead, and recorded unless the disk refuses. */
  async stopAll() {
    const { clock } = this.#active.requireContext();
    this.#stopping = true;
    const live = this.#active.all;
    for (const run of live) run.kill("canceled");
    const recorded = Promise.allSettled(live.map((run) => run.ended));
    await Promise.all(live.map((run) => run.over));
    const waited = new AbortController();
    await Promise.race([recorded, sleep(clock, RECORD_MS, waited.signal)]);
    waited.abort();
  }
  /**
   * Lets go: commands live on for the next process to take up. Only those whose stdin is not complete are canceled, because the end
   * of this process would end their stdin in the middle.
   */
  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }
  async #close() {
    await this.#active.close();
    this.#fifos.close();
    this.#journal.close();
  }
  #statusOf(row) {
    const live = this.#active.find(row.run);
    if (live !== void 0) return live.status;
    return { run: row.run, state: row.outcome?.state ?? "delivered", outcome: row.outcome, logBytes: row.logBytes };
  }
  #prune() {
    const now = this.#options.now();
    if (now - this.#prunedAt < PRUNE_INTERVAL_MS) return;
    this.#prunedAt = now;
    const before = now - this.#options.retentionMs;
    for (const row of this.#journal.withLogAcknowledgedBefore(before)) this.#space.remove(row.run, row.logBytes);
    this.#journal.prune(before);
  }
  #logPath(run) {
    return join5(this.#options.folder, "logs", `${run}.log`);
  }
};
function finishedLog(row) {
  return { bytes: row.logBytes, complete: true, stopped: false, changed: () => Promise.resolve() };
}

// src/shared/ssh/ssh-connection.ts
import { connect } from "node:net";

// src/shared/ssh/algorithms.ts
var SERVER_ALGORITHMS = {
  // The libssh.org name must come first: ssh2 always discards a client's correct guess of the *other* name, and dropbear then hangs.
  kex: ["curve25519-sha256@libssh.org", "curve25519-sha256"],
  serverHostKey: ["ssh-ed25519"],
  // dropbear speaks only chacha20; the client's order wins.
  cipher: ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"],
  // Never used by an AEAD cipher, but the list must not be empty.
  hmac: ["hmac-sha2-256-etm@openssh.com"],
  // Compression before authentication lets a stranger make us inflate bombs.
  compress: ["none"]
};
var CLIENT_ALGORITHMS = {
  ...SERVER_ALGORITHMS,
  cipher: ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"]
};
var SSH_IDENT = "fleet";

// src/shared/ssh/open-channel.ts
function openChannel(connection, start) {
  return new Promise((resolve2, reject) => {
    if (!connection.isOpen) return reject(lost());
    if (!connection.hasRoom) return reject(new FleetError("busy", "all channels of the SSH connection are in use"));
    let settled = false;
    const settle = (act) => {
      if (settled) return;
      settled = true;
      timer.cancel();
      act();
    };
    const { openTimeoutMs } = connection.limits;
    const timer = connection.clock.after(openTimeoutMs, () => settle(() => reject(silent(openTimeoutMs))));
    const onAnswer = (error, raw) => {
      if (error) return settle(() => reject(connection.isOpen ? refused(error) : lost()));
      const channel = connection.adopt(raw, false);
      if (settled) channel.destroy();
      else settle(() => resolve2(channel));
    };
    try {
      start(onAnswer);
    } catch (cause) {
      settle(() => reject(lost(cause)));
    }
  });
}
function lost(cause) {
  return new FleetError("connection_lost", "the SSH connection is down", { cause });
}
function silent(openTimeoutMs) {
  return new FleetError("timeout", `no answer to a channel open within ${openTimeoutMs / 1e3} s`);
}
function refused(cause) {
  const facts = { reason: cause.reason };
  return new FleetError("channel_open_failed", "the other side refused the channel", { cause, facts });
}

// src/shared/ssh/client-connection.ts
var ClientConnection = class {
  hostKey;
  localAddress;
  remoteAddress;
  closed;
  #client;
  #guarded;
  #socket;
  #forwards = /* @__PURE__ */ new Map();
  constructor(client, guarded, hostKey) {
    this.#client = client;
    this.#guarded = guarded;
    this.#socket = guarded.internals._sock;
    this.hostKey = hostKey;
    this.localAddress = this.#socket.localAddress ?? "";
    this.remoteAddress = this.#socket.remoteAddress ?? "";
    this.closed = guarded.closed.then(({ reason, error }) => error === void 0 ? { reason } : { reason, error });
    client.on("tcp connection", (details, accept, reject) => this.#onForwarded(details, accept, reject));
    this.#socket.on("data", () => guarded.internals._resetKA?.());
  }
  get bytesIn() {
    return this.#socket.bytesRead;
  }
  get bytesOut() {
    return this.#socket.bytesWritten;
  }
  openDirect(host, port) {
    return openChannel(
      this.#guarded,
      (callback) => this.#client.forwardOut("127.0.0.1", 0, host, port, callback)
    );
  }
  forward(host, port, onChannel) {
    const key = forwardKey(host, port);
    const { promise, resolve: resolve2, reject } = Promise.withResolvers();
    const { openTimeoutMs } = this.#guarded.limits;
    const timer = this.#guarded.clock.after(
      openTimeoutMs,
      () => reject(new FleetError("timeout", `no answer to a forward request within ${openTimeoutMs / 1e3} s`))
    );
    const onAnswer = (error) => {
      if (error === void 0) resolve2();
      else if (!this.#guarded.isOpen) reject(connectionDown(error));
      else reject(new FleetError("forbidden", `the gateway refused the forward ${key}`, { cause: error }));
    };
    this.#forwards.set(key, onChannel);
    try {
      this.#client.forwardIn(host, port, onAnswer);
    } catch (error) {
      reject(connectionDown(error));
    }
    promise.catch(() => this.#forwards.delete(key)).finally(() => timer.cancel());
    return promise;
  }
  close() {
    this.#guarded.close("local_close");
  }
  #onForwarded(details, accept, reject) {
    const onChannel = this.#forwards.get(forwardKey(details.destIP, details.destPort));
    if (onChannel === void 0) reject();
    else onChannel(this.#guarded.adopt(accept(), true));
  }
};
function forwardKey(host, port) {
  return `${host}:${port}`;
}
function connectionDown(cause) {
  return new FleetError("connection_lost", "the SSH connection is down", { cause });
}

// src/shared/ssh/connect-failure.ts
var SYSTEM_ERRORS = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the network",
  ENETDOWN: "the network is down",
  ETIMEDOUT: "the TCP connection timed out",
  ENOTFOUND: "the name is not known to DNS",
  EAI_AGAIN: "DNS does not answer"
};
function connectFailure(attempt) {
  const { host, port, reason, error, refusal } = attempt;
  const gateway = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const facts = { host, port, reason };
  if (refusal !== void 0) return refusal;
  if (reason === "connect_timeout") {
    return new FleetError("timeout", `${gateway}: ${timeoutMessage(attempt)}`, { cause: error, facts });
  }
  if (reason === "aborted") {
    return new FleetError("connection_lost", `${gateway}: connecting was aborted`, { cause: error, facts });
  }
  if (error?.level === "client-authentication") {
    const hint2 = "The gateway accepts every Ed25519 key that signs; is this a fleet gateway?";
    return new FleetError("forbidden", `${gateway}: the gateway refused the key`, { cause: error, facts, hint: hint2 });
  }
  const { message, hint } = attempt.identified ? handshakeMessage(attempt) : strangerMessage(attempt);
  return new FleetError("gateway_unreachable", `${gateway}: ${message}`, { cause: error, facts, hint });
}
function timeoutMessage({ connected, connectTimeoutMs }) {
  const what = connected ? "it accepted the TCP connection, but no SSH handshake" : "no TCP connection";
  return `${what} within ${connectTimeoutMs / 1e3} s`;
}
function handshakeMessage({ error }) {
  const message = error === void 0 ? "the connection was closed during the SSH handshake" : stripControl(error.message);
  return { message, hint: "It speaks SSH, but the handshake failed; is this a fleet gateway?" };
}
function strangerMessage({ error, connected, firstBytes }) {
  const code = systemErrorCode(error);
  if (!connected && error !== void 0) {
    const message = SYSTEM_ERRORS[code ?? ""] ?? stripControl(error.message);
    return { message, hint: "Check the address, the network and the firewall, and that the gateway runs." };
  }
  if (firstBytes.length > 0) {
    const answer = JSON.stringify(stripControl(firstBytes.toString("latin1")));
    return {
      message: `it does not speak SSH; it said ${answer}`,
      hint: "Check the port: another server answers there."
    };
  }
  return {
    message: code === "ECONNRESET" ? "it reset the connection at once" : "it closed the connection without a word",
    hint: "The gateway may be overloaded; or another server listens there."
  };
}

// src/shared/ssh/ssh2-internals.ts
var SSH2_VERSION = "1.17.0";
function internalsOf(connection) {
  const internals = connection;
  const complete = typeof internals._protocol?._handlers?.CHANNEL_DATA === "function" && typeof internals._protocol.rekey === "function" && typeof internals._protocol._onWrite === "function" && typeof internals._protocol._onPayload === "function" && typeof internals._chanMgr?._count === "number" && typeof internals._sock?.destroy === "function";
  if (!complete) throw new FleetError("internal", `the installed ssh2 is not version ${SSH2_VERSION}`);
  return internals;
}
function openChannelOf(connection, id) {
  const entry = connection._chanMgr.get(id);
  if (typeof entry !== "object" || entry === null || !("incoming" in entry)) return void 0;
  return entry;
}

// src/shared/ssh/guard-handlers.ts
var OPEN_FAILURE = {
  administrativelyProhibited: 1,
  connectFailed: 2,
  unknownChannelType: 3,
  resourceShortage: 4
};
var MAX_WINDOW = 4294967295;
function guardHandlers(connection, rules) {
  const handlers = connection._protocol._handlers;
  guardChannelOpen(connection, handlers, rules);
  guardChannelData(connection, handlers, rules);
  guardGlobalRequests(handlers, rules);
}
function disarmHandlers(connection) {
  const handlers = connection._protocol._handlers;
  for (const name of Object.keys(handlers)) Object.assign(handlers, { [name]: () => {
  } });
}
function guardChannelOpen(connection, handlers, rules) {
  const { limits, kill } = rules;
  const { CHANNEL_OPEN: CHANNEL_OPEN2, CHANNEL_OPEN_CONFIRMATION } = handlers;
  handlers.CHANNEL_OPEN = (protocol, info) => {
    if (info.packetSize < limits.minPacketBytes) return kill("packet_size");
    if (connection._chanMgr._count >= rules.maxChannels()) {
      return protocol.channelOpenFail(info.sender, OPEN_FAILURE.resourceShortage, "too many channels");
    }
    const { destIP: host = "", destPort: port = 0 } = info.data;
    const refusal = rules.refuse(info.type, { host, port });
    if (refusal !== void 0) return protocol.channelOpenFail(info.sender, refusal, "");
    info.packetSize = Math.min(info.packetSize, limits.maxPacketBytes);
    CHANNEL_OPEN2(protocol, info);
  };
  handlers.CHANNEL_OPEN_CONFIRMATION = (protocol, info) => {
    if (info.packetSize < limits.minPacketBytes) return kill("packet_size");
    info.packetSize = Math.min(info.packetSize, limits.maxPacketBytes);
    CHANNEL_OPEN_CONFIRMATION(protocol, info);
  };
}
function guardChannelData(connection, handlers, { kill }) {
  const { CHANNEL_DATA, CHANNEL_WINDOW_ADJUST } = handlers;
  handlers.CHANNEL_DATA = (protocol, recipient, data) => {
    const channel = openChannelOf(connection, recipient);
    if (channel === void 0) return;
    if (data.length > channel.incoming.window) return kill("window_overrun");
    if (channel.incoming.state !== "open") return kill("data_after_eof");
    if (channel.outgoing.state === "closing") return;
    CHANNEL_DATA(protocol, recipient, data);
  };
  handlers.CHANNEL_EXTENDED_DATA = (_protocol, recipient) => {
    if (openChannelOf(connection, recipient) !== void 0) kill("extended_data");
  };
  handlers.CHANNEL_WINDOW_ADJUST = (protocol, recipient, bytes) => {
    const channel = openChannelOf(connection, recipient);
    if (channel !== void 0 && channel.outgoing.window + bytes > MAX_WINDOW) return kill("window_overflow");
    CHANNEL_WINDOW_ADJUST(protocol, recipient, bytes);
  };
}
function guardGlobalRequests(handlers, { role }) {
  if (role === "server") return;
  handlers.GLOBAL_REQUEST = (protocol, _name, wantReply) => {
    if (wantReply) protocol.requestFailure();
  };
}

// src/shared/ssh/channel-socket.ts
import { Duplex } from "node:stream";

// src/shared/ssh/idle-timer.ts
var IdleTimer = class {
  #clock;
  #onIdle;
  #limitMs = 0;
  #lastActivity = 0;
  #timer;
  constructor(clock, onIdle) {
    this.#clock = clock;
    this.#onIdle = onIdle;
  }
  /** Calls `onIdle` after `limitMs` without a {@link touch}; 0 turns it off. */
  start(limitMs) {
    this.stop();
    this.#limitMs = limitMs;
    this.touch();
  }
  /** Says that something happened. */
  touch() {
    if (this.#limitMs === 0) return;
    this.#lastActivity = this.#clock.monotonic();
    if (this.#timer === void 0) this.#arm(this.#limitMs);
  }
  stop() {
    this.#limitMs = 0;
    this.#timer?.cancel();
    this.#timer = void 0;
  }
  #arm(delayMs) {
    this.#timer = this.#clock.after(delayMs, () => this.#check(), { unref: true });
  }
  #check() {
    this.#timer = void 0;
    const leftMs = this.#limitMs - (this.#clock.monotonic() - this.#lastActivity);
    if (leftMs > 1) this.#arm(leftMs);
    else this.#onIdle();
  }
};

// src/shared/ssh/channel-socket.ts
var SLICE_BYTES = 128 * 1024;
var HIGH_WATER_BYTES = 64 * 1024;
var ChannelSocket = class extends Duplex {
  /** As in net.Socket: ms, undefined when never set. */
  timeout;
  #raw;
  #gate;
  #idle;
  /** The write that ssh2 or the gate holds back. */
  #pending;
  constructor(raw, { gate, clock, allowHalfOpen }) {
    super({ allowHalfOpen, highWaterMark: HIGH_WATER_BYTES });
    this.#raw = raw;
    this.#gate = gate;
    this.#idle = new IdleTimer(clock, () => this.emit("timeout"));
    this.on("error", () => {
    });
    raw.on("error", (error) => this.destroy(error));
    raw.stderr.on("error", (error) => this.destroy(error));
    raw.on("data", (chunk) => this.#receive(chunk));
    raw.on("end", () => void (this.destroyed || this.push(null)));
    raw.on("close", () => this.#onPeerClosed());
  }
  /** The connection under this channel is gone. What the peer had finished sending can still be read; anything else fails. */
  connectionLost() {
    if (this.#raw.incoming.state !== "closed") {
      this.destroy(new FleetError("connection_lost", "the SSH connection ended"));
    }
  }
  /** As in net.Socket: emits 'timeout' after `timeoutMs` without traffic, and leaves it to the listener to act. 0 turns it off. */
  setTimeout(timeoutMs, callback) {
    this.timeout = timeoutMs;
    this.#idle.start(timeoutMs);
    if (callback !== void 0 && timeoutMs > 0) this.once("timeout", callback);
    else if (callback !== void 0) this.removeListener("timeout", callback);
    return this;
  }
  /** As in net.Socket: destroys once all that was written is on its way. */
  destroySoon() {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }
  // The TCP connection has these for all its channels; node:http calls them on every socket.
  setNoDelay() {
    return this;
  }
  setKeepAlive() {
    return this;
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
  _read() {
    this.#raw.resume();
  }
  _write(chunk, _encoding, callback) {
    this.#pending = callback;
    this.#transmit(chunk, callback);
  }
  /** Joins what node:http wrote in pieces (header, body) into one packet. */
  _writev(chunks, callback) {
    this.#pending = callback;
    this.#transmit(Buffer.concat(chunks.map(({ chunk }) => chunk)), callback);
  }
  _final(callback) {
    this.#raw.eof();
    callback();
  }
  _destroy(error, callback) {
    this.#idle.stop();
    this.#raw.pause();
    this.#raw.close();
    callback(error);
    this.#finishWrite(this.#pending, error ?? peerClosed());
  }
  #receive(chunk) {
    if (this.destroyed) return;
    this.#idle.touch();
    if (!this.push(chunk)) this.#raw.pause();
  }
  #onPeerClosed() {
    if (this.#pending !== void 0) this.#finishWrite(this.#pending, peerClosed());
    else if (this.readableEnded) this.destroy();
    else this.once("end", () => this.destroy());
  }
  #transmit(data, callback) {
    if (this.#pending !== callback) return;
    if (this.#raw.outgoing.state !== "open") {
      this.#finishWrite(callback, peerClosed());
      return;
    }
    if (!this.#gate.isOpen) {
      this.#gate.wait(() => this.#transmit(data, callback));
      return;
    }
    this.#idle.touch();
    this.#raw.write(data.subarray(0, SLICE_BYTES), (error) => {
      if (error || data.length <= SLICE_BYTES) this.#finishWrite(callback, error);
      else this.#transmit(data.subarray(SLICE_BYTES), callback);
    });
  }
  /** Completes the pending write, once: its channel may close before ssh2 calls back. */
  #finishWrite(callback, error) {
    if (callback === void 0 || this.#pending !== callback) return;
    this.#pending = void 0;
    callback(error);
  }
};
function peerClosed() {
  return new FleetError("connection_lost", "the other side closed the channel");
}

// src/shared/ssh/coalesce-writes.ts
function coalesceWrites({ _protocol, _sock }) {
  const write = _protocol._onWrite;
  let isCorked = false;
  _protocol._onWrite = (data) => {
    if (!isCorked) {
      isCorked = true;
      _sock.cork();
      process.nextTick(() => {
        isCorked = false;
        _sock.uncork();
      });
    }
    write(data);
  };
}

// src/shared/ssh/filter-messages.ts
var DISCONNECT = 1;
var IGNORE = 2;
var DEBUG = 4;
var SERVICE_REQUEST = 5;
var SERVICE_ACCEPT = 6;
var EXT_INFO = 7;
var KEXINIT = 20;
var USERAUTH_REQUEST = 50;
var USERAUTH_FAILURE = 51;
var USERAUTH_BANNER = 53;
var USERAUTH_PK_OK = 60;
var GLOBAL_REQUEST = 80;
var REQUEST_FAILURE = 82;
var CHANNEL_OPEN = 90;
var CHANNEL_FAILURE = 100;
var HOST_KEYS = "hostkeys-00@openssh.com";
function filterMessages({ _protocol }, rules) {
  const onPayload = _protocol._onPayload;
  _protocol._onPayload = (payload) => {
    if (rules.isCut()) return void 0;
    const type = payload[0] ?? IGNORE;
    if (!rules.isReady()) {
      return belongsBeforeReady(type, rules.role) ? onPayload(payload) : rules.kill("early_message");
    }
    if (type === GLOBAL_REQUEST) return onPayload(withoutHostKeys(payload));
    return belongsAfterReady(type) ? onPayload(payload) : void 0;
  };
}
function belongsBeforeReady(type, role) {
  if (isTransport(type)) return true;
  return role === "server" ? type === SERVICE_REQUEST || type === USERAUTH_REQUEST : type === SERVICE_ACCEPT || isBetween(type, USERAUTH_FAILURE, USERAUTH_BANNER) || type === USERAUTH_PK_OK;
}
function belongsAfterReady(type) {
  const isGlobal = isBetween(type, GLOBAL_REQUEST, REQUEST_FAILURE);
  return isTransport(type) || isGlobal || isBetween(type, CHANNEL_OPEN, CHANNEL_FAILURE);
}
function isTransport(type) {
  return isBetween(type, DISCONNECT, DEBUG) || type === EXT_INFO || type === KEXINIT;
}
function isBetween(type, first, last) {
  return type >= first && type <= last;
}
function withoutHostKeys(payload) {
  const reader = new SshReader(payload.subarray(1));
  const name = reader.string()?.toString("latin1");
  if (name !== HOST_KEYS || reader.bytes(1) === void 0) return payload;
  return payload.subarray(0, payload.length - reader.remaining);
}

// src/shared/ssh/rekey-policy.ts
var RekeyPolicy = class {
  #options;
  #handshakes = 0;
  #startedByUs = false;
  /** Monotonic ms when the running exchange was first seen. */
  #runningSince;
  #bytesAtExchange = 0;
  #tokens;
  #tokensAt = 0;
  #timer;
  constructor(options) {
    this.#options = options;
    this.#tokens = options.limits.rekeyBurst;
  }
  /** To be called after each finished key exchange, the first included. */
  onHandshake() {
    this.#handshakes += 1;
    this.#runningSince = void 0;
    this.#bytesAtExchange = this.#bytes;
    if (this.#handshakes === 1) this.#tokensAt = this.#options.clock.monotonic();
    else if (!this.#startedByUs) this.#charge();
    this.#startedByUs = false;
    this.#arm();
  }
  /** To be called when bytes have arrived. */
  onData() {
    if (this.#handshakes === 0) return;
    if (this.#options.connection._protocol._kexinit !== void 0) this.#watchRunning();
    else if (this.#bytes - this.#bytesAtExchange >= this.#options.limits.rekeyBytes) this.#rekey();
  }
  stop() {
    this.#timer?.cancel();
    this.#timer = void 0;
  }
  get #bytes() {
    const { bytesRead, bytesWritten } = this.#options.connection._sock;
    return bytesRead + bytesWritten;
  }
  #arm() {
    const { clock, limits, random } = this.#options;
    this.#timer?.cancel();
    const delayMs = limits.rekeyIntervalMs * (0.9 + 0.2 * random());
    this.#timer = clock.after(delayMs, () => this.#rekey(), { unref: true });
  }
  #rekey() {
    const { _protocol } = this.#options.connection;
    if (_protocol._kexinit !== void 0) return;
    this.#startedByUs = true;
    _protocol.rekey();
  }
  /** A token bucket: one exchange of the peer's making takes one token. */
  #charge() {
    const { clock, limits, kill } = this.#options;
    const now = clock.monotonic();
    const refill = (now - this.#tokensAt) / 1e3 * limits.rekeysPerSecond;
    this.#tokens = Math.min(limits.rekeyBurst, this.#tokens + refill) - 1;
    this.#tokensAt = now;
    if (this.#tokens < 0) kill("rekey_flood");
  }
  /** A peer that begins an exchange and then drips bytes would hold all channels up; one that is silent dies of the keepalive. */
  #watchRunning() {
    const { clock, limits, kill } = this.#options;
    const now = clock.monotonic();
    this.#runningSince ??= now;
    if (now - this.#runningSince > limits.rekeyTimeoutMs) kill("rekey_timeout");
  }
};

// src/shared/ssh/transmit-gate.ts
var TransmitGate = class {
  #connection;
  #highWaterBytes;
  #waiting = [];
  constructor(connection, highWaterBytes) {
    this.#connection = connection;
    this.#highWaterBytes = highWaterBytes;
  }
  /** Whether a channel may write now: the socket has room, and no key exchange makes ssh2 queue packets without a bound. */
  get isOpen() {
    const { _protocol, _sock } = this.#connection;
    return _protocol._kexinit === void 0 && _sock.writableLength <= this.#highWaterBytes;
  }
  /** Calls `resume` once the gate has opened. First come, first served; `resume` writes a bounded piece and, for more, queues again. */
  wait(resume) {
    this.#waiting.push(resume);
  }
  /** To be called when the socket has drained and when a key exchange is over. */
  wake() {
    while (this.isOpen) {
      const resume = this.#waiting.shift();
      if (resume === void 0) return;
      resume();
    }
  }
  /** Forgets those who wait, for the end of the connection. */
  clear() {
    this.#waiting = [];
  }
};

// src/shared/ssh/harden-connection.ts
function hardenConnection(connection, options) {
  const guarded = new GuardedConnection(internalsOf(connection), options);
  guarded.attach();
  return guarded;
}
var GuardedConnection = class {
  internals;
  limits;
  clock;
  /** Resolves, never rejects, when the socket is closed. */
  closed;
  #options;
  #gate;
  #rekey;
  #channels = /* @__PURE__ */ new Set();
  #resolveClosed;
  #reason;
  #killed = false;
  #isCut = false;
  #error;
  #destroyTimer;
  #ended = false;
  constructor(internals, options) {
    const { promise, resolve: resolve2 } = Promise.withResolvers();
    this.internals = internals;
    this.limits = options.limits;
    this.clock = options.clock;
    this.closed = promise;
    this.#resolveClosed = resolve2;
    this.#options = options;
    this.#gate = new TransmitGate(internals, options.limits.transmitHighWaterBytes);
    this.#rekey = new RekeyPolicy({
      connection: internals,
      limits: options.limits,
      clock: options.clock,
      random: options.random,
      kill: (reason) => this.kill(reason)
    });
  }
  /** Installs all checks; {@link hardenConnection} calls it. */
  attach() {
    const { internals } = this;
    coalesceWrites(internals);
    filterMessages(internals, {
      ...this.#options,
      isCut: () => this.#isCut,
      kill: (violation) => this.kill(violation)
    });
    guardHandlers(internals, { ...this.#options, kill: (violation) => this.kill(violation) });
    internals.on("error", (error) => this.#onError(error));
    internals.on("handshake", () => {
      this.#rekey.onHandshake();
      this.#gate.wake();
    });
    internals.on("end", () => this.#destroyLater());
    internals.on("close", () => this.#onClose());
    internals._sock.on("data", () => this.#onData());
    internals._sock.on("drain", () => this.#gate.wake());
  }
  /** Whether a message sent now has a chance to arrive. */
  get isOpen() {
    const { _sock } = this.internals;
    return !this.#ended && this.#reason === void 0 && !_sock.destroyed && _sock.writable;
  }
  /** Channels in both directions, with those that wait for an answer. */
  get channelCount() {
    return this.internals._chanMgr._count;
  }
  /** Whether one more channel fits. */
  get hasRoom() {
    return this.channelCount < this.#options.maxChannels();
  }
  /** Gives ssh2's channel the life cycle of a socket. `allowHalfOpen` as in {@link ChannelSocket}. */
  adopt(raw, allowHalfOpen) {
    const socket = new ChannelSocket(raw, { gate: this.#gate, clock: this.clock, allowHalfOpen });
    this.#channels.add(socket);
    socket.once("close", () => this.#channels.delete(socket));
    return socket;
  }
  /** Says goodbye, and destroys the socket at the latest after `closeGraceMs`. Idempotent: the first reason stays. */
  close(reason) {
    if (this.#ended || this.#reason !== void 0) return;
    this.#reason = reason;
    this.internals.end();
    this.#destroyLater();
  }
  /** Cuts the connection at once because of what the peer did. */
  kill(reason) {
    if (this.#reason === void 0) {
      this.#killed = true;
      this.#options.logger.warn({ reason }, "ssh connection cut");
    }
    this.destroy(reason);
  }
  /** Ends the connection at once, with no blame. */
  destroy(reason) {
    this.#reason ??= reason;
    this.#isCut = true;
    disarmHandlers(this.internals);
    this.internals._sock.destroy();
  }
  #onData() {
    const { _protocol, _sock } = this.internals;
    const { transmitKillBytes, maxQueuedPackets, maxUnauthenticatedBytes } = this.limits;
    const queued = _protocol._queue?.length ?? 0;
    if (_sock.writableLength > transmitKillBytes || queued > maxQueuedPackets) this.kill("unread_replies");
    else if (_sock.bytesRead > maxUnauthenticatedBytes && this.#options.isStranger()) this.kill("stranger_flood");
    else this.#rekey.onData();
  }
  #onError(error) {
    this.#error ??= error;
    this.#options.logger.debug({ err: error, level: error.level }, "ssh connection error");
    if (error.level === "client-timeout") this.kill("keepalive_timeout");
    else this.#destroyLater();
  }
  #destroyLater() {
    this.#destroyTimer ??= this.clock.after(this.limits.closeGraceMs, () => this.internals._sock.destroy(), {
      unref: true
    });
  }
  #onClose() {
    if (this.#ended) return;
    this.#ended = true;
    this.#destroyTimer?.cancel();
    this.#rekey.stop();
    this.#gate.clear();
    for (const channel of this.#channels) channel.connectionLost();
    const end2 = { reason: this.#reason ?? reasonOf(this.#error), killed: this.#killed };
    if (this.#error !== void 0) end2.error = this.#error;
    this.#resolveClosed(end2);
  }
};
function reasonOf(error) {
  if (error === void 0) return "remote_closed";
  return error.level === "socket" || error.level === "client-socket" ? "socket_error" : "protocol_error";
}

// src/shared/ssh/host-key-check.ts
var HostKeyCheck = class {
  #verify;
  /** What the caller threw. */
  refusal;
  #accepted;
  constructor(verify) {
    this.#verify = verify;
  }
  get accepted() {
    if (this.#accepted === void 0) throw new FleetError("internal", "an SSH connection without a verified host key");
    return this.#accepted;
  }
  verify(blob) {
    if (this.#accepted !== void 0) return this.#accepted.equals(blob);
    try {
      const copy = Buffer.from(blob);
      this.#verify(copy);
      this.#accepted = copy;
      return true;
    } catch (error) {
      this.refusal = error;
      return false;
    }
  }
};

// src/shared/ssh/native-ciphers.ts
import { readFileSync as readFileSync5 } from "node:fs";
import Module, { createRequire } from "node:module";
var ADDON = "ssh2/lib/protocol/crypto/build/Release/sshcrypto.node";
var DEADLY_SYMBOL = "RemoveEnvironmentCleanupHook";
var require2 = createRequire(import.meta.url);
var file = findAddon();
if (file !== void 0 && readFileSync5(file).includes(DEADLY_SYMBOL)) {
  const blocked = new Module(file);
  blocked.loaded = true;
  blocked.exports = void 0;
  require2.cache[file] = blocked;
}
function findAddon() {
  try {
    return require2.resolve(ADDON);
  } catch {
    return void 0;
  }
}

// src/shared/ssh/ssh2.ts
import ssh2 from "ssh2";
var { Client, Server, utils } = ssh2;

// src/shared/ssh/ssh-connection.ts
var CONNECT_TIMEOUT_MS = 1e4;
var FIRST_BYTES = 48;
async function connectSsh(options) {
  parseOpenSshPrivateKey(options.privateKey);
  const { host, port, clock, logger, signal, connectTimeoutMs = CONNECT_TIMEOUT_MS, random = Math.random } = options;
  const limits = resolveLimits(options.limits);
  const hostKey = new HostKeyCheck(options.verifyHostKey);
  const client = new Client();
  const socket = connect({ host, port, noDelay: true, keepAlive: true });
  const observed = observe(client, socket);
  startHandshake(client, socket, options, limits, hostKey);
  const guarded = hardenConnection(client, {
    role: "client",
    limits,
    clock,
    logger,
    random,
    isReady: () => observed.ready,
    // Its host key has been verified before anything else.
    isStranger: () => false,
    maxChannels: () => limits.maxChannelsFromGateway,
    refuse: (type) => type === "forwarded-tcpip" ? void 0 : OPEN_FAILURE.administrativelyProhibited
  });
  client.once("error", () => observed.ready || guarded.destroy("connect_failed"));
  const timer = clock.after(connectTimeoutMs, () => guarded.destroy("connect_timeout"));
  const onAbort = () => observed.ready ? guarded.close("aborted") : guarded.destroy("aborted");
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const closed = guarded.closed.finally(() => signal?.removeEventListener("abort", onAbort));
  const end2 = await Promise.race([closed, observed.whenReady]);
  timer.cancel();
  if (end2 === void 0) return new ClientConnection(client, guarded, hostKey.accepted);
  const identified = guarded.internals._remoteVer !== void 0;
  const { reason, error } = end2;
  throw connectFailure({
    ...observed,
    host,
    port,
    connectTimeoutMs,
    reason,
    error,
    refusal: hostKey.refusal,
    identified
  });
}
function observe(client, socket) {
  const { promise: whenReady, resolve: resolve2 } = Promise.withResolvers();
  const observed = { connected: false, ready: false, firstBytes: Buffer.alloc(0), whenReady };
  socket.once("connect", () => {
    observed.connected = true;
  });
  socket.once("data", (chunk) => {
    observed.firstBytes = chunk.subarray(0, FIRST_BYTES);
  });
  client.once("ready", () => {
    observed.ready = true;
    resolve2(void 0);
  });
  return observed;
}
function startHandshake(client, socket, { user, privateKey, keepaliveIntervalMs, keepaliveCountMax }, limits, hostKey) {
  const method = { type: "publickey", username: user, key: privateKey };
  client.connect({
    sock: socket,
    ident: SSH_IDENT,
    algorithms: CLIENT_ALGORITHMS,
    // A given list skips the method `none`, which every server would count.
    authHandler: [method],
    username: user,
    // Without a verifier ssh2 accepts every key.
    hostVerifier: (blob) => hostKey.verify(blob),
    keepaliveInterval: keepaliveIntervalMs ?? limits.keepaliveIntervalMs,
    keepaliveCountMax: keepaliveCountMax ?? limits.keepaliveCountMax,
    // Our own deadline covers DNS and TCP as well.
    readyTimeout: 0
  });
}

// src/protocol/key-rotation.ts
import { z as z11 } from "zod";

// src/protocol/node-messages.ts
import { z as z10 } from "zod";

// src/protocol/roles.ts
var ROLES = ["node", "viewer", "operator", "admin"];

// src/protocol/node-messages.ts
var bytesOf = (length) => z10.string().max(200).regex(/^[A-Za-z0-9_-]*$/, "not base64url").refine((text) => Buffer.from(text, "base64url").length === length, `not ${length} bytes`);
var PUBLIC_KEY_BYTES = 32;
var SIGNATURE_BYTES = 64;
var HMAC_BYTES = 32;
var publicKeySchema = bytesOf(PUBLIC_KEY_BYTES);
var signatureSchema = bytesOf(SIGNATURE_BYTES);
var pairChallengeRequest = z10.object({
  publicKey: bytesOf(PUBLIC_KEY_BYTES),
  nonce: bytesOf(NONCE_BYTES),
  /** Id of the invite; absent for a renewal and for a node that waits for approval. */
  invite: z10.string().max(16).optional(),
  protocol: z10.number().int()
});
var pairChallengeAnswer = z10.object({
  challenge: z10.string(),
  nonce: bytesOf(NONCE_BYTES),
  /** The gateway's clock, ms. */
  time: z10.number().int(),
  /** HMAC of the gateway; only with an invite. */
  proof: bytesOf(HMAC_BYTES).optional()
});
var nodeFactsSchema = z10.object({
  hostname: z10.string().max(255),
  os: z10.string().max(64),
  osRelease: z10.string().max(255),
  arch: z10.string().max(64),
  agentVersion: z10.string().max(64),
  capabilities: z10.array(z10.string().max(64)).max(256),
  /** Hash of the id that the system has given this machine (machine-id(5)); only to tell people which machine it is. */
  machineId: z10.string().max(64).optional()
});
var pairVerifyRequest = z10.object({
  challenge: z10.string().max(64),
  opening: bytesOf(NONCE_BYTES),
  signature: bytesOf(SIGNATURE_BYTES),
  proof: bytesOf(HMAC_BYTES).optional(),
  /** The name that the machine would like; the gateway may give another. */
  name: nodeNameSchema,
  /** Whether the person asked for exactly that name. */
  nameRequired: z10.boolean(),
  labels: labelsSchema,
  facts: nodeFactsSchema
});
var signingKeysSchema = z10.array(bytesOf(PUBLIC_KEY_BYTES)).min(1).max(100);
var pairVerifyAnswer = z10.discriminatedUnion("status", [
  z10.object({
    status: z10.literal("paired"),
    id: z10.string(),
    name: z10.string(),
    role: z10.enum(ROLES),
    token: z10.string(),
    /** End of the token on the gateway's clock, ms. */
    expiresAt: z10.number(),
    time: z10.number(),
    signingKeys: signingKeysSchema
  }),
  z10.object({ status: z10.literal("pending"), code: z10.string(), retryAfterMs: z10.number() })
]);
var EPOCH_MAX_LENGTH = 64;
var nodeHelloRequest = z10.object({
  facts: nodeFactsSchema,
  labels: labelsSchema.optional(),
  /** Id of the node's run journal; changes only when the journal is lost. */
  journal: z10.string().min(1).max(64),
  /** What the answer to the hello before said; absent when there was none. */
  epoch: z10.string().min(1).max(EPOCH_MAX_LENGTH).optional(),
  protocol: z10.number().int()
});
var nodeHelloAnswer = z10.object({
  id: z10.string(),
  name: z10.string(),
  time: z10.number(),
  heartbeatIntervalMs: z10.number().int().positive(),
  /** To be on the node's disk before its first heartbeat, and presented by its next hello. */
  epoch: z10.string().min(1).max(EPOCH_MAX_LENGTH).optional(),
  /** Whether another machine seems to use the same key. */
  isSuspected: z10.boolean().optional(),
  signingKeys: signingKeysSchema.optional()
});
var nodeHeartbeatAnswer = z10.object({
  time: z10.number(),
  /** Time that the gateway spent on it, ms: what the round trip is without. */
  tookMs: z10.number(),
  name: z10.string(),
  /** Only when they have changed. */
  signingKeys: signingKeysSchema.optional()
});

// src/protocol/key-rotation.ts
var PURPOSE2 = "fleet-rotate-v1";
function encodeKeyRotation({ hostKey, nodeId, oldKey, newKey }) {
  return lengthPrefixed([Buffer.from(PURPOSE2), hostKey, Buffer.from(nodeId), oldKey, newKey]);
}
var rotateKeyRequest = z11.object({
  publicKey: publicKeySchema,
  /** Of the statement, by the old key and by the new one. */
  oldSignature: signatureSchema,
  newSignature: signatureSchema
});
var rotateKeyAnswer = z11.object({ time: z11.number() });

// src/shared/http/request.ts
import http3 from "node:http";
var DEFAULT_ANSWER_DEADLINE_MS = 15e3;
var BODY_SILENCE_MS = 15e3;
var MAX_ANSWER_BYTES = 256 * 1024 * 1024;
function openRequest(options) {
  const body = options.bytes ?? (options.body === void 0 ? void 0 : Buffer.from(JSON.stringify(options.body)));
  const headers = { ...options.headers };
  if (body !== void 0) {
    headers["content-type"] ??= "application/json";
    headers["content-length"] = body.length;
  }
  return new Promise((resolve2, reject) => {
    const deadlineMs = options.answerDeadlineMs ?? DEFAULT_ANSWER_DEADLINE_MS;
    const request = http3.request({
      method: options.method,
      path: options.path,
      headers,
      host: "fleet",
      ...options.agent === void 0 ? {} : { agent: options.agent },
      ...options.socketPath === void 0 ? {} : { socketPath: options.socketPath },
      ...options.signal === void 0 ? {} : { signal: options.signal }
    });
    const fail = (error) => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
      reject(connectionError(error));
    };
    const abort = () => fail(new FleetError("connection_lost", "the request was aborted"));
    const timer = setTimeout(() => {
      const late = new FleetError("timeout", `no answer to ${options.method} ${options.path} within ${deadlineMs} ms`);
      request.destroy(late);
      fail(late);
    }, deadlineMs);
    options.signal?.addEventListener("abort", abort, { once: true });
    if (options.signal?.aborted) abort();
    request.once("response", (response) => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
      const status = response.statusCode ?? 0;
      if (status < 400) return resolve2(response);
      readAll(response).then(
        (bytes) => reject(parseErrorAnswer(status, bytes)),
        (error) => reject(connectionError(error))
      );
    });
    request.on("error", fail);
    if (options.stream !== void 0) options.stream.pipe(request);
    else request.end(body);
  });
}
async function requestJson(options) {
  const response = await openRequest(options);
  let bytes;
  try {
    bytes = await readAll(response);
  } catch (error) {
    throw connectionError(error);
  }
  if (bytes.length === 0) return void 0;
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new FleetError("connection_lost", `the answer to ${options.method} ${options.path} is not JSON`, {
      cause: error
    });
  }
}
async function readAll(stream) {
  const chunks = [];
  let total2 = 0;
  const silence = setTimeout(() => {
    stream.destroy(new FleetError("timeout", `the answer stalled for ${BODY_SILENCE_MS} ms`));
  }, BODY_SILENCE_MS);
  try {
    for await (const chunk of stream) {
      silence.refresh();
      total2 += chunk.length;
      if (total2 > MAX_ANSWER_BYTES)
        throw new FleetError("too_large", `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(silence);
  }
  return Buffer.concat(chunks);
}
function parseErrorAnswer(status, bytes) {
  try {
    const { error } = JSON.parse(bytes.toString("utf8"));
    if (error?.code !== void 0 && Object.hasOwn(ERROR_CODES, error.code)) {
      return new FleetError(error.code, error.message ?? error.code, { hint: error.hint });
    }
  } catch {
  }
  return new FleetError("internal", `the other side answered with HTTP ${status}`);
}
function connectionError(error) {
  if (error instanceof FleetError) return error;
  if (error instanceof Error && error.cause instanceof FleetError) return error.cause;
  const message = error instanceof Error ? error.message : String(error);
  return new FleetError("connection_lost", `the connection was lost: ${systemErrorCode(error) ?? message}`, {
    cause: error
  });
}

// src/shared/http/stream-agent.ts
import http4 from "node:http";
var MAX_IDLE_CHANNELS = 8;
function createStreamAgent(open4) {
  const agent = new http4.Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE_CHANNELS });
  agent.createConnection = ((_options, callback) => {
    open4().then(
      (stream) => callback(null, stream),
      (error) => callback(error)
    );
    return void 0;
  });
  return agent;
}

// src/node/tunnel/gateway-client.ts
var GatewayClient = class {
  #agent;
  #clock;
  #gatewayClock;
  /** Sent with every request once it is set. */
  token;
  constructor(connection, clock, gatewayClock) {
    this.#agent = createStreamAgent(() => connection.openDirect(GATEWAY_API.host, GATEWAY_API.port));
    this.#clock = clock;
    this.#gatewayClock = gatewayClock;
  }
  pairChallenge(request) {
    return this.#post("/v1/pair/challenge", request, pairChallengeAnswer);
  }
  pairVerify(request) {
    return this.#post("/v1/pair/verify", request, pairVerifyAnswer);
  }
  rotateKey(request) {
    return this.#post("/v1/node/rotate-key", request, rotateKeyAnswer);
  }
  hello(request) {
    return this.#post("/v1/node/hello", request, nodeHelloAnswer);
  }
  /** Resolves with the round trip, ms, without the gateway's own work. */
  async heartbeat(beat) {
    const sentAt = this.#clock.monotonic();
    const answer = await this.#post("/v1/node/heartbeat", beat, nodeHeartbeatAnswer);
    return { ...answer, rttMs: Math.max(0, this.#clock.monotonic() - sentAt - answer.tookMs) };
  }
  close() {
    this.#agent.destroy();
  }
  async #post(path11, body, schema) {
    const sentAt = this.#clock.monotonic();
    const headers = {};
    if (this.token !== void 0) headers.authorization = `Bearer ${this.token}`;
    const answer = await requestJson({ agent: this.#agent, method: "POST", path: path11, body, headers });
    const parsed = schema.safeParse(answer);
    if (!parsed.success) {
      throw new FleetError(
        "protocol_unsupported",
        `the gateway answered ${path11} in a way that this version does not know`,
        {
          hint: "Install the same fleet version on both machines.",
          cause: parsed.error
        }
      );
    }
    const { time } = parsed.data;
    if (time !== void 0) this.#gatewayClock.set(time, this.#clock.monotonic() - sentAt);
    return parsed.data;
  }
};

// src/node/tunnel/pair.ts
import { randomBytes as randomBytes2 } from "node:crypto";
async function pair(options) {
  const { client, identity, hostKey, invite, name, nameRequired, labels, facts } = options;
  const opening = randomBytes2(NONCE_BYTES);
  const nodeNonce = commitmentOf(opening);
  const challenge = await client.pairChallenge({
    publicKey: base64Url(identity.publicKey),
    nonce: base64Url(nodeNonce),
    protocol: PROTOCOL_VERSION,
    ...invite === void 0 ? {} : { invite: invite.id }
  });
  const transcript = encodeTranscript({
    hostKey,
    publicKey: identity.publicKey,
    nodeNonce,
    gatewayNonce: Buffer.from(challenge.nonce, "base64url"),
    gatewayTimeMs: challenge.time,
    inviteId: invite?.id ?? ""
  });
  const ownCode = comparisonCode(transcript, opening);
  if (invite === void 0) options.beforeAsking?.(ownCode);
  else assertGatewayProof(invite, transcript, challenge.proof);
  const answer = await client.pairVerify({
    challenge: challenge.challenge,
    opening: base64Url(opening),
    signature: base64Url(identity.sign(transcript)),
    name,
    nameRequired,
    labels,
    facts,
    ...invite === void 0 ? {} : { proof: base64Url(inviteProof("node", invite.secret, transcript)) }
  });
  if (answer.status === "paired") return answer;
  const { code, retryAfterMs } = answer;
  return { status: "pending", ownCode, gatewayCode: code, retryAfterMs };
}
function assertGatewayProof(invite, transcript, proof) {
  const expected = inviteProof("gateway", invite.secret, transcript);
  if (proof !== void 0 && proofsEqual(expected, Buffer.from(proof, "base64url"))) return;
  throw new FleetError("gateway_not_proven", "this is not the gateway that made the code, or the code is mistyped", {
    hint: "Check --gateway and the code. If both are right, somebody may stand between the machines."
  });
}
function base64Url(bytes) {
  return Buffer.from(bytes).toString("base64url");
}

// src/node/tunnel/pin-host-key.ts
function checkHostKey(shown, address, state) {
  if (state === void 0 || shown.equals(Buffer.from(state.hostKey, "base64"))) return;
  const pinned = formatFingerprint(Buffer.from(state.hostKey, "base64"));
  const facts = { shown: formatFingerprint(shown), pinned };
  if (formatAddress(address) === formatAddress(state.gateway)) {
    throw new FleetError(
      "host_key_changed",
      `${formatAddress(address)} shows the host key ${facts.shown}, but ${pinned} is pinned`,
      {
        hint: "Somebody may be in between. If the gateway was really set up anew, pair again under a new --name.",
        facts
      }
    );
  }
  throw new FleetError(
    "wrong_gateway",
    `this node is paired with the gateway at ${formatAddress(state.gateway)}, not with ${formatAddress(address)}`,
    {
      hint: "One machine can serve two gateways: give the second node another --name.",
      facts
    }
  );
}

// src/node/tunnel/connect-once.ts
var SSH_USER = "node";
async function connectOnce(options) {
  if (options.state.current?.pairing === void 0) {
    const pending = await withConnection(options, (connection2, client2) => pairFirst(options, connection2, client2));
    if (pending !== void 0) return pending;
  }
  const connection = await connect2(options);
  const client = new GatewayClient(connection, options.clock, options.gatewayClock);
  try {
    client.token = options.state.current?.pairing?.token;
    await offerForward(options, connection, client);
    const hello = await sayHello(options, connection, client);
    return { connection, client, hello };
  } catch (error) {
    client.close();
    connection.close();
    throw await explain(error, connection);
  }
}
async function withConnection(options, work) {
  const connection = await connect2(options);
  const client = new GatewayClient(connection, options.clock, options.gatewayClock);
  try {
    return await work(connection, client);
  } finally {
    client.close();
    connection.close();
  }
}
function connect2(options) {
  const { address, identity, state, clock, logger, signal, keepaliveIntervalMs, keepaliveCountMax } = options;
  return connectSsh({
    ...address,
    user: SSH_USER,
    privateKey: identity.privateKey,
    verifyHostKey: (shown) => checkHostKey(shown, address, state.current),
    keepaliveIntervalMs,
    keepaliveCountMax,
    clock,
    logger,
    signal
  });
}
async function pairFirst(options, connection, client) {
  const { state, address } = options;
  const known = { version: 1, gateway: address, hostKey: connection.hostKey.toString("base64") };
  const result = await pair({
    ...options,
    client,
    hostKey: connection.hostKey,
    // Kept before it is sent: the gateway keeps to this code, even if its answer is never heard.
    beforeAsking: (code) => {
      if (state.current?.pendingCode === void 0) state.save({ ...known, pendingCode: code });
    }
  });
  if (result.status === "paired") {
    state.save({ ...known, pairing: toPairing(result) });
    return void 0;
  }
  const { ownCode, gatewayCode, retryAfterMs } = result;
  if (gatewayCode !== ownCode && gatewayCode !== state.current?.pendingCode) {
    throw new FleetError("gateway_not_proven", "the gateway shows another comparison code than this machine", {
      hint: "Somebody may stand between the machines. Use a code from `fleet invite` instead."
    });
  }
  if (state.current?.pendingCode !== gatewayCode) state.save({ ...known, pendingCode: gatewayCode });
  return { pendingCode: gatewayCode, retryAfterMs };
}
async function renewToken(options, connection, client) {
  const { state } = options;
  const result = await pair({ ...options, client, hostKey: connection.hostKey, invite: void 0 });
  if (result.status !== "paired") throw notPaired();
  const present = state.current;
  state.save({ ...present, gateway: options.address, pairing: toPairing(result) });
  client.token = result.token;
}
async function offerForward(options, connection, client) {
  try {
    await connection.forward(NODE_FORWARD.host, NODE_FORWARD.port, options.serveApi);
  } catch (error) {
    if (toFleetError(error).code !== "forbidden") throw error;
    await sayHello(options, connection, client);
    throw error;
  }
}
async function sayHello(options, connection, client) {
  const { facts, labels, journal, state, logger } = options;
  const hello = { facts, labels, journal, epoch: state.current?.epoch, protocol: PROTOCOL_VERSION };
  let answer;
  try {
    answer = await client.hello(hello);
  } catch (error) {
    if (toFleetError(error).code !== "token_invalid") throw error;
    await renewToken(options, connection, client);
    answer = await client.hello(hello);
  }
  if (answer.epoch !== void 0) state.change({ epoch: answer.epoch }, logger);
  if (answer.signingKeys !== void 0) state.changePairing({ signingKeys: answer.signingKeys }, logger);
  if (answer.isSuspected) logger.warn({}, "the gateway has seen another machine with the key of this one");
  return answer;
}
function toPairing(result) {
  const { id, name, token, expiresAt, time, signingKeys } = result;
  return { id, name, token, tokenIssuedAt: time, tokenExpiresAt: expiresAt, signingKeys };
}
async function explain(error, connection) {
  const failure = toFleetError(error);
  if (failure.code !== "connection_lost") return failure;
  const { reason } = await connection.closed;
  return new FleetError("connection_lost", `the gateway ended the connection: ${reason}`, { cause: error });
}
function notPaired() {
  return new FleetError("not_paired", "the gateway does not know this node any more", {
    hint: "Pair it again: fleet node up --gateway HOST --code CODE, with a code from `fleet invite` on the gateway."
  });
}

// src/node/tunnel/heartbeats.ts
var SECOND_BEAT_MS = 2e3;
var Heartbeats = class {
  #options;
  #timer;
  #rttMs = null;
  #ticking = false;
  #closed = false;
  constructor(options) {
    this.#options = options;
  }
  /** Sends the first one; resolves when the gateway has accepted it. */
  async start() {
    await this.#beat();
    this.#arm(Math.min(SECOND_BEAT_MS, this.#options.tunnel.hello.heartbeatIntervalMs));
  }
  /** Sends one now, unless one is under way, to learn whether the tunnel still lives. */
  check() {
    this.#timer?.cancel();
    void this.#tick();
  }
  close() {
    this.#closed = true;
    this.#timer?.cancel();
  }
  #arm(delayMs = this.#options.tunnel.hello.heartbeatIntervalMs) {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(delayMs, () => void this.#tick());
  }
  /** One at a time: by the next heartbeat the gateway knows that the node has stored what the answer to the one before said. */
  async #tick() {
    if (this.#ticking) return;
    this.#ticking = true;
    try {
      await this.#options.beforeBeat();
      await this.#beat();
      this.#arm();
    } catch (error) {
      if (this.#closed) return;
      const { code, message } = toFleetError(error);
      this.#options.logger.warn({ code, reason: message }, "heartbeat failed");
      this.#options.tunnel.connection.close();
    } finally {
      this.#ticking = false;
    }
  }
  async #beat() {
    const { tunnel, sample, onAnswer } = this.#options;
    const answer = await tunnel.client.heartbeat(await sample(this.#rttMs));
    this.#rttMs = answer.rttMs;
    onAnswer(answer);
  }
};

// src/node/tunnel/rotate-key.ts
async function rotateKey({ client, nodeId, hostKey, oldKey, newKey }) {
  const statement = encodeKeyRotation({ hostKey, nodeId, oldKey: oldKey.publicKey, newKey: newKey.publicKey });
  await client.rotateKey({
    publicKey: base64Url2(newKey.publicKey),
    oldSignature: base64Url2(oldKey.sign(statement)),
    newSignature: base64Url2(newKey.sign(statement))
  });
}
function base64Url2(bytes) {
  return Buffer.from(bytes).toString("base64url");
}

// src/node/tunnel/keyed-connector.ts
var REFUSALS = ["conflict", "forbidden", "bad_request", "not_found"];
var KeyedConnector = class {
  #options;
  #rotating;
  constructor(options) {
    this.#options = options;
  }
  /** {@link connectOnce}, and before the first heartbeat a change of key that was asked for, or cut short. */
  async connect(options) {
    const { keys, logger } = this.#options;
    const opened = await this.#connectWithEither(options);
    if ("pendingCode" in opened || keys.next === void 0) return opened;
    try {
      await this.rotate(opened);
    } catch (error) {
      const { code, message } = toFleetError(error);
      if (REFUSALS.includes(code)) {
        logger.error({ code, reason: message }, "the gateway refuses the new key; the old one stays");
        return opened;
      }
      end(opened);
      throw error;
    }
    end(opened);
    return await this.#connectWithEither(options);
  }
  /**
   * Puts the next key in the place of the present one, which this connection is of, and which is worth nothing afterwards.
   * @throws FleetError as the gateway refuses it; the next key is gone then. After any other, the next connect goes on with it.
   */
  async rotate(tunnel) {
    this.#rotating ??= this.#rotate(tunnel).finally(() => {
      this.#rotating = void 0;
    });
    await this.#rotating;
  }
  async #rotate({ client, connection }) {
    const { keys, state, logger } = this.#options;
    const nodeId = state.current?.pairing?.id;
    if (nodeId === void 0 || keys.next === void 0) throw new FleetError("not_paired", "this node is not paired");
    try {
      await rotateKey({ client, nodeId, hostKey: connection.hostKey, oldKey: keys.current, newKey: keys.next });
    } catch (error) {
      if (REFUSALS.includes(toFleetError(error).code)) keys.discard();
      throw error;
    }
    keys.promote();
    logger.info({}, "the key of this node is a new one");
  }
  /** A refused key whose successor the gateway knows: only the answer was lost, or this process was killed before it heard it. */
  async #connectWithEither(options) {
    const { keys } = this.#options;
    try {
      return await connectOnce({ ...options, identity: keys.current });
    } catch (refusal) {
      if (keys.next === void 0 || toFleetError(refusal).code !== "key_revoked") throw refusal;
      const opened = await connectOnce({ ...options, identity: keys.next }).catch((error) => {
        throw toFleetError(error).code === "not_paired" ? refusal : error;
      });
      keys.promote();
      return opened;
    }
  }
};
function end({ client, connection }) {
  client.close();
  connection.close();
}

// src/shared/backoff.ts
var TUNNEL_BACKOFF = { initialMs: 500, maxMs: 3e4 };
var Backoff = class {
  #options;
  #failures = 0;
  constructor(options) {
    this.#options = options;
  }
  /** Milliseconds to wait before the next attempt: equal jitter, between half and all of the capped exponential. */
  next() {
    const { initialMs, maxMs, random } = this.#options;
    const capped = Math.min(maxMs, initialMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return capped / 2 + capped / 2 * random();
  }
  /** Says that the connection was good for long enough; the next failure starts small again. */
  reset() {
    this.#failures = 0;
  }
};

// src/node/tunnel/tunnel.ts
var USABLE_AFTER_MS = 1e4;
var UNDISPUTED_AFTER_MS = 5 * 6e4;
var MAX_PENDING_RETRY_MS = 15e3;
var Tunnel = class {
  #options;
  #backoff;
  #closed = new AbortController();
  #retryNow = new AbortController();
  #current;
  #running;
  #status = {
    state: "connecting",
    pendingCode: null,
    lastError: null,
    retryAt: null,
    connectedSince: null,
    connects: 0
  };
  #ended = Promise.withResolvers();
  constructor(options) {
    this.#options = options;
    this.#backoff = new Backoff({ ...TUNNEL_BACKOFF, random: options.random });
  }
  /** Resolves when the tunnel is usable for the first time; rejects when it never will be (a refusal for good), or on close. */
  start() {
    return new Promise((resolve2, reject) => {
      this.#running = this.#run(resolve2).then(
        (error) => {
          this.#set({
            state: "stopped",
            lastError: error ?? this.#status.lastError,
            retryAt: null,
            connectedSince: null
          });
          this.#ended.resolve(error);
          reject(error ?? new FleetError("not_running", "the node was stopped"));
        },
        (error) => {
          this.#ended.resolve(toFleetError(error));
          reject(error);
        }
      );
    });
  }
  /** Resolves when the tunnel has given up for good, with the reason; or was closed, without. */
  get ended() {
    return this.#ended.promise;
  }
  get status() {
    return this.#status;
  }
  get current() {
    return this.#current;
  }
  /** Something happened to the network (SIGHUP, a wake from sleep): try at once, or look whether the tunnel still lives. */
  nudge() {
    this.#current?.check();
    this.#retryNow.abort();
  }
  async close() {
    this.#closed.abort();
    this.#current?.stop();
    await this.#running;
  }
  /** The error that ends it for good; undefined when it was closed. */
  async #run(onUsable) {
    const { clock, logger } = this.#options;
    let pendingRetryMs = 0;
    while (!this.#closed.signal.aborted) {
      let delayMs;
      try {
        this.#set({ state: this.#status.pendingCode === null ? "connecting" : "pending", retryAt: null });
        const result = await this.#options.attempt(this.#closed.signal);
        if ("pendingCode" in result) {
          pendingRetryMs = Math.min(MAX_PENDING_RETRY_MS, Math.max(result.retryAfterMs, pendingRetryMs * 1.5));
          this.#waitForApproval(result.pendingCode);
          await this.#sleep(pendingRetryMs);
          continue;
        }
        const usableMs = await this.#use(result, onUsable);
        const wasGood = usableMs >= (result.hello.isSuspected ? UNDISPUTED_AFTER_MS : USABLE_AFTER_MS);
        if (wasGood) this.#backoff.reset();
        delayMs = wasGood ? 0 : this.#backoff.next();
      } catch (error) {
        if (this.#closed.signal.aborted) return void 0;
        const failure = toFleetError(error);
        if (!failure.retryable) {
          logger.error({ code: failure.code, reason: failure.message }, "the gateway refuses this node for good");
          return failure;
        }
        delayMs = this.#backoff.next();
        this.#set({ lastError: failure });
        logger.warn(
          { code: failure.code, reason: failure.message, retryInMs: Math.round(delayMs) },
          "tunnel attempt failed"
        );
      }
      if (delayMs > 0) {
        this.#set({ state: "waiting", retryAt: clock.now() + delayMs, connectedSince: null });
        await this.#sleep(delayMs);
      }
    }
    return void 0;
  }
  /** Until the tunnel ends; how long it was usable, ms. */
  async #use(tunnel, onUsable) {
    const { clock, logger } = this.#options;
    const since = clock.monotonic();
    this.#current = tunnel;
    this.#set({
      state: "online",
      pendingCode: null,
      lastError: null,
      connectedSince: clock.now(),
      connects: this.#status.connects + 1
    });
    logger.info({ name: tunnel.hello.name, connects: this.#status.connects }, "tunnel is up");
    onUsable();
    if (this.#closed.signal.aborted) tunnel.stop();
    const { reason } = await tunnel.connection.closed;
    tunnel.stop();
    this.#current = void 0;
    const usableMs = clock.monotonic() - since;
    logger.warn({ reason, usableMs: Math.round(usableMs) }, "tunnel is down");
    this.#set({
      state: "connecting",
      connectedSince: null,
      lastError: new FleetError("connection_lost", `the tunnel ended: ${reason}`)
    });
    return usableMs;
  }
  #waitForApproval(code) {
    if (this.#status.pendingCode !== code) this.#options.onPending(code);
    this.#set({ state: "pending", pendingCode: code, lastError: null });
  }
  async #sleep(delayMs) {
    await sleep(this.#options.clock, delayMs, AbortSignal.any([this.#closed.signal, this.#retryNow.signal]));
    this.#retryNow = new AbortController();
  }
  #set(change) {
    this.#status = { ...this.#status, ...change };
  }
};

// src/node/tunnel/wake-detector.ts
var LOOK_INTERVAL_MS = 2e3;
var JUMP_MS = 1e4;
var WakeDetector = class {
  #clock;
  #onWake;
  #timer;
  #offset = 0;
  constructor(clock, onWake) {
    this.#clock = clock;
    this.#onWake = onWake;
  }
  start() {
    this.#offset = this.#clock.now() - this.#clock.monotonic();
    this.#arm();
  }
  close() {
    this.#timer?.cancel();
  }
  #arm() {
    this.#timer = this.#clock.after(LOOK_INTERVAL_MS, () => this.#look(), { unref: true });
  }
  #look() {
    const offset = this.#clock.now() - this.#clock.monotonic();
    const jumpMs = offset - this.#offset;
    this.#offset = offset;
    this.#arm();
    if (Math.abs(jumpMs) >= JUMP_MS) this.#onWake(jumpMs);
  }
};

// src/node/node.ts
var RIVAL = "another machine seems to use the key of this one: see `fleet nodes show` on the gateway";
var FleetNode = class {
  #options;
  #gatewayClock;
  #metrics;
  #startedAt;
  /** In the order of start; closed in reverse. */
  #closers = [];
  #tunnel;
  #runner;
  #state;
  #rttMs = null;
  #closing;
  constructor(options) {
    this.#options = options;
    this.#gatewayClock = new GatewayClock(options.clock);
    this.#metrics = createMetrics({ clock: options.clock, logger: options.logger });
    this.#startedAt = options.clock.now();
  }
  /** Resolves when the gateway has accepted the first heartbeat. On failure everything that was begun is taken down again. */
  async start() {
    try {
      await this.#start();
    } catch (error) {
      await this.close();
      throw error;
    }
  }
  /** Resolves when the gateway has refused this node for good, with the reason; or when it was closed. */
  get ended() {
    return this.#tunnel?.ended ?? Promise.resolve(void 0);
  }
  /** SIGHUP: the network or the policy may have changed. */
  reconnect() {
    this.#options.policy.reload();
    this.#tunnel?.nudge();
  }
  /** Ends the tunnel and the process' share of the runs; the commands themselves go on. Idempotent. */
  close() {
    this.#closing ??= (async () => {
      for (const close of this.#closers.reverse()) await close();
    })();
    return this.#closing;
  }
  async #start() {
    const { paths, config, policy, clock, logger, random, baseEnv, profile } = this.#options;
    const keys = new NodeKeys({ file: paths.key, nextFile: paths.nextKey, comment: `fleet node ${profile}` });
    const state = new NodeStateFile(paths.state);
    this.#state = state;
    const connector = new KeyedConnector({ keys, state, logger });
    const runner = new Runner({
      folder: paths.spool,
      shell: config.shell ?? loginShell(),
      killGraceMs: config.killGrace,
      now: () => this.#gatewayClock.now(),
      clock,
      logger,
      baseEnv,
      homeFolder: os4.homedir(),
      maxSpoolBytes: config.maxSpoolBytes,
      maxOutputBytes: config.maxOutputBytes,
      retentionMs: config.retention,
      agents: config.agents,
      shim: { entry: this.#options.shimEntry, socket: paths.shimSocket, logFile: paths.shimLog }
    });
    this.#runner = runner;
    this.#closers.push(() => runner.close());
    await runner.start();
    const api = createNodeApi({
      runner,
      pairing: () => state.current?.pairing,
      gatewayNow: () => this.#gatewayClock.now(),
      policy,
      logger
    });
    await api.ready();
    const acceptor = new StreamAcceptor(api.server);
    this.#closers.push(
      () => api.close(),
      () => this.#metrics.close()
    );
    const connectOptions = {
      ...this.#options,
      keys,
      connector,
      state,
      labels: config.labels,
      facts: readMachineFacts(Object.keys(config.agents), policy.view?.kinds ?? POLICY_KINDS),
      journal: runner.journalId,
      keepaliveIntervalMs: config.keepaliveInterval,
      keepaliveCountMax: config.keepaliveCountMax,
      gatewayClock: this.#gatewayClock,
      serveApi: (channel) => acceptor.accept(channel)
    };
    const tunnel = new Tunnel({
      attempt: (signal) => this.#attempt({ ...connectOptions, signal }),
      onPending: (code) => this.#options.onPending(code),
      clock,
      logger,
      random
    });
    this.#tunnel = tunnel;
    const control = await openControlApi({
      socket: paths.socket,
      status: () => this.status(),
      shutdown: () => this.#options.onShutdownAsked(),
      reconnect: () => tunnel.nudge(),
      rotateKey: () => rotateNow(keys, connector, tunnel)
    });
    const wake = new WakeDetector(clock, (jumpMs) => {
      logger.info({ jumpMs }, "the clock jumped: the machine slept, or its clock was set");
      tunnel.nudge();
    });
    wake.start();
    this.#closers.push(
      () => control.close(),
      () => wake.close(),
      () => tunnel.close()
    );
    await this.#startTunnel(tunnel, state);
  }
  /** A pairing that the gateway has forgotten since the last start is begun anew: a person stands by and asked for it. */
  async #startTunnel(tunnel, state) {
    this.#forgetIfUnknown = true;
    await tunnel.start();
    this.#forgetIfUnknown = false;
    this.#options.logger.info({ name: state.current?.pairing?.name }, "node is online");
  }
  #forgetIfUnknown = false;
  #renewing;
  async #attempt(options) {
    try {
      return await this.#open(options);
    } catch (error) {
      const { state, logger } = options;
      if (!this.#forgetIfUnknown || state.current === void 0 || toFleetError(error).code !== "not_paired")
        throw error;
      this.#forgetIfUnknown = false;
      logger.warn({}, "the gateway does not know this node any more; pairing anew");
      const { pairing: _pairing, pendingCode: _pendingCode, ...rest } = state.current;
      state.save(rest);
      return await this.#open(options);
    }
  }
  async #open(options) {
    const opened = await options.connector.connect(options);
    if ("pendingCode" in opened) return opened;
    const { clock, logger, state } = options;
    const heartbeats = new Heartbeats({
      tunnel: opened,
      clock,
      logger,
      sample: (rttMs) => this.#sample(rttMs),
      beforeBeat: () => this.#renewInTime(options, opened),
      onAnswer: ({ name, rttMs, signingKeys }) => {
        this.#rttMs = rttMs;
        if (state.current?.pairing?.name !== name) state.changePairing({ name }, logger);
        if (signingKeys !== void 0) state.changePairing({ signingKeys }, logger);
      }
    });
    const stop = () => {
      heartbeats.close();
      opened.client.close();
      opened.connection.close();
    };
    try {
      await heartbeats.start();
    } catch (error) {
      stop();
      throw error;
    }
    return { ...opened, stop, check: () => heartbeats.check() };
  }
  async #renewInTime(options, opened) {
    const pairing = options.state.current?.pairing;
    if (pairing === void 0 || this.#gatewayClock.now() < (pairing.tokenIssuedAt + pairing.tokenExpiresAt) / 2)
      return;
    this.#renewing ??= renewToken(
      { ...options, identity: options.keys.current },
      opened.connection,
      opened.client
    ).finally(() => {
      this.#renewing = void 0;
    });
    await this.#renewing;
  }
  async #sample(rttMs) {
    const fromRunner = this.#runner?.faults() ?? [];
    return {
      ...await this.#metrics.sample(),
      runsActive: this.#runner?.active ?? 0,
      rttMs,
      // What the gateway has told itself, it need not hear again.
      faults: boundFaults([...fromRunner, ...this.#options.policy.faults()]),
      accepting: fromRunner.length === 0,
      policy: this.#options.policy.view !== null
    };
  }
  #faults() {
    const fromGateway = this.#tunnel?.current?.hello.isSuspected ? [RIVAL] : [];
    return [...this.#runner?.faults() ?? [], ...this.#options.policy.faults(), ...fromGateway];
  }
  status() {
    const tunnel = this.#tunnel?.status;
    const pairing = this.#state?.current?.pairing;
    const online = tunnel?.state === "online";
    return {
      profile: this.#options.profile,
      name: pairing?.name ?? null,
      id: pairing?.id ?? null,
      gateway: formatAddress(this.#options.address),
      state: tunnel?.state ?? "connecting",
      pendingCode: tunnel?.pendingCode ?? null,
      lastError: tunnel?.lastError?.toJSON() ?? null,
      retryAt: isoOrNull(tunnel?.retryAt ?? null),
      connectedSince: isoOrNull(tunnel?.connectedSince ?? null),
      rttMs: online ? this.#rttMs : null,
      skewMs: this.#gatewayClock.skewMs(),
      runsActive: this.#runner?.active ?? 0,
      policy: this.#options.policy.view,
      faults: this.#faults(),
      pid: process.pid,
      version: FLEET_VERSION,
      startedAt: new Date(this.#startedAt).toISOString(),
      connects: tunnel?.connects ?? 0
    };
  }
};
async function rotateNow(keys, connector, tunnel) {
  const fingerprint = formatFingerprint(sshPublicKeyBlob(keys.prepare().publicKey));
  const { current } = tunnel;
  if (current === void 0) return { state: "waiting", fingerprint };
  try {
    await connector.rotate(current);
  } catch (error) {
    const failure = toFleetError(error);
    if (!failure.retryable) throw failure;
    current.stop();
    return { state: "waiting", fingerprint };
  }
  current.stop();
  return { state: "rotated", fingerprint };
}
function isoOrNull(ms) {
  return ms === null ? null : new Date(ms).toISOString();
}

// src/node/policy/policy.ts
import path10 from "node:path";

// src/node/policy/environment-rule.ts
var LOADER_VARIABLES = [
  ...["PATH", "LD_*", "DYLD_*", "GCONV_PATH", "NLSPATH", "LOCPATH", "MALLOC_*", "GLIBC_TUNABLES", "HOSTALIASES"],
  ...[
    "ENV",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "PROMPT_COMMAND",
    "IFS",
    "CDPATH",
    "SHELL",
    "ZDOTDIR",
    "FPATH"
  ],
  ...["HOME", "XDG_*", "TMPDIR", "TERMINFO", "TERMINFO_DIRS", "TERMCAP", "FISH_*", "fish_*"],
  ...["PYTHON*", "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "NODE_*", "npm_*", "NPM_*", "LUA_*", "PHPRC", "PHP_*"],
  ...[
    "JAVA_*",
    "JDK_*",
    "_JAVA_OPTIONS",
    "CLASSPATH",
    "DOTNET_*",
    "CORECLR_*",
    "COR_*",
    "TCLLIBPATH",
    "R_*",
    "JULIA_*"
  ],
  ...["GIT_*", "SSH_*", "GPG_*", "DOCKER_*", "KUBECONFIG", "ANSIBLE_*", "OPENSSL_*", "SSL_*", "CURL_*", "WGETRC"],
  ...["PAGER", "*_PAGER", "LESS*", "MANPAGER", "EDITOR", "VISUAL", "BROWSER", "SUDO_*", "MAKEFLAGS", "MAKEFILES", "CC"],
  ...["SYSTEMD_*", "DBUS_*", "TAR_OPTIONS", "RSYNC_*", "VIMINIT", "EXINIT", "GTK_*", "QT_*", "G_*", "GIO_*"]
];
function isLoaderVariable(name) {
  return LOADER_VARIABLES.some((pattern) => matchesGlob(pattern, name));
}
function mayBeSet(name, allowed) {
  if (allowed?.includes(name)) return true;
  if (isLoaderVariable(name)) return false;
  return allowed === void 0 || allowed.some((pattern) => matchesGlob(pattern, name));
}

// src/node/policy/folder-rule.ts
import { realpath } from "node:fs/promises";
import path9 from "node:path";
async function folderFault2(folder, allowed) {
  let real;
  try {
    real = await realpath(folder);
  } catch (error) {
    return `the folder cannot be looked at (${systemErrorCode(error) ?? "unknown"})`;
  }
  for (const root of allowed) if (isWithin(real, await realOrNothing(root))) return void 0;
  return "the folder is not one of those that are allowed";
}
function isWithin(folder, root) {
  if (root === void 0) return false;
  const way = path9.relative(root, folder);
  return way === "" || way !== ".." && !way.startsWith(`..${path9.sep}`) && !path9.isAbsolute(way);
}
async function realOrNothing(folder) {
  try {
    return await realpath(folder);
  } catch {
    return void 0;
  }
}

// src/node/policy/policy.ts
var Policy = class {
  #rules;
  #host;
  constructor(config, host) {
    const { allow, exact, deny = [] } = config.commands ?? {};
    const isListed = allow !== void 0 || exact !== void 0;
    const unsaid = isListed ? [] : null;
    this.#host = host;
    this.#rules = {
      kinds: config.kinds ?? (isListed ? ["shell"] : POLICY_KINDS),
      commands: isListed ? { allow: allow ?? [], exact: exact ?? [] } : null,
      deny,
      users: config.users ?? unsaid,
      env: config.env ?? unsaid,
      folders: config.folders ?? unsaid,
      maxConcurrency: config.maxConcurrency ?? null
    };
  }
  /** The rules in force, with what follows from them. */
  get view() {
    return this.#rules;
  }
  /** @throws FleetError `policy_denied` with the rule that refuses this run. */
  async check(spec) {
    const { kinds, users, env } = this.#rules;
    if (!kinds.includes(spec.kind)) throw denied("kinds", `${spec.kind} is not allowed`);
    if (spec.kind === "shell") this.#checkCommand(spec.command);
    if (spec.user !== void 0 && spec.user !== this.#host.ownUser && users !== null && !users.includes(spec.user)) {
      throw denied("users", `nothing may run as ${spec.user}`);
    }
    for (const name of Object.keys(spec.env)) {
      if (mayBeSet(name, env ?? void 0)) continue;
      const why = isLoaderVariable(name) ? "it can make other programs run, so it has to be listed by its full name" : "it is not listed";
      throw denied("env", `${name} may not be set: ${why}`);
    }
    if (spec.cwd !== void 0) await this.#checkFolder(spec.cwd, spec.user);
  }
  /**
   * @param active Runs that have not ended.
   * @throws FleetError `busy`: the gateway keeps the run and asks again.
   */
  requireFree(active) {
    const { maxConcurrency } = this.#rules;
    if (maxConcurrency === null || active < maxConcurrency) return;
    throw new FleetError("busy", `the policy of the node allows ${maxConcurrency} runs at once`);
  }
  #checkCommand(line) {
    const { commands, deny } = this.#rules;
    const forbidden = deny.find((pattern) => matchesGlob(pattern, line));
    if (forbidden !== void 0) throw denied("commands.deny", `${JSON.stringify(forbidden)} fits the command`);
    if (commands === null || commands.exact.includes(line)) return;
    const words = splitPlainWords(line);
    if (words === void 0) {
      throw denied("commands.allow", "the command is more than plain words (quotes, wildcards, pipes and the like)");
    }
    if (!commands.allow.some((pattern) => matchesPattern(pattern, words))) {
      throw denied("commands.allow", "no pattern fits the command");
    }
  }
  async #checkFolder(cwd, user) {
    const { folders } = this.#rules;
    if (folders === null) return;
    const isForeign = user !== void 0 && user !== this.#host.ownUser;
    if (isForeign && !path10.isAbsolute(cwd)) throw denied("folders", "for another user, the folder has to be absolute");
    const fault = await folderFault2(path10.resolve(this.#host.homeFolder, cwd), folders);
    if (fault !== void 0) throw denied("folders", fault);
  }
};
function denied(rule, why) {
  return new FleetError("policy_denied", `node.policy.${rule}: ${why}`, {
    hint: "The policy is in the config file of the node; `fleet node status` there shows it."
  });
}

// src/node/policy/policy-file.ts
var PolicyFile = class {
  #options;
  #policy;
  #fault;
  constructor(options) {
    this.#options = options;
    this.#policy = this.#make(options.initial);
  }
  /** The rules in force; null without a policy. */
  get view() {
    return this.#policy?.view ?? null;
  }
  /** What is wrong with the file, while an older policy is in force. */
  faults() {
    return this.#fault === void 0 ? [] : [this.#fault];
  }
  /** Reads the file anew. */
  reload() {
    const { read, logger } = this.#options;
    try {
      this.#policy = this.#make(read());
      this.#fault = void 0;
      logger.info({ policy: this.view }, "policy read");
    } catch (error) {
      const { message } = toFleetError(error);
      this.#fault = `the policy could not be read anew, the one of before is in force: ${message}`;
      logger.error({ reason: message }, "policy could not be read; the one of before stays in force");
    }
  }
  /** @throws FleetError `policy_denied` with the rule that refuses this run. */
  async check(spec) {
    await this.#policy?.check(spec);
  }
  /** @throws FleetError `busy` when as many runs are active as the policy allows. */
  requireFree(active) {
    this.#policy?.requireFree(active);
  }
  #make(config) {
    return config === void 0 ? void 0 : new Policy(config, this.#options.host);
  }
};
function requirePolicy(config) {
  if (config !== void 0) return config;
  throw new FleetError("config_invalid", "node.policy is gone from the config file", {
    hint: "To run without one, restart the node."
  });
}

// src/node/profiles.ts
import { readdirSync as readdirSync3 } from "node:fs";
function listProfiles(home) {
  try {
    return readdirSync3(nodesFolder(home), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort();
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
function chooseProfile(home, name, hostname) {
  const profiles = listProfiles(home);
  if (name === void 0) {
    if (profiles.length > 1) {
      throw new FleetError("usage", `this home has several nodes: ${profiles.join(", ")}`, {
        hint: "Say which with --name."
      });
    }
    return profiles[0] ?? sanitizeName(hostname);
  }
  if (profiles.includes(name)) return name;
  return profiles.find((profile) => gatewayNameOf(home, profile) === name) ?? name;
}
function gatewayNameOf(home, profile) {
  return new NodeStateFile(nodePaths(home, profile).state).current?.pairing?.name;
}

// src/node/main.ts
var OWN_VARIABLES = [
  "FLEET_HOME",
  "FLEET_CONFIG",
  "FLEET_GATEWAY",
  "FLEET_CODE",
  "FLEET_NAME",
  "NODE_CHANNEL_FD",
  "NODE_COMPILE_CACHE"
];
async function startNode(options) {
  const { home, configFile, flags, signal } = options;
  const file2 = configFile ?? configPath(home);
  const { code, ...overrides } = flags;
  const readConfig = () => resolveNodeConfig(readConfigFile(file2, configFile !== void 0).node, overrides, file2);
  const config = readConfig();
  const invite = code === void 0 ? void 0 : parseInviteCode(code);
  const profile = chooseProfile(home, config.name, os5.hostname());
  const paths = nodePaths(home, profile);
  for (const folder of [home, nodesFolder(home), paths.folder]) ensurePrivateFolder(folder);
  assertPrivateContents(paths.folder);
  const lock = acquireProcessLock(paths.lock, `the node ${profile}`);
  const address = config.gateway ?? new NodeStateFile(paths.state).current?.gateway;
  if (address === void 0) {
    lock.release();
    throw new FleetError("usage", "no gateway is given", { hint: "Say which: fleet node up --gateway HOST" });
  }
  const log = openLog({ file: paths.log, level: config.logLevel, console: options.console });
  options.onCrash((error) => log.logger.error({ err: error }, "the process crashed"));
  const asked = Promise.withResolvers();
  const name = config.name ?? sanitizeName(os5.hostname());
  const begun = performance.now();
  const node = new FleetNode({
    profile,
    address,
    invite,
    name,
    nameRequired: config.name !== void 0,
    config,
    policy: new PolicyFile({
      initial: config.policy,
      read: () => config.policy === void 0 ? readConfig().policy : requirePolicy(readConfig().policy),
      host: { ownUser: os5.userInfo().username, homeFolder: os5.homedir() },
      logger: log.logger
    }),
    paths,
    clock: systemClock,
    logger: log.logger,
    random: Math.random,
    baseEnv: withoutOwnVariables(process.env),
    shimEntry: shimEntry(),
    onPending: (pendingCode) => options.onPending({ code: pendingCode, gateway: formatAddress(address), name }),
    onShutdownAsked: () => asked.resolve(void 0)
  });
  const close = async () => {
    await node.close();
    log.logger.info({}, "node stopped");
    log.close();
    lock.release();
  };
  const abort = () => void node.close();
  signal.addEventListener("abort", abort, { once: true });
  const stopped = asked.promise.then(() => {
    throw new FleetError("not_running", "the node was stopped before it was online");
  });
  stopped.catch(() => void 0);
  try {
    await Promise.race([node.start(), stopped]);
  } catch (error) {
    await close();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
  const status = node.status();
  return {
    readyLine: `${status.name} is online: gateway ${status.gateway}, tunnel up in ${formatDuration(performance.now() - begun)}`,
    info: status,
    ended: Promise.race([asked.promise, node.ended]),
    reconnect: () => node.reconnect(),
    close
  };
}
function shimEntry() {
  return fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./shim/main.ts" : "./shim.mjs", import.meta.url));
}
function withoutOwnVariables(env) {
  return Object.fromEntries(Object.entries(env).filter(([key]) => !OWN_VARIABLES.includes(key)));
}
export {
  startNode
};
