"""Draws where a server's CPU time goes, from the output of `perf script`, as a flame graph (B. Gregg, 2011).

    perf record --call-graph dwarf,16384 -F 400 -p PID -o /tmp/perf.data -- sleep 5
    perf script -i /tmp/perf.data -F comm,ip,sym | python3 benches/peers/flame.py TITLE > docs/img/unary-flame.svg
"""

import html
import re
import sys
from collections import Counter

WIDTH, ROW, LEAST_PERCENT = 1200, 17, 0.25
# Frames of how a future gets to run: they hold all that is above them and say nothing.
NOISE = re.compile(r"^(core|std|alloc|futures|futures_core|pin_project_lite)::|^tokio::(runtime|task|loom|util)|^__libc|^clone3|^start_thread|^main$|^_start")
OURS, KERNEL = "#7fb59a", "#8fb0d9"
OTHERS = ("#e5c07b", "#d98f5c", "#dba36a")


def plain(symbol: str) -> str:
    """`<a::B<C> as d::E>::f::{{closure}}` becomes `a::B::f`."""
    symbol = re.sub(r"\+0x[0-9a-f]+$|::\{\{closure\}\}|::h[0-9a-f]{16}$", "", symbol)
    symbol = re.sub(r"^<(.*?) as .*>::", r"\1::", symbol)
    while True:
        shorter = re.sub(r"<[^<>]*>", "", symbol)
        if shorter == symbol:
            return symbol.strip("<>&:") or "unknown"
        symbol = shorter


def stacks(lines) -> Counter:
    """How many samples each stack has, outermost frame first."""
    counted, command, frames = Counter(), None, []
    for line in lines:
        if not line.strip():
            if command:
                counted[(thread(command), *reversed(frames))] += 1
            command, frames = None, []
        elif command is None:
            command = line.strip()
        else:
            address, _, symbol = line.strip().partition(" ")
            # Inlined frames have no path to tell them by; the last address ends the stack.
            if symbol.endswith("(inlined)") or address == "f" * 16:
                continue
            name = "kernel" if address.startswith("ffffffff") else plain(symbol)
            if not NOISE.match(name) and frames[-1:] != [name]:
                frames.append(name)
    return counted


def thread(command: str) -> str:
    return "decision thread" if command.startswith("decide") else "other threads"


def boxes(counted: Counter, depth: int = 0, left: int = 0):
    """Each box as depth, left end and width in samples, and name; wider ones first."""
    groups: dict[str, Counter] = {}
    for stack, samples in counted.items():
        if len(stack) > depth:
            groups.setdefault(stack[depth], Counter())[stack] += samples
    for name, inside in sorted(groups.items(), key=lambda group: -group[1].total()):
        yield depth, left, inside.total(), name
        yield from boxes(inside, depth + 1, left)
        left += inside.total()


def colour(name: str) -> str:
    if name.startswith("deodar"):
        return OURS
    return KERNEL if name == "kernel" else OTHERS[len(name) % len(OTHERS)]


def draw(title: str, counted: Counter) -> str:
    total = counted.total()
    shown = [box for box in boxes(counted) if box[2] * 100 >= LEAST_PERCENT * total]
    height = 24 + ROW * (1 + max((depth for depth, *_ in shown), default=0))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="10">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="6" y="16" font-size="13" font-family="sans-serif">{html.escape(title)}; {total:,} samples; green: Deodar itself, blue: kernel</text>',
    ]
    for depth, left, samples, name in shown:
        x, width, y = left * WIDTH / total, samples * WIDTH / total, 24 + ROW * depth
        label = html.escape(name if len(name) * 6 < width else name[-int(width / 6) :] if width > 30 else "")
        parts.append(
            f'<g><title>{html.escape(name)}: {samples * 100 / total:.1f} %</title>'
            f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.3, 0.3):.1f}" height="{ROW - 1}" fill="{colour(name)}"/>'
            f'<text x="{x + 2:.1f}" y="{y + 12}">{label}</text></g>'
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    sys.stdout.write(draw(sys.argv[1], stacks(sys.stdin)))
