#!/usr/bin/env python3
"""Makes a record: databases in many states, with what a client was given of each.

    scripts/with-postgres tests/records/make.py PROGRAM FOLDER

README.md says what a record is, and when another one is to be made.
"""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid
from datetime import datetime, timezone

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = ROOT / "target/tools/python/bin/python"

if pathlib.Path(sys.prefix).resolve() != PYTHON.parents[1].resolve():
    os.execv(PYTHON, [str(PYTHON), *sys.argv])

import grpc  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from grpc_tools import protoc  # noqa: E402

GROUP = "test"
PROJECT = "records"
HOURS = 3600


def main() -> None:
    program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        generate_stubs(work)
        file = work / "viridian.db"
        make(program, f"sqlite:{file}", folder / "sqlite.json")
        keep_sqlite(file, folder / "sqlite.db")
        url = create_postgres()
        make(program, url, folder / "postgres.json")
        keep_postgres(url, folder / "postgres.sql")


def generate_stubs(work: pathlib.Path) -> None:
    protos = sorted((ROOT / "proto/viridian/deployment/v1").glob("*.proto"))
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    code = protoc.main(
        ["", f"-I{ROOT / 'proto'}", f"-I{well_known}", f"--python_out={work}", f"--grpc_python_out={work}"]
        + [str(it) for it in protos]
    )
    assert code == 0, "the contract compiles"
    sys.path.insert(0, str(work))


def make(program: pathlib.Path, database: str, output: pathlib.Path) -> None:
    server, address = start(program, database)
    try:
        with grpc.insecure_channel(address) as channel:
            client = Client(channel)
            States(client).make()
            record = client.record()
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0, "the server ends well"
    finally:
        server.kill()
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    record = {"program": version.stdout.strip(), "made_at": now(), **record}
    # A line each, so that a reader finds something.
    parts = []
    for key, value in record.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(it, separators=(",", ":"), ensure_ascii=False) for it in value)
            parts.append(f'"{key}":[\n{lines}\n]')
        else:
            parts.append(f'"{key}":{json.dumps(value)}')
    output.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def start(program: pathlib.Path, database: str) -> tuple[subprocess.Popen, str]:
    # A file, not a pipe: a server waits for one that nothing is read from.
    with tempfile.NamedTemporaryFile("w+") as log:
        server = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--database", database],
            stderr=log,
        )
        while server.poll() is None:
            log.seek(0)
            # The last line may be half written.
            for line in log.read().splitlines(keepends=True):
                entry = json.loads(line) if line.endswith("\n") else {}
                if entry.get("message") == "serving":
                    return server, entry["address"]
            time.sleep(0.05)
    raise SystemExit("the server ended before it served")


