// Deploys a small web server with Viridian, then a second version of it.
//
// Shows what a client needs: a stream that survives a lost connection, calls that
// may be repeated, guards against what others did meanwhile, and refusals that a
// program can understand. See README.md for how to run it.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { equals, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Client, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";
import { DeploymentLifecycle, DeploymentSubStep, type Deployment } from "./gen/viridian/deployment/v1/deployment_pb.js";
import {
  CreateRevisionResponseSchema,
  DeploymentService,
  type DeploymentEvent,
} from "./gen/viridian/deployment/v1/deployment_service_pb.js";
import type { RevisionSpecSchema } from "./gen/viridian/deployment/v1/revision_pb.js";

type Viridian = Client<typeof DeploymentService>;
type Events = AsyncGenerator<DeploymentEvent>;

async function run(viridian: Viridian, reference: string): Promise<void> {
  const [project, name] = reference.split("/");
  const creation = {
    project,
    name,
    targetReplicas: 2,
    initialRevision: webServer("/"),
    requestId: randomUUID(),
  };
  const created = await call(creation, viridian.createDeployment);
  const deployment = created.deployment!.id;
  say(`created ${reference}`);

  // One stream for all that follows: it has every change, each once.
  const events = watch(viridian, deployment);
  await until(events, (it) => it.lifecycle === DeploymentLifecycle.READY);
  say("READY with revision 1");

  // The same request id makes it the same call, however often it is sent.
  const request = {
    deployment,
    spec: webServer("/usr", 2n),
    activate: true,
    requestId: randomUUID(),
    reason: "release 2",
  };
  const first = await call(request, viridian.createRevision);
  const again = await call(request, viridian.createRevision);
  const once = equals(CreateRevisionResponseSchema, first, again);
  say(`activated revision ${first.revision!.number} ${once ? "once" : "twice"}`);

  // Too early: its replicas are not checked yet.
  const early = { deployment, expectedRevision: "2", requestId: randomUUID() };
  await expectRefusal(early, viridian.promoteDeployment);

  const gate = await until(events, (it) => it.subStep === DeploymentSubStep.AWAITING_PROMOTION);
  say("all of revision 2 is ready, and waits for its promotion");

  // Guards: promote what was seen, and nothing else.
  const other = { deployment, expectedRevision: "1", requestId: randomUUID() };
  await expectRefusal(other, viridian.promoteDeployment);
  const stale = { deployment, expectedGeneration: gate.generation - 1n, requestId: randomUUID() };
  await expectRefusal(stale, viridian.promoteDeployment);
  const promotion = {
    deployment,
    expectedRevision: gate.deployingRevisionId,
    expectedGeneration: gate.generation,
    requestId: randomUUID(),
    reason: "looks good",
  };
  const promoted = await call(promotion, viridian.promoteDeployment);
  say(`promoted ${promoted.promotedRouteIds.length} routes`);
  await until(events, (it) => it.sequence >= promoted.deployment!.sequence);

  // All that is wrong is said at once.
  const invalid = {
    deployment,
    targetReplicas: 1001,
    revisionHistoryLimit: -1,
    requestId: randomUUID(),
  };
  await expectRefusal(invalid, viridian.updateDeployment);

  const history = await call({ deployment }, viridian.listHistory, true);
  const phases = history.entries.reverse().map((entry) => entry.phase);
  say(`history: ${phases.filter((phase) => phase !== "EVALUATE").join(", ")}`);

  await call({ deployment, requestId: randomUUID() }, viridian.deleteDeployment);
  await until(events, (it) => it.lifecycle === DeploymentLifecycle.DESTROYED);
  say("deleted");
  await events.return(undefined);
}

/**
 * Calls a method. It may have been done though no reply came: only a call that
 * reads, or that has a request id, may be repeated.
 */
async function call<I extends object, O>(
  request: I,
  method: (request: I, options: { timeoutMs: number }) => Promise<O>,
  mayRepeat = "requestId" in request,
): Promise<O> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await method(request, { timeoutMs: 10_000 });
    } catch (error) {
      const refusal = new Refusal(error);
      if (attempt === 5 || !mayRepeat || !refusal.mayPass) throw error;
      await sleep(refusal.retryAfter || 100 * 2 ** attempt);
    }
  }
}

/** Gives every change of a deployment once, whatever happens in between. */
async function* watch(viridian: Viridian, deployment: string): Events {
  let [token, failures] = ["", 0];
  while (true) {
    const request = token ? { resumeToken: token } : { deployments: [deployment] };
    try {
      for await (const { payload } of viridian.watchDeployments(request)) {
        // The other kind is a heartbeat.
        if (payload.case === "event") {
          token = payload.value.resumeToken;
          failures = 0;
          yield payload.value;
        }
      }
    } catch (error) {
      const refusal = new Refusal(error);
      if (refusal.reason === "RESUME_TOKEN_EXPIRED") {
        token = ""; // What was missed is forgotten: begin with how it is now.
      } else if (!refusal.mayPass) {
        throw error;
      }
      failures += 1;
      log(`the watch ended (${refusal.code}); it goes on behind the last event`);
      await sleep(Math.min(refusal.retryAfter || 100 * 2 ** failures, 5_000));
    }
  }
}

