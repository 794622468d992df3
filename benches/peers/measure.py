"""Measures Deodar beside its floor and its peers: interleaved rounds, servers on one core, the generator on another.

Started by `scripts/bench-peers`, which builds and fetches what is measured. Prints one JSON line at the end, and
writes the page that `report.py` makes of the numbers.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import cedar_agent
import questions
import report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SERVER_CORE, GENERATOR_CORE = "0", "1"
# Servers with Deodar's settings and commands: whole, and without tokens, risk and audit.
DEODARS = ("deodar", "bare")
CHECK_RESOURCES = "/cerbos.svc.v1.CerbosService/CheckResources"
# Fewer when it must be quick: each question is asked once before every point.
PRINCIPALS, PRINCIPALS_QUICK = 1000, 100

DEODAR = """development = true
data_dir = "."
log.filter = "warn"
[server]
decisions = "127.0.0.1:{port}"
management = "127.0.0.1:{other}"
[policy.domains.default]
directories = ["policies", "{root}/policies/demo"]
[[inventory.apis]]
id = "orders"
openapi = "{root}/policies/demo/orders.openapi.yaml"
hosts = ["orders.example.com"]
[[inventory.apis]]
id = "accounts"
openapi = "{root}/policies/demo/accounts.openapi.yaml"
hosts = ["accounts.example.com"]
"""

CERBOS = """server:
  grpcListenAddr: 127.0.0.1:{port}
  httpListenAddr: 127.0.0.1:{other}
storage:
  driver: disk
  disk: {{ directory: "{policies}", watchForChanges: false }}
telemetry: {{ disabled: true }}
audit:
  enabled: {audit}
  accessLogsEnabled: true
  decisionLogsEnabled: true
  backend: local
  local: {{ storagePath: "{folder}/audit" }}
