#!/usr/bin/env python3
"""Deploys a small web server with Viridian, then a second version of it.

Shows what a client needs: a stream that survives a lost connection, calls that
may be repeated, guards against what others did meanwhile, and refusals that a
program can understand. See README.md for how to run it.
"""

import argparse
import sys
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from viridian.deployment.v1 import deployment_pb2 as model
from viridian.deployment.v1 import deployment_service_pb2 as api
from viridian.deployment.v1 import deployment_service_pb2_grpc as stubs
from viridian.deployment.v1 import revision_pb2

READY = model.DEPLOYMENT_LIFECYCLE_READY
DESTROYED = model.DEPLOYMENT_LIFECYCLE_DESTROYED
AWAITING_PROMOTION = model.DEPLOYMENT_SUB_STEP_AWAITING_PROMOTION


def main() -> None:
    options = parse_options()
    with connect(options) as channel:
        run(Client(channel, options.token), options.deployment)


def run(client: "Client", reference: str) -> None:
    project, name = reference.split("/")
    created = client.call(
        "CreateDeployment",
        api.CreateDeploymentRequest(
            project=project,
            name=name,
            target_replicas=2,
            initial_revision=web_server("/"),
            request_id=new_request_id(),
        ),
    ).deployment
    say(f"created {reference}")

    # One stream for all that follows: it has every change, each once.
    events = client.watch(created.id)
    until(events, lambda it: it.lifecycle == READY)
    say("READY with revision 1")

    # The same request id makes it the same call, however often it is sent.
    request = api.CreateRevisionRequest(
        deployment=created.id,
        spec=slow_web_server("/usr"),
        activate=True,
        request_id=new_request_id(),
        reason="release 2",
    )
    first = client.call("CreateRevision", request)
    again = client.call("CreateRevision", request)
    say(f"activated revision {first.revision.number} {'once' if first == again else 'twice'}")

    # Too early: its replicas are not checked yet.
    promotion = api.PromoteDeploymentRequest(
        deployment=created.id, expected_revision="2", request_id=new_request_id()
    )
    expect_refusal(client, "PromoteDeployment", promotion)

    gate = until(events, lambda it: it.sub_step == AWAITING_PROMOTION)
    say("all of revision 2 is ready, and waits for its promotion")

    # Guards: promote what was seen, and nothing else.
    other = api.PromoteDeploymentRequest(
        deployment=created.id, expected_revision="1", request_id=new_request_id()
    )
    expect_refusal(client, "PromoteDeployment", other)
    stale = api.PromoteDeploymentRequest(
        deployment=created.id,
        expected_generation=gate.generation - 1,
        request_id=new_request_id(),
    )
    expect_refusal(client, "PromoteDeployment", stale)
    promoted = client.call(
        "PromoteDeployment",
        api.PromoteDeploymentRequest(
            deployment=created.id,
            expected_revision=gate.deploying_revision_id,
            expected_generation=gate.generation,
            request_id=new_request_id(),
            reason="looks good",
        ),
    )
    say(f"promoted {len(promoted.promoted_route_ids)} routes")
    until(events, lambda it: it.sequence >= promoted.deployment.sequence)

    # All that is wrong is said at once.
    invalid = api.UpdateDeploymentRequest(
        deployment=created.id,
        target_replicas=1001,
        revision_history_limit=-1,
        request_id=new_request_id(),
    )
    expect_refusal(client, "UpdateDeployment", invalid)

    history = client.call("ListHistory", api.ListHistoryRequest(deployment=created.id))
    phases = [entry.phase for entry in reversed(history.entries) if entry.phase != "EVALUATE"]
    say(f"history: {', '.join(phases)}")

    client.call(
        "DeleteDeployment",
        api.DeleteDeploymentRequest(deployment=created.id, request_id=new_request_id()),
    )
    until(events, lambda it: it.lifecycle == DESTROYED)
    say("deleted")


