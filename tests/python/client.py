"""A client of the decision API that knows nothing but what the server says of itself.

It proves that a program in another language, with another gRPC stack, gets the answers that ours gets: descriptors
come from server reflection, messages are built from them at run time, and no generated code takes part. It asks each
case by Check, BatchCheck and StreamCheck. What the answers should be is the business of the case file.

    client.py --key KEY 127.0.0.1:7350 cases.json
    client.py --key KEY --ca-file ca.pem --tls-cert tls.crt --tls-key tls.key localhost:7350 cases.json

The case file is a list of
    {"name": "..", "request": <CheckRequest in proto JSON>, "expect": {"effect": "deny", "reason": "revoked"}}
where `expect` may also have `policy_ids`, `principal` and `endpoint`.

Prints one JSON object a line for each case. Exit code: 0, all as expected; 1, some not; 2, could not ask.
"""

import argparse
import json
import os
import pathlib
import sys
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

SERVICE = "deodar.decision.v1.DecisionService"
# The two versions of the protocol differ in name only.
REFLECTION_METHODS = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
# Questions in one batch; the server refuses more than 256.
BATCH_LIMIT = 256


class CannotAsk(Exception):
    """The server, the key or the case file is not what this needs."""


class Client:
    """The decision service of one server, as reflection describes it."""

    def __init__(self, channel, key, timeout):
        self._channel = channel
        self._timeout = timeout
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self._pool = reflect(channel, SERVICE, timeout)
        self._service = self._pool.FindServiceByName(SERVICE)

    def check(self, requests):
        """Asks one question at a time."""
        call = self._method("Check", self._channel.unary_unary)
        for request in requests:
            message = self._message("Check", request)
            yield call(message, metadata=self._metadata, timeout=self._timeout).decision

    def batch_check(self, requests):
        """Asks in batches: a batch has one credential, so requests that differ in more than the question are parted."""
        call = self._method("BatchCheck", self._channel.unary_unary)
        decisions = [None] * len(requests)
        for shared, places in self._batches(requests):
            questions = [requests[place].get("question", {}) for place in places]
            message = self._message("BatchCheck", {**shared, "questions": questions})
            answers = call(message, metadata=self._metadata, timeout=self._timeout).decisions
            if len(answers) != len(places):
                raise CannotAsk(f"BatchCheck answered {len(answers)} of {len(places)} questions")
            for place, decision in zip(places, answers):
                decisions[place] = decision
        return decisions

    def stream_check(self, requests):
        """Asks all at once on one stream. Answers come in any order; their id says where they belong."""
        call = self._method("StreamCheck", self._channel.stream_stream)
        messages = [
            self._message("StreamCheck", {"id": str(place), "request": request})
            for place, request in enumerate(requests)
        ]
        answers = {}
        for answer in call(iter(messages), metadata=self._metadata, timeout=self._timeout):
            if answer.id in answers:
                raise CannotAsk(f"StreamCheck answered question {answer.id} twice")
            answers[answer.id] = answer.decision
        unanswered = [message.id for message in messages if message.id not in answers]
        if unanswered:
            raise CannotAsk(f"StreamCheck left questions unanswered: {', '.join(unanswered)}")
        return [answers[message.id] for message in messages]

    def _batches(self, requests):
        groups = {}
        for place, request in enumerate(requests):
            shared = {field: value for field, value in request.items() if field != "question"}
            groups.setdefault(json.dumps(shared, sort_keys=True), (shared, []))[1].append(place)
        for shared, places in groups.values():
            for start in range(0, len(places), BATCH_LIMIT):
                yield shared, places[start : start + BATCH_LIMIT]

    def _method(self, name, kind):
        output = message_factory.GetMessageClass(self._service.methods_by_name[name].output_type)
        return kind(
            f"/{SERVICE}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=output.FromString,
        )

    def _message(self, method, fields):
        message = message_factory.GetMessageClass(self._service.methods_by_name[method].input_type)()
        return json_format.ParseDict(fields, message, descriptor_pool=self._pool)


def reflect(channel, symbol, timeout):
    """Asks the server for the file that declares `symbol` and for all that it imports."""
    error = None
    for method in REFLECTION_METHODS:
        try:
            return load_files(lambda request: ask_reflection(channel, method, request, timeout), symbol)
        except grpc.RpcError as failure:
            if failure.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
            error = failure
    raise CannotAsk("the server has no reflection service") from error


