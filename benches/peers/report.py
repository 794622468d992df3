"""What was measured, as a table and a plot for `docs/performance.md`."""

import datetime
import html
import platform
import statistics
import subprocess
from pathlib import Path

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
# Above this, what the rest of the machine did is part of the result.
QUIET = 0.05


def spread(values: list[float], digits: int = 0) -> str:
    if not values:
        return "-"
    shown = [f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    return f"{shown[0]} [{shown[1]}..{shown[2]}]"


def row(point) -> str:
    results = point.results
    tails = [statistics.median(one["latency_us"][name] for one in results) for name in ("p50", "p99", "p999")]
    others = [one["cpu"]["other_cores"] for one in results if one["cpu"]]
    quiet = sum(other <= QUIET for other in others)
    decided = [(one["decisions"] - one["errors"]["overloaded"]) / one["duration_s"] for one in results]
    deciding = [one["deciding_us_per_decision"] for one in results if one["deciding_us_per_decision"]]
    cells = [
        point.title,
        spread(decided),
        spread([one["server_us_per_decision"] for one in results if one["server_us_per_decision"]], 1)
        + (f", {statistics.median(deciding):.1f} of them deciding" if deciding else ""),
        " / ".join(f"{tail:,.0f}" for tail in tails),
        f"{quiet} of {len(results)}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(measured: dict) -> str:
    heading = "| server | decisions/s | server CPU, us a decision | p50 / p99 / p99.9, us | quiet rounds |"
    return "\n".join([heading, "|---|---|---|---|---|", *(row(point) for point in measured.values())])


def version(command: list) -> str:
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    lines = (ended.stdout or ended.stderr).strip().splitlines()
    return lines[0] if lines else "unknown"


def machine() -> str:
    model, memory = "unknown CPU", ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal"):
            memory = f"{int(line.split()[1]) / 1024 / 1024:.0f} GiB"
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    return f"{cores} x {model}, {memory}, Linux {platform.release()}, loopback, no TLS"


def section(measured: dict, figures: dict, options) -> str:
    seconds = options.duration.removesuffix("s")
    lines = [
        BEGIN,
        "",
        f"Measured on {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, revision {version(['git', 'describe', '--always', '--dirty'])}: "
        f"{options.rounds} rounds, every row in turn, {seconds} s each after a warm-up. {machine()}. "
        f"{version(['rustc', '--version'])}; Cerbos {version([options.cerbos, '--version'])}; "
        f"{version([options.cedar_agent, '--version'])}.",
        "",
        "Numbers are the median of the rounds, with the smallest and the largest. A round is quiet when everything else on the "
        f"machine used at most {QUIET} cores meanwhile; the most that was used is {figures['most_other_cores']} cores. In rounds that are not "
        "quiet, read the CPU time and not the rates or the tails.",
        "",
        table(measured),
        "",
        "![Decisions a second on one core](img/performance.svg)",
        "",
    ]
    if figures.get("cost_us_by_policies"):
        costs, tails = figures["cost_us_by_policies"], figures["cost_p99_us_by_policies"]
        lines += ["| policies | one decision in process, median / p99, us |", "|---|---|"]
        lines += [f"| {policies:,} | {cost:,.1f} / {tails[policies]:,.1f} |" for policies, cost in costs.items()]
        lines += ["", f"100,000 policies cost {figures['cost_100k_over_10']} times as much as 10.", ""]
    if figures.get("steps_us"):
        steps = figures["steps_us"]
        lines += ["| step of one decision in process, reading the clock included | median us | share |", "|---|---|---|"]
        lines += [f"| {step} | {took:.2f} | {100 * took / sum(steps.values()):.0f} % |" for step, took in steps.items()]
        lines += [""]
    lines += [f"Checking the token, risk and audit cost {figures['token_risk_audit_share'] * 100:.0f} % of the throughput without them: of the "
              f"{figures['unary_cpu_us']:.1f} us of CPU that a decision costs on the server, {figures['unary_cpu_us'] - figures['bare_cpu_us']:.1f}, "
              f"of which {figures['background_cpu_us']:.1f} for storing the records.", ""]
    if figures["errors"]:
        lines += ["Answers that were not as they should be: " + "; ".join(figures["errors"]) + ".", ""]
    return "\n".join([*lines, END])


def plot(measured: dict) -> str:
    # Beside a stream on which nothing is decided every other bar would be a line.
    bars = [point for point in measured.values() if "--rate" not in point.arguments and not point.times and point.name != "floor-stream"]
    rates = {point.name: [one["decisions_per_s"] for one in point.results] for point in bars}
    most = max(max(values) for values in rates.values()) or 1
    left, width, step = 320, 420, 30
    height = step * len(bars) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 110} {height}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="12" y="22" font-weight="bold">Decisions a second, server on one core (median; line: smallest to largest)</text>',
    ]
    for place, point in enumerate(bars):
        values = rates[point.name]
        median, top = statistics.median(values), 40 + step * place
        scale = width / most
        colour = "#2e7d5b" if point.server in ("deodar", "bare") else "#9aa5a0"
        middle = top + 9
        parts += [
            f'<text x="{left - 8}" y="{top + 14}" text-anchor="end">{html.escape(point.title)}</text>',
            f'<rect x="{left}" y="{top}" width="{median * scale:.1f}" height="18" fill="{colour}"/>',
            f'<line x1="{left + min(values) * scale:.1f}" x2="{left + max(values) * scale:.1f}" y1="{middle}" y2="{middle}" stroke="#111"/>',
            f'<text x="{left + max(values) * scale + 8:.1f}" y="{top + 14}">{median:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def write(docs: Path, measured: dict, figures: dict, options) -> None:
    """Replaces the measured part of the page; what people wrote around it stays."""
    page = docs / "performance.md"
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    # The page first: it tells whether the tree is as it was committed.
    page.write_text(before + section(measured, figures, options) + after)
    (docs / "img").mkdir(exist_ok=True)
    (docs / "img" / "performance.svg").write_text(plot(measured))