def keep_sqlite(file: pathlib.Path, target: pathlib.Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    shutil.copy(file, target)


def create_postgres() -> str:
    server = urllib.parse.urlsplit(os.environ["VIRIDIAN_TEST_POSTGRES"])
    name = f"record_{uuid.uuid4().hex}"
    psql = ["psql", "--quiet", "--no-psqlrc", server.geturl(), "--command", f"CREATE DATABASE {name}"]
    subprocess.run(psql, check=True)
    return server._replace(path=f"/{name}").geturl()


def keep_postgres(url: str, target: pathlib.Path) -> None:
    dump = ["pg_dump", "--inserts", "--no-owner", "--no-privileges", "--no-comments", url]
    text = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    # Only psql knows the commands that begin with a backslash.
    lines = [it for it in text.splitlines() if it and not it.startswith(("--", "\\"))]
    target.write_text("\n".join(lines) + "\n")


class Client:
    """The three services, and what is kept of their replies."""

    def __init__(self, channel: grpc.Channel) -> None:
        from viridian.deployment.v1 import deployment_service_pb2 as deployments
        from viridian.deployment.v1 import deployment_service_pb2_grpc as deployment_stubs
        from viridian.deployment.v1 import route_service_pb2 as routes
        from viridian.deployment.v1 import route_service_pb2_grpc as route_stubs
        from viridian.deployment.v1 import traffic_service_pb2 as traffic
        from viridian.deployment.v1 import traffic_service_pb2_grpc as traffic_stubs

        self.modules = [deployments, routes, traffic]
        self.stubs = [
            deployment_stubs.DeploymentServiceStub(channel),
            route_stubs.RouteServiceStub(channel),
            traffic_stubs.TrafficServiceStub(channel),
        ]
        self.replies: list[dict] = []
        self.watches: list[dict] = []
        self.ids: dict[str, str] = {}
        self.ports = 20_000

    def call(self, method: str, request: dict) -> dict:
        for module, stub in zip(self.modules, self.stubs):
            if hasattr(stub, method):
                message = json_format.ParseDict(request, getattr(module, f"{method}Request")())
                return json_format.MessageToDict(getattr(stub, method)(message, timeout=30))
        raise AssertionError(method)

    def keep(self, method: str, request: dict, what: str) -> dict:
        """A call with a request id, whose reply a repeat must get."""
        request = {**request, "requestId": str(uuid.uuid4()), "reason": what}
        reply = self.call(method, request)
        self.replies.append({"method": method, "what": what, "request": request, "reply": reply})
        return reply

    def get(self, name: str) -> dict:
        return self.call("GetDeployment", {"deployment": self.ids[name]})["deployment"]

    def until(self, name: str, what: str, is_so) -> dict:
        for _ in range(600):
            deployment = self.get(name)
            if is_so(deployment):
                return deployment
            time.sleep(0.05)
        raise SystemExit(f"{name} never is {what}: {json.dumps(deployment, indent=2)}")

    def routes(self, name: str, **filters: str) -> list[dict]:
        request = {"deployment": self.ids[name], "pageSize": 500}
        routes = self.call("ListRoutes", request).get("routes", [])
        return [it for it in routes if all(it.get(key) == value for key, value in filters.items())]

    def report(self, routes: list[dict], status: str, failure: str = "") -> None:
        reports = []
        for route in routes:
            report = {"routeId": route["id"], "status": f"ROUTE_STATUS_{status}"}
            if status == "RUNNING":
                self.ports += 1
                report |= {"sessionId": f"session-{self.ports}", "address": f"127.0.0.1:{self.ports}"}
            reports.append(report | ({"failure": failure} if failure else {}))
        self.applied("ReportRouteStatuses", reports)

    def see(self, routes: list[dict], health: str) -> None:
        health = f"ROUTE_HEALTH_STATUS_{health}"
        self.applied("ReportRouteHealth", [{"routeId": it["id"], "health": health} for it in routes])

    def applied(self, method: str, reports: list[dict]) -> None:
        results = self.call(method, {"reports": reports})["results"]
        assert all(it.get("applied") for it in results), results

    def wait_for_routes(self, name: str, count: int) -> list[dict]:
        """Waits for routes that are to be started."""
        for _ in range(600):
            routes = self.routes(name, status="ROUTE_STATUS_PROVISIONING")
            if len(routes) >= count:
                return routes[:count]
            time.sleep(0.05)
        raise SystemExit(f"{name} never has {count} routes to be started")

    def bring_up(self, name: str, count: int) -> list[dict]:
        routes = self.wait_for_routes(name, count)
        self.report(routes, "RUNNING")
        self.see(routes, "HEALTHY")
        return routes

    def watch(self, request: dict, events: int) -> dict:
        """Follows a watch for some events, and keeps the token of the last one."""
        module, stub = self.modules[0], self.stubs[0]
        message = json_format.ParseDict(request, module.WatchDeploymentsRequest())
        stream = stub.WatchDeployments(message, timeout=30)
        last = None
        for _ in range(events):
            last = next(it.event for it in stream if it.HasField("event"))
        stream.cancel()
        return {"request": request, "resumeToken": last.resume_token}

    def follow(self, token: str, last: tuple[str, int]) -> list[dict]:
        """What a watch has behind a token, up to an event."""
        module, stub = self.modules[0], self.stubs[0]
        stream = stub.WatchDeployments(module.WatchDeploymentsRequest(resume_token=token), timeout=30)
        events = []
        for message in stream:
            if message.HasField("event"):
                event = json_format.MessageToDict(message.event)
                deployment = event["deployment"]
                found = {"kind": event["kind"], "deployment": deployment["id"], "sequence": deployment["sequence"]}
                events.append(found)
                if (deployment["id"], deployment["sequence"]) == last:
                    stream.cancel()
                    return events
        raise AssertionError("a watch does not end by itself")

    def record(self) -> dict:
        deployments = []
        for id in self.ids.values():
            id = {"deployment": id}
            deployments.append(
                {
                    "deployment": self.call("GetDeployment", id)["deployment"],
                    "routes": self.list_routes(id),
                    "revisions": self.call("ListRevisions", id).get("revisions", []),
                    "history": self.call("ListHistory", id | {"pageSize": 500}).get("entries", []),
                    "table": self.call("GetTraffic", id)["table"],
                }
            )
        watches = []
        for watch, last in self.watches:
            last = self.get(last)
            events = self.follow(watch["resumeToken"], (last["id"], last["sequence"]))
            watches.append(watch | {"events": events})
        return {
            "deployments": deployments,
            "replies": self.replies,
            "watches": watches,
            "pages": [
                self.page("ListDeployments", {"project": PROJECT, "pageSize": 5}, "deployments", "id"),
                self.page("ListRoutes", {"deployment": reference("rolling"), "pageSize": 2}, "routes", "id"),
                self.page("ListHistory", {"deployment": reference("gate"), "pageSize": 2}, "entries", "number"),
                self.page("ListRevisions", {"deployment": reference("revisions"), "pageSize": 1}, "revisions", "id"),
            ],
        }

    def list_routes(self, id: dict) -> list[dict]:
        routes = self.call("ListRoutes", id | {"pageSize": 500}).get("routes", [])
        for route in routes:
            # It is written down now and then only, and may be lost with the process.
            route.pop("lastReportTime", None)
        return routes

    def page(self, method: str, request: dict, of: str, key: str) -> dict:
        """The second page of a list."""
        first = self.call(method, request)
        request = request | {"pageToken": first["nextPageToken"]}
        second = self.call(method, request)
        return {"method": method, "request": request, "of": of, "key": key, "found": [it[key] for it in second[of]]}


def reference(name: str) -> str:
    return f"{PROJECT}/{name}"


def blue_green(**spec) -> dict:
    return {"blueGreen": spec, "progressDeadline": f"{2 * HOURS}s", "drainGrace": "0s"}


def gate(action: str) -> dict:
    timeout = {"duration": f"{2 * HOURS}s", "action": f"GATE_TIMEOUT_ACTION_{action}"}
    return blue_green(gateTimeout=timeout)


def rolling(**spec) -> dict:
    return {"rollingUpdate": spec, "progressDeadline": f"{2 * HOURS}s", "drainGrace": "0s"}


def spec(image: str) -> dict:
    return {"image": f"registry.test/{image}"}


WHOLE_SPEC = {
    "image": "registry.test/whole:1",
    "command": ["serve", "--port", "8080"],
    "model": "m-7b",
    "runtimeVariant": "vllm",
    "environ": {"KEY": 'a "quoted" ä', "EMPTY": ""},
    "resourceSlots": {"cpu": "2", "cuda.device": "1"},
    "healthCheck": {"path": "/healthz", "interval": "3s", "timeout": "0.500s", "initialDelay": "1s"},
}


class States:
    """The deployments, one a state."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def make(self) -> None:
        self.not_deploying()
        self.provisioning()
        self.at_gates()
        self.ended()
        self.rolling()
        self.over()

    def create(self, name: str, replicas: int = 2, policy: dict | None = None, **fields) -> dict:
        request = {
            "project": PROJECT,
            "name": name,
            "targetReplicas": replicas,
            "policy": policy or blue_green(),
            "metadata": {"resourceGroup": GROUP},
            "initialRevision": spec(f"{name}:1"),
        }
        reply = self.client.call("CreateDeployment", request | fields)
        self.client.ids[name] = reply["deployment"]["id"]
        return reply

    def ready(self, name: str, replicas: int = 2, policy: dict | None = None) -> None:
        self.create(name, replicas, policy)
        self.client.bring_up(name, replicas)
        self.client.until(name, "READY", lambda it: it["lifecycle"].endswith("_READY"))

    def deploy(self, name: str) -> dict:
        request = {"deployment": reference(name), "spec": spec(f"{name}:2"), "activate": True}
        return self.client.call("CreateRevision", request)

    def deploying(self, name: str, replicas: int = 2, policy: dict | None = None, up: int = 0) -> None:
        self.ready(name, replicas, policy)
        self.deploy(name)
        self.client.wait_for_routes(name, replicas)
        if up:
            self.client.bring_up(name, up)
            self.client.until(name, "partly ready", lambda it: it.get("green", {}).get("ready") == up)

    def at_gate(self, name: str, policy: dict | None = None, replicas: int = 2) -> None:
        self.deploying(name, replicas, policy, up=replicas)
        self.client.until(name, "at the gate", lambda it: it.get("subStep", "").endswith("_AWAITING_PROMOTION"))

    def verb(self, method: str, name: str, **fields) -> dict:
        return self.client.call(f"{method}Deployment", {"deployment": reference(name)} | fields)

    def keep(self, method: str, name: str, what: str, **fields) -> dict:
        return self.client.keep(method, {"deployment": reference(name)} | fields, what)

    def end_drained(self, name: str) -> None:
        drained = self.client.routes(name, status="ROUTE_STATUS_TERMINATING")
        self.client.report(drained, "TERMINATED")

    def not_deploying(self) -> None:
        client = self.client
        request = {
            "project": PROJECT,
            "name": "idle",
            "targetReplicas": 2,
            "policy": blue_green(),
            "labels": {"env": "prod", "empty": ""},
            "metadata": {"domain": "d", "resourceGroup": GROUP, "createdUser": "ann", "sessionOwner": "bob"},
            "revisionHistoryLimit": 3,
        }
        reply = client.keep("CreateDeployment", request, "without a revision")
        client.ids["idle"] = reply["deployment"]["id"]
        # What is watched from here on goes on with all that follows.
        self.create("pending")
        client.watches.append((client.watch({"project": PROJECT}, 1), "idle"))
        request = {
            "project": PROJECT,
            "name": "whole",
            "targetReplicas": 2,
            "policy": blue_green(
                autoPromote=True,
                promoteDelay="5s",
                minReady="1.500s",
                maxReplacements=3,
                scaleDownDelay="30s",
                gateTimeout={"duration": "3600s", "action": "GATE_TIMEOUT_ACTION_ROLLBACK"},
            ),
            "labels": {"team": "a"},
            "metadata": {"resourceGroup": GROUP},
            "initialRevision": WHOLE_SPEC,
        }
        reply = client.keep("CreateDeployment", request, "with a revision")
        client.ids["whole"] = reply["deployment"]["id"]
        client.bring_up("whole", 2)
        self.create("pending-half")
        client.bring_up("pending-half", 1)
        self.create("back-off", 1)
        for _ in range(2):
            client.report(client.wait_for_routes("back-off", 1), "FAILED_TO_START", "no such image")
        client.until("back-off", "in its back-off", lambda it: "BACK_OFF" in json.dumps(it["blockers"]))
        self.ready("unhealthy", 4)
        for route, health in zip(client.routes("unhealthy"), ["UNHEALTHY", "DEGRADED", "NOT_CHECKED"]):
            client.see([route], health)
        self.ready("scaled")
        changed = {"targetReplicas": 3, "labels": {"tier": "web"}, "updateMask": "targetReplicas,labels"}
        self.keep("UpdateDeployment", "scaled", "the target", **changed)
        client.wait_for_routes("scaled", 1)
        self.create("zero", 0)
        client.until("zero", "READY", lambda it: it["lifecycle"].endswith("_READY"))
        self.ready("revisions")
        new = {"spec": WHOLE_SPEC}
        self.keep("CreateRevision", "revisions", "a revision that is not activated", **new)
        self.keep("CreateRevision", "revisions", "another one", spec=spec("revisions:3"))

    def provisioning(self) -> None:
        client = self.client
        self.ready("provisioning")
        watched = client.watch({"deployments": [reference("provisioning"), reference("whole")]}, 1)
        client.watches.append((watched, "provisioning"))
        new = {"spec": spec("provisioning:2"), "activate": True}
        self.keep("CreateRevision", "provisioning", "a revision that is activated", **new)
        client.wait_for_routes("provisioning", 2)
        self.deploying("provisioning-half", up=1)
        self.deploying("provisioning-paused", up=1)
        self.keep("PauseDeployment", "provisioning-paused", "during a rollout")
        self.deploying("failed-green", up=1)
        client.report(client.wait_for_routes("failed-green", 1), "FAILED_TO_START", "no such image")
        client.until("failed-green", "failed", lambda it: it["green"].get("failed") == 1)
        self.deploying("min-ready", policy=blue_green(autoPromote=True, minReady=f"{2 * HOURS}s"), up=2)
        client.until("min-ready", "waiting", lambda it: "MIN_READY" in json.dumps(it["blockers"]))

    def at_gates(self) -> None:
        self.at_gate("gate")
        self.at_gate("gate-delay", blue_green(autoPromote=True, promoteDelay=f"{2 * HOURS}s"))
        self.at_gate("gate-hold", gate("HOLD"))
        self.at_gate("gate-rollback", gate("ROLLBACK"))
        self.at_gate("gate-promote", gate("PROMOTE"))
        self.at_gate("gate-paused", gate("ROLLBACK"))
        self.verb("Pause", "gate-paused")
        self.at_gate("gate-resumed", gate("HOLD"))
        self.verb("Pause", "gate-resumed")
        self.keep("ResumeDeployment", "gate-resumed", "at a gate")

    def ended(self) -> None:
        """Rollouts that are over, and what they leave."""
        client = self.client
        self.at_gate("promoted")
        revision = client.get("promoted")["deployingRevisionId"]
        self.keep("PromoteDeployment", "promoted", "a promotion", expectedRevision=revision)
        self.end_drained("promoted")
        self.at_gate("draining", blue_green() | {"drainGrace": f"{HOURS}s"})
        self.verb("Promote", "draining")
        retain = blue_green(scaleDownDelay=f"{24 * HOURS}s")
        self.at_gate("retained", retain)
        self.verb("Promote", "retained")
        self.at_gate("rolled-back", retain)
        self.verb("Promote", "rolled-back")
        reply = self.keep("RollbackDeployment", "rolled-back", "to retained routes")
        assert reply["instant"]
        self.at_gate("rolling-to-earlier")
        self.verb("Promote", "rolling-to-earlier")
        self.end_drained("rolling-to-earlier")
        reply = self.keep("RollbackDeployment", "rolling-to-earlier", "by a rollout")
        assert not reply.get("instant")
        client.wait_for_routes("rolling-to-earlier", 2)
        self.at_gate("aborted")
        self.keep("AbortDeployment", "aborted", "at the gate")
        self.deploying("superseded", up=1)
        revision = client.call("CreateRevision", {"deployment": reference("superseded"), "spec": spec("superseded:3")})
        revision = revision["revision"]["id"]
        self.keep("ActivateRevision", "superseded", "over another one", revision=revision, supersede=True)
        client.wait_for_routes("superseded", 2)

    def rolling(self) -> None:
        client = self.client
        surge = rolling(maxSurge={"count": 1}, maxUnavailable={"count": 0})
        percent = rolling(maxSurge={"percent": 25}, maxUnavailable={"percent": 25})
        for name, policy in [("rolling", surge), ("rolling-paused", percent), ("rolling-back", surge)]:
            self.ready(name, 4, policy)
            self.deploy(name)
            # The first of the new ones serves, and the next is to be started.
            client.bring_up(name, 1)
            client.wait_for_routes(name, 1)
            self.end_drained(name)
        self.verb("Pause", "rolling-paused")
        self.verb("Abort", "rolling-back")
        client.until("rolling-back", "going back", lambda it: it.get("subStep", "").endswith("_ROLLING_BACK"))

    def over(self) -> None:
        client = self.client
        self.ready("destroying")
        self.keep("DeleteDeployment", "destroying", "with routes")
        self.ready("destroyed")
        self.verb("Delete", "destroyed")
        self.end_drained("destroyed")
        client.until("destroyed", "DESTROYED", lambda it: it["lifecycle"].endswith("_DESTROYED"))
        # The last event of those that are watched.
        self.verb("Update", "idle", targetReplicas=1, updateMask="targetReplicas")
        self.verb("Pause", "provisioning")
        self.verb("Resume", "provisioning")


if __name__ == "__main__":
    main()