/** What an error says to a program: a code, a reason, and details. */
class Refusal {
  readonly code: string;
  readonly reason: string;
  readonly retryAfter: number;
  readonly lines: string[];

  constructor(error: unknown) {
    const status = ConnectError.from(error);
    // ABORTED, as the other languages spell it.
    this.code = Code[status.code]!.replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
    const [info] = status.findDetails(ErrorInfoSchema);
    this.reason = info?.reason ?? "";
    const metadata = Object.entries(info?.metadata ?? {}).sort();
    const [request] = status.findDetails(BadRequestSchema);
    const [precondition] = status.findDetails(PreconditionFailureSchema);
    this.lines = [
      ...metadata.map(([key, value]) => `${key}: ${value}`),
      ...(request?.fieldViolations ?? []).map((it) => `${it.field}: ${it.description}`),
      ...(precondition?.violations ?? []).map((it) => `${it.type}: ${it.description}`),
    ];
    const [retry] = status.findDetails(RetryInfoSchema);
    this.retryAfter = retry?.retryDelay ? durationMs(retry.retryDelay) : 0;
  }

  /**
   * Whether the same call may be done later. What has no reason is not from the
   * server: a lost connection, which comes under many codes, or a deadline.
   */
  get mayPass(): boolean {
    return !this.reason || ["UNAVAILABLE", "RESOURCE_EXHAUSTED"].includes(this.code);
  }
}

async function expectRefusal<I extends object, O>(
  request: I,
  method: (request: I, options: { timeoutMs: number }) => Promise<O>,
): Promise<void> {
  try {
    await call(request, method);
  } catch (error) {
    const refusal = new Refusal(error);
    say(`refused: ${refusal.code} ${refusal.reason}`);
    for (const line of refusal.lines) say(`  ${line}`);
    return;
  }
  throw new Error("it was not refused");
}

/** Takes events until one shows the deployment as it ought to become. */
async function until(events: Events, isSo: (deployment: Deployment) => boolean): Promise<Deployment> {
  while (true) {
    const { value: event, done } = await events.next();
    if (done) throw new Error("a watch does not end by itself");
    const now = event.deployment!;
    const blockers = now.blockers.map((blocker) => blocker.message).join("; ");
    log(`#${now.sequence} ${DeploymentLifecycle[now.lifecycle]} ${blockers}`);
    if (isSo(now)) return now;
  }
}

/** A program that the agent can run on any machine with Python. It is not checked before the delay is over. */
function webServer(folder: string, delaySeconds = 0n): MessageInitShape<typeof RevisionSpecSchema> {
  const serve = `exec python3 -m http.server --bind 127.0.0.1 --directory ${folder} "$PORT"`;
  return {
    command: ["sh", "-c", serve],
    healthCheck: { interval: { nanos: 200_000_000 }, initialDelay: { seconds: delaySeconds } },
  };
}

function connect(options: Options): Viridian {
  const { server, token, tls, ca, cert, key } = options;
  const showToken: Interceptor = (next) => (request) => {
    if (token) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const read = (file?: string) => file && readFileSync(file);
  const transport = createGrpcTransport({
    baseUrl: `${tls || ca ? "https" : "http"}://${server}`,
    interceptors: [showToken],
    nodeOptions: { ca: read(ca), cert: read(cert), key: read(key) },
    // So that a connection that is gone is noticed on an idle watch, too.
    pingIntervalMs: 30_000,
    pingTimeoutMs: 10_000,
    pingIdleConnection: true,
  });
  return createClient(DeploymentService, transport);
}

type Options = ReturnType<typeof parseOptions>["values"];

function parseOptions() {
  return parseArgs({
    allowPositionals: true,
    options: {
      server: { type: "string", default: "127.0.0.1:50051" },
      token: { type: "string" },
      tls: { type: "boolean" },
      ca: { type: "string" },
      cert: { type: "string" },
      key: { type: "string" },
    },
  });
}

function say(line: string): void {
  console.log(line);
}

function log(line: string): void {
  console.error(line);
}

const { values, positionals } = parseOptions();
const [reference] = positionals;
if (!reference) {
  log("usage: example.js PROJECT/NAME [--server HOST:PORT] [--token T] [--tls] [--ca F] [--cert F --key F]");
  process.exit(2);
}
await run(connect(values), reference);
// Connections are kept for calls to come.
process.exit();
