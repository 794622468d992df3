"""The questions that every system is asked, in each one's own form.

One table says what is asked and what the answer must be; the policies of each system are written so that they agree on
it, and nothing is timed before they do.
"""

import json
import struct
import subprocess
from pathlib import Path

# (effect, method, API, template, path, value of {id}, sensitivity, state, scopes met)
# Of a clerk who may read orders and accounts; {me} is the subject.
QUESTIONS = [
    ("allow", "GET", "orders", "/orders/{id}", "/orders/7", "7", 1, "declared", True),
    ("deny", "POST", "orders", "/orders", "/orders", "", 1, "declared", False),
    ("allow", "GET", "accounts", "/accounts/{id}", "/accounts/{me}", "{me}", 2, "declared", True),
    ("deny", "GET", "accounts", "/accounts/{id}", "/accounts/somebody-else", "somebody-else", 2, "declared", True),
    ("allow", "GET", "orders", "/orders", "/orders", "", 1, "declared", True),
    ("deny", "PUT", "accounts", "/accounts/{id}", "/accounts/{me}", "{me}", 2, "declared", False),
    ("allow", "GET", "orders", "/orders", "/orders?page=2&sort=date", "", 1, "declared", True),
    ("deny", "POST", "orders", "/orders/{id}/refund", "/orders/7/refund", "7", 3, "declared", False),
    ("allow", "GET", "orders", "/orders/{id}", "/orders/2026-11-4711", "2026-11-4711", 1, "declared", True),
    ("deny", "GET", "orders", "/debug/heap", "/debug/heap", "", 3, "discovered", False),
    ("allow", "GET", "orders", "/health", "/health", "", 0, "declared", True),
    ("deny", "POST", "orders", "/orders", "/orders?dry_run=true", "", 1, "declared", False),
    ("allow", "GET", "accounts", "/accounts/{id}", "/accounts/{me}?fields=address", "{me}", 2, "declared", True),
    ("deny", "GET", "accounts", "/accounts/{id}", "/accounts/root", "root", 2, "declared", True),
    ("allow", "GET", "orders", "/orders/{id}", "/orders/8?expand=lines", "8", 1, "declared", True),
    ("deny", "POST", "orders", "/orders/{id}/refund", "/orders/8/refund", "8", 3, "declared", False),
]


def for_deodar(file: Path, deodar: Path, data_dir: Path, principals: int) -> None:
    """Writes the file for `deodar bench --requests`, with a token for each principal."""
    entries = []
    for number in range(principals):
        me = f"bench-{number}"
        mint = [deodar, "token", "mint", me, "--data-dir", data_dir, "--role", "clerk", "--session", f"s-{number}"]
        mint += ["--scope", "orders:read", "--scope", "accounts:read"]
        token = subprocess.run(mint, check=True, capture_output=True, text=True).stdout.strip()
        for effect, method, api, _, path, *_ in QUESTIONS:
            url = f"https://{api}.example.com{path}".replace("{me}", me)
            entries.append({"method": method, "url": url, "token": token, "expect": effect})
    file.write_text(json.dumps(entries))


def for_cerbos(folder: Path, principals: int) -> None:
    """Writes encoded CheckResources requests, and the bytes that tell the right answer."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(principals):
        me = f"bench-{number}"
        for place, (effect, method, api, template, _, value, sensitivity, state, met) in enumerate(QUESTIONS):
            principal = {"subject": me, "kind": "user", "active": True, "issuer": "dev", "token_kind": "user"}
            principal |= {"token_lifetime_s": 900, "sender_constrained": False, "acr": "", "auth_age_s": 60}
            resource = {"template": template, "path_id": value.replace("{me}", me), "sensitivity": sensitivity}
            resource |= {"state": state, "scopes_met": met, "risk_level": 0, "risk_stale": False}
            entry = text(1, method) + message(2, text(1, api) + text(3, template) + attributes(resource))
            request = text(1, f"{number}-{place}")
            request += message(3, text(1, me) + text(3, "clerk") + attributes(principal)) + message(4, entry)
            name = folder / f"{number:04}-{place:02}"
            name.with_suffix(".bin").write_bytes(request)
            # An entry of the map `actions`: the name of the action and the number of the effect.
            answer = text(1, method) + bytes([0x10, {"allow": 1, "deny": 2}[effect]])
            name.with_suffix(".expect").write_text(answer.hex())


def for_cedar_agent(folder: Path, principals: int) -> None:
    """Writes the bodies of requests to cedar-agent, one a line: those to be allowed, and those to be denied.

    The principal comes with the request; the rest is in `data.json`, for cedar-agent to store. That is what suits it best: it copies
    all that it stores for each request, so a thousand principals must not be there, but it need not parse the endpoint again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bodies, stored = {"allow": [], "deny": []}, {}
    for number in range(principals):
        me = f"bench-{number}"
        for effect, method, api, template, _, value, sensitivity, state, met in QUESTIONS:
            endpoint = f"{api}/{method} {template}"
            token = {"kind": "user", "lifetime_s": 900, "sender_constrained": False, "acr": "", "auth_age_s": 60}
            context = {"scopes_met": met, "path_id": value.replace("{me}", me), "risk": {"level": 0, "stale": False}, "token": token}
            user = entity("User", me, ("Role", "clerk"), {"subject": me, "kind": "user", "active": True, "issuer": "dev"})
            stored[method] = entity("Action", method, ("Action", "read" if method == "GET" else "write"), {})
            found = {"template": template, "sensitivity": sensitivity, "state": state}
            stored[endpoint] = entity("Endpoint", endpoint, ("Service", api), found)
            body = {"principal": f'api::User::"{me}"', "action": f'api::Action::"{method}"', "resource": f'api::Endpoint::"{endpoint}"'}
            bodies[effect].append(json.dumps(body | {"context": context, "additional_entities": [user]}, separators=(",", ":")))
    (folder / "data.json").write_text(json.dumps(list(stored.values())))
    for effect, lines in bodies.items():
        (folder / f"{effect}.jsonl").write_text("".join(f"{line}\n" for line in lines))


def entity(kind: str, name: str, parent: tuple[str, str], values: dict) -> dict:
    above = {"type": f"api::{parent[0]}", "id": parent[1]}
    return {"uid": {"type": f"api::{kind}", "id": name}, "attrs": values, "parents": [above]}


# Protobuf, as far as it is needed here.


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    return message(field, value.encode())


def attributes(values: dict) -> bytes:
    """The field `attr` (4) of principal and resource: map<string, google.protobuf.Value>."""
    return b"".join(message(4, text(1, name) + message(2, value_of(value))) for name, value in values.items())


def value_of(value: bool | int | str) -> bytes:
    if isinstance(value, bool):
        return bytes([0x20, value])
    if isinstance(value, int):
        return b"\x11" + struct.pack("<d", value)
    return text(3, value)