class Client:
    """Calls that are repeated where that may help, and watches that go on."""

    def __init__(self, channel: grpc.Channel, token: str | None):
        self.stub = stubs.DeploymentServiceStub(channel)
        self.metadata = [("authorization", f"Bearer {token}")] if token else None

    def call(self, method: str, request):
        """Calls a method. It may have been done though no reply came: only calls
        that read, or that have a request id, are made again."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return getattr(self.stub, method)(request, timeout=10, metadata=self.metadata)
            except grpc.RpcError as error:
                refusal = Refusal(error)
                harmless = not hasattr(request, "request_id") or request.request_id
                if attempt == 5 or not (harmless and refusal.may_pass):
                    raise
                time.sleep(refusal.retry_after or 0.1 * 2**attempt)

    def watch(self, deployment: str):
        """Gives every change of a deployment once, whatever happens in between."""
        token, failures = "", 0
        while True:
            request = api.WatchDeploymentsRequest(resume_token=token)
            if not token:
                request.deployments.append(deployment)
            stream = self.stub.WatchDeployments(request, metadata=self.metadata)
            try:
                for message in stream:
                    # The other kind is a heartbeat.
                    if message.WhichOneof("payload") == "event":
                        token, failures = message.event.resume_token, 0
                        yield message.event
            except grpc.RpcError as error:
                refusal = Refusal(error)
                if refusal.reason == "RESUME_TOKEN_EXPIRED":
                    token = ""  # What was missed is forgotten: begin with how it is now.
                elif not refusal.may_pass:
                    raise
                failures += 1
                log(f"the watch ended ({refusal.code}); it goes on behind the last event")
                time.sleep(min(refusal.retry_after or 0.1 * 2**failures, 5))
            finally:
                stream.cancel()


class Refusal:
    """What an error says to a program: a code, a reason, and details."""

    def __init__(self, error: grpc.RpcError):
        self.code = error.code().name
        self.message = error.details()
        self.reason, self.retry_after, self.lines = "", 0.0, []
        # None when it is not from the server: a lost connection, a deadline.
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            self.read(detail)

    @property
    def may_pass(self) -> bool:
        """Whether the same call may be done later."""
        return self.code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")

    def read(self, detail) -> None:
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        precondition = error_details_pb2.PreconditionFailure()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            self.reason = info.reason
            self.lines += [f"{key}: {info.metadata[key]}" for key in sorted(info.metadata)]
        elif detail.Unpack(request):
            self.lines += [f"{it.field}: {it.description}" for it in request.field_violations]
        elif detail.Unpack(precondition):
            self.lines += [f"{it.type}: {it.description}" for it in precondition.violations]
        elif detail.Unpack(retry):
            self.retry_after = retry.retry_delay.ToTimedelta().total_seconds()


def expect_refusal(client: Client, method: str, request) -> None:
    try:
        client.call(method, request)
    except grpc.RpcError as error:
        refusal = Refusal(error)
        say(f"refused: {refusal.code} {refusal.reason}")
        for line in refusal.lines:
            say(f"  {line}")
    else:
        sys.exit(f"{method} was not refused")


def until(events, is_so):
    """Takes events until one shows the deployment as it ought to become."""
    for event in events:
        now = event.deployment
        state = model.DeploymentLifecycle.Name(now.lifecycle).removeprefix("DEPLOYMENT_LIFECYCLE_")
        blockers = "; ".join(blocker.message for blocker in now.blockers)
        log(f"#{now.sequence} {state} {blockers}")
        if is_so(now):
            return now
    raise AssertionError("a watch does not end by itself")


def web_server(folder: str) -> revision_pb2.RevisionSpec:
    """A program that the agent can run on any machine with Python."""
    spec = revision_pb2.RevisionSpec()
    serve = f'exec python3 -m http.server --bind 127.0.0.1 --directory {folder} "$PORT"'
    spec.command.extend(["sh", "-c", serve])
    spec.health_check.interval.FromMilliseconds(200)
    return spec


def slow_web_server(folder: str) -> revision_pb2.RevisionSpec:
    """The same program, checked for the first time when it has had two seconds to start."""
    spec = web_server(folder)
    spec.health_check.initial_delay.FromSeconds(2)
    return spec


def connect(options) -> grpc.Channel:
    # So that a connection that is gone is noticed on an idle watch, too.
    keepalive = [("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000)]
    if not (options.tls or options.ca):
        return grpc.insecure_channel(options.server, keepalive)
    authority = open(options.ca, "rb").read() if options.ca else None
    key = open(options.key, "rb").read() if options.key else None
    certificate = open(options.cert, "rb").read() if options.cert else None
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    return grpc.secure_channel(options.server, credentials, keepalive)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("deployment", help="what to call it: PROJECT/NAME")
    parser.add_argument("--server", default="127.0.0.1:50051", help="HOST:PORT")
    parser.add_argument("--token", help="the bearer token to show")
    parser.add_argument("--tls", action="store_true", help="speak TLS")
    parser.add_argument("--ca", help="the file of the authority to trust; implies --tls")
    parser.add_argument("--cert", help="the file of the certificate to show")
    parser.add_argument("--key", help="the file of its key")
    return parser.parse_args()


def new_request_id() -> str:
    return str(uuid.uuid4())


def say(line: str) -> None:
    print(line, flush=True)


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
