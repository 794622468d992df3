"""Asks cedar-agent over HTTP/1.1 with wrk, and reports it in the form in which `deodar bench` reports the others."""

import http.client
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# As many questions in flight as the closed points of the others have: 4 connections of 64. HTTP/1.1 has one on each.
CONNECTIONS = 256
TICKS = os.sysconf("SC_CLK_TCK")


def command(program: Path, port: int, folder: Path, data: Path) -> list:
    """The command that serves our policies."""
    policies = folder / "policies.json"
    policies.write_text(json.dumps(read_policies(HERE / "cedar-agent")))
    return [program, "--addr", "127.0.0.1", "--port", str(port), "--log-level", "off", "--policies", policies, "--data", data]


def read_policies(folder: Path) -> list[dict]:
    """cedar-agent wants each policy by itself, with its id."""
    policies = []
    for file in sorted(folder.glob("*.cedar")):
        for content in re.split(r'(?=^@id\(")', file.read_text(), flags=re.MULTILINE)[1:]:
            policies.append({"id": content.split('"')[1], "content": content.strip()})
    return policies


def check(port: int, folder: Path) -> None:
    """Asks every question once: nothing is timed before all answers are right."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for effect in ("allow", "deny"):
        for body in (folder / f"{effect}.jsonl").read_text().splitlines():
            connection.request("POST", "/v1/is_authorized", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
            answer = json.loads(text) if response.status == 200 else {}
            if answer.get("decision") != effect.capitalize() or answer["diagnostics"]["errors"]:
                sys.exit(f"cedar-agent must {effect}, but answered {response.status} {text} to {body}")
    connection.close()


def measure(port: int, pid: int, folder: Path, core: str, warmup: str, duration: str) -> dict:
    check(port, folder)
    wrk(port, folder, core, warmup)
    before, server_before, generator_before = machine(), process(pid), generator()
    result = wrk(port, folder, core, duration)
    server, own = process(pid) - server_before, generator() - generator_before
    seconds, requests = result["duration_us"] / 1e6, result["requests"]
    cores = {"server_cores": server / seconds, "generator_cores": own / seconds}
    cores["other_cores"] = max(0.0, (machine() - before - server - own) / seconds)
    return {
        "decisions": requests,
        "duration_s": seconds,
        "decisions_per_s": round(requests / seconds),
        "latency_us": {name: result[name] for name in ("p50", "p99", "p999")},
        "errors": {"wrong": result["wrong"], "overloaded": 0, "failed": result["failed"]},
        "allowed": result["allow"],
        "denied": result["deny"],
        "cpu": cores,
        "server_us_per_decision": server / requests * 1e6 if requests else None,
        "deciding_us_per_decision": None,
    }


def wrk(port: int, folder: Path, core: str, duration: str) -> dict:
    words = ["taskset", "-c", core, "wrk", "-t", 2, "-c", CONNECTIONS, "-d", duration, "-s", HERE / "cedar_agent.lua"]
    words += [f"http://127.0.0.1:{port}", "--", folder]
    ended = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    last = ended.stdout.strip().splitlines()[-1:]
    if ended.returncode or not last or not last[0].startswith("{"):
        sys.exit(f"wrk: {ended.stdout}{ended.stderr}")
    return json.loads(last[0])


# CPU time used up to now, in seconds; counted as `src/cli/bench/machine.rs` does it.


def process(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def generator() -> float:
    """What ended children used: while this measures, that is wrk."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def machine() -> float:
    # user, nice, system, idle, iowait, irq, softirq, steal; the rest is part of user and nice.
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / TICKS