def load_files(ask, symbol):
    """Puts the files into a pool, imported ones before those that import them."""
    pool = descriptor_pool.DescriptorPool()
    files = {}

    def take(request):
        for data in ask(request):
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            files.setdefault(file.name, file)

    def add(name, added):
        if name in added:
            return
        if name not in files:
            take(reflection_pb2.ServerReflectionRequest(file_by_filename=name))
        added.add(name)
        for imported in files[name].dependency:
            add(imported, added)
        pool.Add(files[name])

    take(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
    added = set()
    for name in list(files):
        add(name, added)
    return pool


def ask_reflection(channel, method, request, timeout):
    call = channel.stream_stream(
        method,
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    for response in call(iter([request]), timeout=timeout):
        if response.HasField("error_response"):
            raise CannotAsk(f"reflection: {response.error_response.error_message}")
        return response.file_descriptor_response.file_descriptor_proto
    raise CannotAsk("reflection ended without an answer")


def readable(decision):
    """A decision in the words of case files: `deny` and `credential_expired`, not EFFECT_DENY and a number."""
    return {
        "effect": enum_name(decision, "effect"),
        "reason": enum_name(decision, "reason"),
        "policy_ids": list(decision.policy_ids),
        "principal": decision.principal,
        "endpoint": decision.endpoint,
    }


def enum_name(message, field):
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    value = enum.values_by_number.get(getattr(message, field))
    return plain(value.name, field) if value else str(getattr(message, field))


def plain(name, field):
    return str(name).lower().removeprefix(f"{field}_")


def differences(expected, answer):
    """What is not as expected, as `field: wanted .., got ..`."""
    found = []
    for field, wanted in expected.items():
        if field not in answer:
            raise CannotAsk(f"`expect` cannot have `{field}`, only {', '.join(answer)}")
        if field in ("effect", "reason"):
            wanted = plain(wanted, field)
        if answer[field] != wanted:
            found.append(f"{field}: wanted {wanted}, got {answer[field]}")
    return found


def run(client, cases, out):
    """Asks all cases by all three methods; returns how many were not answered as expected."""
    requests = [case["request"] for case in cases]
    by_method = {
        "Check": list(client.check(requests)),
        "BatchCheck": client.batch_check(requests),
        "StreamCheck": client.stream_check(requests),
    }
    failed = 0
    for place, case in enumerate(cases):
        decisions = {method: decisions[place] for method, decisions in by_method.items()}
        problems = [
            f"{method}: {difference}"
            for method, decision in decisions.items()
            for difference in differences(case["expect"], readable(decision))
        ]
        failed += bool(problems)
        line = {
            "name": case["name"],
            "ok": not problems,
            **readable(decisions["Check"]),
            "decision_ids": [decision.decision_id for decision in decisions.values()],
            "problems": problems,
        }
        print(json.dumps(line), file=out, flush=True)
    return failed


def read_cases(path):
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)
    if not isinstance(cases, list) or not cases:
        raise CannotAsk("the case file must hold a list of at least one case")
    for case in cases:
        missing = {"name", "request", "expect"} - set(case)
        if missing or not case["expect"]:
            raise CannotAsk(f"a case needs `name`, `request` and `expect`, and one has not: {json.dumps(case)[:200]}")
    return cases


def wait_until_serving(channel, seconds):
    """Waits until the server's health is SERVING. Health needs no key."""
    stub = health_pb2_grpc.HealthStub(channel)
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise CannotAsk(f"the server was not serving within {seconds} s")
        answer = None
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=left, wait_for_ready=True)
        except grpc.RpcError as failure:
            if failure.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
        if answer is not None and answer.status == health_pb2.HealthCheckResponse.SERVING:
            return
        time.sleep(0.05)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address", help="host:port of the decision listener")
    parser.add_argument("cases", help="the case file")
    parser.add_argument(
        "--key", default=os.environ.get("DEODAR_KEY", ""), help="the client key (default: the environment's DEODAR_KEY)"
    )
    parser.add_argument("--ca-file", help="speak TLS and believe the authorities in this PEM file")
    parser.add_argument("--tls-cert", help="with --ca-file: show the certificate in this PEM file")
    parser.add_argument("--tls-key", help="with --tls-cert: the PEM file with its key")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for each call (default: 10)")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds to wait for the server to be serving")
    return parser.parse_args()


def open_channel(args):
    """Plaintext, or TLS when an authority is named."""
    if not args.ca_file:
        return grpc.insecure_channel(args.address)
    read = lambda path: pathlib.Path(path).read_bytes() if path else None
    credentials = grpc.ssl_channel_credentials(
        root_certificates=read(args.ca_file),
        private_key=read(args.tls_key),
        certificate_chain=read(args.tls_cert),
    )
    return grpc.secure_channel(args.address, credentials)


def main():
    args = arguments()
    try:
        cases = read_cases(args.cases)
        with open_channel(args) as channel:
            if args.wait:
                wait_until_serving(channel, args.wait)
            failed = run(Client(channel, args.key, args.timeout), cases, sys.stdout)
    except grpc.RpcError as failure:
        print(f"client.py: {failure.code().name}: {failure.details()}", file=sys.stderr)
        return 2
    except (CannotAsk, OSError, json.JSONDecodeError, json_format.ParseError) as failure:
        print(f"client.py: {failure}", file=sys.stderr)
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