"""


@dataclass
class Point:
    """One thing to measure: a server, and how it is asked."""

    name: str
    title: str
    server: str
    arguments: list[str]
    # So many times the rate that the first point had in the same round: more than the server can do.
    times: float | None = None
    results: list[dict] = field(default_factory=list)

    def median(self, read) -> float | None:
        values = [read(one) for one in self.results if read(one) is not None]
        return statistics.median(values) if values else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"a server ended with {process.returncode} instead of listening at port {port}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit(f"no server listens at port {port} after 30 s")


class Bench:
    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options = options
        self.folder = folder
        self.principals = PRINCIPALS_QUICK if options.quick else PRINCIPALS
        self.servers: dict[str, tuple[int, subprocess.Popen]] = {}
        # What Deodar could do at most in this round.
        self.most = 0.0

    def start(self, name: str, command: list, port: int, folder: Path) -> None:
        with open(folder / f"{name}.log", "w") as log:
            pinned = ["taskset", "-c", SERVER_CORE, *command]
            process = subprocess.Popen(pinned, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        self.servers[name] = (port, process)
        wait_for(port, process)

    def stop(self) -> None:
        for _, process in self.servers.values():
            process.send_signal(signal.SIGTERM)
        for _, process in self.servers.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()

    def start_all(self) -> None:
        for name in ("floor", *DEODARS, "cerbos", "cerbos-audit", "cedar-agent"):
            port, other, folder = free_port(), free_port(), self.folder / name
            folder.mkdir()
            if name == "floor":
                command = [self.options.floor, "--listen", f"127.0.0.1:{port}"]
            elif name in DEODARS:
                # Rates are counted as always; but limits made for people would stop the generator at once.
                shutil.copytree(ROOT / "policies/zero-trust", folder / "policies", ignore=shutil.ignore_patterns("request-rates.cedar", "cases"))
                (folder / "deodar.toml").write_text(DEODAR.format(port=port, other=other, root=ROOT))
                program = self.options.bare if name == "bare" else self.options.deodar
                command = [program, "serve", "--config", folder / "deodar.toml"]
            elif name == "cedar-agent":
                questions.for_cedar_agent(self.folder / "http-bodies", self.principals)
                data = self.folder / "http-bodies" / "data.json"
                command = cedar_agent.command(self.options.cedar_agent, port, folder, data)
            else:
                audit = "true" if name == "cerbos-audit" else "false"
                names = dict(port=port, other=other, policies=HERE / "cerbos", audit=audit, folder=folder)
                (folder / "cerbos.yaml").write_text(CERBOS.format(**names))
                command = [self.options.cerbos, "server", "--config", folder / "cerbos.yaml", "--log-level", "error"]
            self.start(name, command, port, folder)
        for name in DEODARS:
            folder = self.folder / name
            questions.for_deodar(folder / "questions.json", self.options.deodar, folder, self.principals)
        questions.for_cerbos(self.folder / "bodies", self.principals)

    def measure(self, point: Point) -> None:
        """One run of a generator. It checks every answer, before and while it times."""
        result = self.over_http(point) if point.server == "cedar-agent" else self.over_grpc(point)
        point.results.append(result)
        if point.name == "deodar":
            self.most = result["decisions_per_s"]
        others = (result["cpu"] or {}).get("other_cores")
        rate, tail = result["decisions_per_s"], result["latency_us"]["p99"]
        wrong = {name: count for name, count in result["errors"].items() if count}
        say(f"{point.name:18} {rate:>9.0f}/s  p99 {tail / 1000:8.3f} ms  others {others or 0:.2f} cores  {wrong or ''}")

    def over_http(self, point: Point) -> dict:
        port, process = self.servers[point.server]
        bodies, warmup, duration = self.folder / "http-bodies", self.options.warmup, self.options.duration
        return cedar_agent.measure(port, process.pid, bodies, GENERATOR_CORE, warmup, duration)

    def over_grpc(self, point: Point) -> dict:
        port, process = self.servers[point.server]
        own = self.folder / (point.server if point.server in DEODARS else "deodar")
        command = ["taskset", "-c", GENERATOR_CORE, self.options.deodar, "bench", "--output", "json"]
        command += ["--server", f"http://127.0.0.1:{port}", "--data-dir", own]
        command += ["--warmup", self.options.warmup, "--duration", self.options.duration]
        command += ["--pid", str(process.pid), *point.arguments]
        if point.server.startswith("cerbos"):
            command += ["--rpc", CHECK_RESOURCES, "--bodies", self.folder / "bodies"]
        elif "--anonymous" not in point.arguments:
            command += ["--requests", own / "questions.json"]
        if point.server == "floor":
            command += ["--trust-answers"]
        if point.times:
            command += ["--rate", round(point.times * self.most)]
        ended = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if not ended.stdout:
            sys.exit(f"{point.name}: {ended.stderr}")
        return json.loads(ended.stdout)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def points() -> list[Point]:
    closed = ["--connections", "4", "--concurrency", "64"]
    stream = [*closed, "--mode", "stream"]
    batch = ["--connections", "4", "--concurrency", "2", "--mode", "batch", "--batch-size", "16"]
    paced = ["--connections", "4", "--concurrency", "256", "--rate", "2900"]
    flood = ["--connections", "16", "--concurrency", "250", "--give-up-after", "10ms"]
    return [
        Point("floor", "typed floor: decodes, answers a constant", "floor", closed),
        Point("deodar", "Deodar, everything on", "deodar", closed),
        Point("bare", "Deodar without checking tokens, risk and audit", "bare", closed),
        Point("deodar-anonymous", "Deodar, anonymous call of a public endpoint", "deodar", [*closed, "--anonymous"]),
        Point("cerbos", "Cerbos, audit off", "cerbos", closed),
        Point("cerbos-audit", "Cerbos, audit on", "cerbos-audit", closed),
        Point("cedar-agent", "cedar-agent, HTTP/1.1", "cedar-agent", []),
        Point("floor-stream", "typed floor, stream", "floor", stream),
        Point("deodar-stream", "Deodar, stream", "deodar", stream),
        Point("deodar-batch16", "Deodar, batches of 16", "deodar", batch),
        Point("deodar-2900", "Deodar at 2,900/s", "deodar", paced),
        Point("cerbos-2900", "Cerbos at 2,900/s, audit off", "cerbos", paced),
        Point("deodar-overload", "Deodar, a quarter more asked than it can do: what was decided", "deodar", flood, times=1.25),
        Point("deodar-twice", "Deodar, twice as much asked as it can do: what was decided", "deodar", flood, times=2.0),
    ]


def by_policies(instructions: Path) -> dict[int, tuple[float, float]]:
    """Median and p99 of one decision in process, in microseconds, for each number of policies."""
    times = {}
    for policies, decisions in ((10, 5_000), (1_000, 5_000), (100_000, 5_000)):
        command = ["taskset", "-c", GENERATOR_CORE, instructions, "--time", "--policies", policies]
        command += ["--decisions", decisions]
        ended = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"{instructions}: {ended.stderr}")
        took = json.loads(ended.stdout)
        times[policies] = took["p50_ns"] / 1000, took["p99_ns"] / 1000
        say(f"one decision among {policies:,} policies: {times[policies][0]:.1f} us")
    return times


def by_steps(instructions: Path) -> dict[str, float]:
    """The median of each step of one decision in process, in microseconds."""
    command = ["taskset", "-c", GENERATOR_CORE, instructions, "--steps", "--policies", "1000", "--decisions", "9000"]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{instructions}: {ended.stderr}")
    steps = [json.loads(line) for line in ended.stdout.splitlines()]
    return {one["step"]: one["p50_ns"] / 1000 for one in steps}


def summary(measured: dict[str, Point], policies: dict[int, tuple[float, float]], steps: dict[str, float], options: argparse.Namespace) -> dict:
    def rate(name: str) -> float | None:
        return measured[name].median(lambda one: one["decisions_per_s"])

    def cpu(name: str) -> float | None:
        return measured[name].median(lambda one: one["server_us_per_decision"])

    def tail(name: str) -> float | None:
        return measured[name].median(lambda one: one["latency_us"]["p99"])

    def background() -> float | None:
        return measured["deodar"].median(lambda one: one["server_us_per_decision"] - one["deciding_us_per_decision"])

    def extras() -> float:
        """The share of throughput that token, risk and audit cost: what is missing to that without them, in each round."""
        rounds = zip(measured["deodar"].results, measured["bare"].results, strict=True)
        return statistics.median(1 - whole["decisions_per_s"] / bare["decisions_per_s"] for whole, bare in rounds)

    def accepted(of: str) -> float | None:
        return measured[of].median(lambda one: (one["decisions"] - one["errors"]["overloaded"]) / one["duration_s"])

    def disturbance() -> float:
        each = [one["cpu"]["other_cores"] for point in measured.values() for one in point.results if one["cpu"]]
        return round(max(each, default=0.0), 2)

    wrong = [
        f"{point.name}: {kind} {one['errors'][kind]}"
        for point in measured.values()
        for one in point.results
        for kind in ("wrong", "overloaded", "failed")
        if one["errors"][kind] and not (point.times and by_overload(one["errors"], kind))
    ]
    figures = {
        "floor_rps": rate("floor"),
        "unary_rps": rate("deodar"),
        "bare_rps": rate("bare"),
        "anonymous_rps": rate("deodar-anonymous"),
        "stream_rps": rate("deodar-stream"),
        "floor_stream_rps": rate("floor-stream"),
        "batch16_rps": rate("deodar-batch16"),
        "batch16_us": cpu("deodar-batch16"),
        "cerbos_rps": rate("cerbos"),
        "cerbos_audit_rps": rate("cerbos-audit"),
        "cedar_agent_rps": rate("cedar-agent"),
        "floor_cpu_us": cpu("floor"),
        "unary_cpu_us": cpu("deodar"),
        "bare_cpu_us": cpu("bare"),
        "stream_cpu_us": cpu("deodar-stream"),
        "cerbos_cpu_us": cpu("cerbos"),
        "cedar_agent_cpu_us": cpu("cedar-agent"),
        "background_cpu_us": background(),
        "token_risk_audit_share": extras(),
        "overload_accepted_rps": accepted("deodar-overload"),
        "overload_p99_us": tail("deodar-overload"),
        "twice_accepted_rps": accepted("deodar-twice"),
        "twice_p99_us": tail("deodar-twice"),
        "p99_2900_us": tail("deodar-2900"),
        "cerbos_p99_2900_us": tail("cerbos-2900"),
        "steps_us": steps or None,
        "cost_us_by_policies": {count: median for count, (median, _) in policies.items()} or None,
        "cost_p99_us_by_policies": {count: p99 for count, (_, p99) in policies.items()} or None,
        "cost_100k_over_10": round(policies[100_000][0] / policies[10][0], 2) if policies else None,
    }
    figures = {name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()}
    for name, (above, below) in {
        "unary_over_floor": ("unary_rps", "floor_rps"),
        "unary_over_cerbos": ("unary_rps", "cerbos_rps"),
        "unary_over_cedar_agent": ("unary_rps", "cedar_agent_rps"),
        "floor_cpu_over_unary": ("floor_cpu_us", "unary_cpu_us"),
        "cerbos_cpu_over_unary": ("cerbos_cpu_us", "unary_cpu_us"),
        "cedar_agent_cpu_over_unary": ("cedar_agent_cpu_us", "unary_cpu_us"),
        "p99_2900_over_cerbos": ("p99_2900_us", "cerbos_p99_2900_us"),
    }.items():
        if figures[above] is not None and figures[below]:
            figures[name] = round(figures[above] / figures[below], 3)
    return figures | {"rounds": options.rounds, "most_other_cores": disturbance(), "errors": wrong}


def by_overload(errors: dict, kind: str) -> bool:
    """Whether these are what overload is to lead to: questions denied, or never asked because too many waited."""
    return kind == "overloaded" or (kind == "failed" and (errors["first_failure"] or "").startswith("never asked"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench-peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short points: less than five minutes in all")
    parser.add_argument("--output", choices=("table", "json"), default="table", help="what to print at the end")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured in turn")
    parser.add_argument("--no-page", action="store_true", help="leave docs/performance.md as it is")
    parser.add_argument("--no-policies", action="store_true", help="leave out the cost in process: by number of policies, and of each step")
    for name in ("deodar", "bare", "floor", "cerbos", "cedar-agent", "instructions"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.warmup, options.duration = ("1s", "4s") if options.quick else ("2s", "10s")
    if (os.cpu_count() or 1) < 2:
        sys.exit("this needs two cores: one for the server, one for the generator")
    return options


def main() -> None:
    options = arguments()
    wanted = points()
    with tempfile.TemporaryDirectory(prefix="deodar-bench-") as folder:
        bench = Bench(options, Path(folder))
        try:
            bench.start_all()
            for number in range(options.rounds):
                say(f"round {number + 1} of {options.rounds}")
                for point in wanted:
                    bench.measure(point)
        finally:
            bench.stop()
    policies = {} if options.no_policies else by_policies(options.instructions)
    steps = {} if options.no_policies else by_steps(options.instructions)
    measured = {point.name: point for point in wanted}
    figures = summary(measured, policies, steps, options)
    if not options.no_page:
        report.write(ROOT / "docs", measured, figures, options)
    if options.output == "json":
        print(json.dumps(figures))
    else:
        print(report.table(measured))
    sys.exit(1 if figures["errors"] else 0)


if __name__ == "__main__":
    main()
