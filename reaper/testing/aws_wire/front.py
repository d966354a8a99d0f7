"""Where requests come in: which service and operation, whether AWS would understand them, what goes wrong."""

import asyncio
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from aiohttp import web

from reaper.testing.aws_wire import wire
from reaper.testing.aws_wire.contract import Contract, contract
from reaper.testing.aws_wire.faults import Fault, How, Refusal, Request, Unsupported

__all__ = ["Backend", "Call", "Front"]

_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_RPC_PATH = re.compile(r"/service/(\w+)/operation/(\w+)")
_HTML = b"<html><head><title>504 Gateway Time-out</title></head><body>The server is busy.</body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was read.

    Attributes:
        service: botocore's name of it.
        operation: What is asked for.
        protocol: How it is asked.
        parameters: As they were sent.
        access_key: Who asks.
        account: Whose account that is.
        region: Where.
        user_agent: The header.
        id: Of the request.
    """

    service: str
    operation: str
    protocol: str
    parameters: Mapping[str, Any]
    access_key: str
    account: str
    region: str
    user_agent: str
    id: str


class Backend(Protocol):
    """What answers: a fake's account or accounts."""

    @property
    def services(self) -> Mapping[str, str]:
        """Which services it has, by the name that requests are signed for: `{"monitoring": "cloudwatch"}`."""

    @property
    def operations(self) -> frozenset[str]:
        """What it can be asked."""

    @property
    def violations(self) -> list[str]:
        """What AWS would not have understood, and answers that AWS would not have given."""

    @property
    def unmodelled(self) -> set[str]:
        """Strings that no enumeration needs to hold."""

    @property
    def checked(self) -> bool:
        """Whether it is held against the service models, which takes time: a fast fake can leave it."""

    def now(self) -> datetime:
        """Give the fake's instant."""

    def account_of(self, access_key: str) -> str:
        """Tell whose credentials they are."""

    def take_fault(self, call: Call) -> Fault | None:
        """Use up one call of a fault that meets it."""

    def perform(self, call: Call) -> dict[str, Any] | wire.Answer:
        """Carry a call out; what is written already is sent as it is.

        Raises:
            Refusal: What AWS refuses.
        """

    def record(self, request: Request) -> None:
        """Remember what was asked."""


class _Violation(Exception):
    """AWS would not have understood the request: it is answered an error, and the test fails."""

    def __init__(self, code: str, message: str, protocol: str = wire.JSON_1_1) -> None:
        super().__init__(message)
        self.code = code
        self.protocol = protocol


class Front:
    """Answers requests to AWS.

    Args:
        backend: What it answers from.
        latency_s: How late every answer is.
    """

    def __init__(self, backend: Backend, *, latency_s: float = 0.0) -> None:
        self._backend = backend
        self._closing = asyncio.Event()
        self.latency_s = latency_s

    def close(self) -> None:
        """Let go of whoever waits for an answer that never comes."""
        self._closing.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        request_id = str(uuid.uuid4())
        body = await request.read()
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        try:
            call = self._read(request, body, request_id)
        except _Violation as violation:
            self._backend.violations.append(str(violation))
            return _response(wire.error(violation.protocol, violation.code, str(violation), 400, request_id))
        except Refusal as refusal:
            return _response(wire.error(wire.JSON_1_1, refusal.code, refusal.message, 403, request_id))
        fault = self._backend.take_fault(call)
        if fault is None or fault.after or fault.how is How.SLOW:
            answer, outcome = self._carry_out(call)
        else:
            answer, outcome = wire.answer(call.protocol, _model(call), {}, request_id), "ok"
        if fault is not None:
            answer, outcome = self._spoil(call, fault, answer, outcome)
        self._record(call, outcome)
        return await self.send(request, fault, _response(answer))

    async def send(
        self, request: web.Request, fault: Fault | None, response: web.Response
    ) -> web.StreamResponse:
        """Send an answer, unless a fault keeps it from arriving."""
        if fault is None:
            return response
        if fault.how is How.SLOW:
            await self._wait(fault.delay_s)
        if fault.how is How.HANG:
            await self._closing.wait()
        if fault.how in {How.HANG, How.DROP} and request.transport is not None:
            request.transport.abort()
        return response

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    def _read(self, request: web.Request, body: bytes, request_id: str) -> Call:
        signature = _CREDENTIAL.match(request.headers.get("Authorization", ""))
        if signature is None:
            raise _Violation(
                "MissingAuthenticationTokenException", f"{request.method} {request.path} is not signed"
            )
        access_key, region, signed_for = signature.groups()
        service = self._backend.services.get(signed_for)
        if service is None:
            raise _Violation("UnknownOperationException", f"the fake has no service {signed_for!r}")
        check = contract(service)
        protocol, operation = _asked(request, body, check)
        model = check.operation(operation)
        if model is None or operation not in self._backend.operations:
            what = "AWS has" if model is None else "the fake has"
            raise _Violation(
                "UnknownOperationException", f"{what} no operation {operation!r} of {service}", protocol
            )
        try:
            parameters = wire.decode(protocol, body, model.input_shape)
        except wire.Malformed as problem:
            raise _Violation("SerializationException", f"{operation}: {problem}", protocol) from problem
        if self._backend.checked:
            problems = check.misfits(model.input_shape, parameters)
            tolerated = frozenset(self._backend.unmodelled)
            problems = problems or check.breaches(model.input_shape, parameters, tolerated)
            if problems:
                raise _Violation("ValidationException", f"{operation}: {'; '.join(problems)}", protocol)
        return Call(
            service=service,
            operation=operation,
            protocol=protocol,
            parameters=parameters,
            access_key=access_key,
            account=self._backend.account_of(access_key),
            region=region,
            user_agent=request.headers.get("User-Agent", ""),
            id=request_id,
        )

    def _carry_out(self, call: Call) -> tuple[wire.Answer, str]:
        try:
            values = self._backend.perform(call)
        except Refusal as refusal:
            if isinstance(refusal, Unsupported):
                self._backend.violations.append(f"{call.operation}: {refusal.message}")
            if refusal.code not in contract(call.service).errors(call.operation):
                self._backend.violations.append(f"{call.operation} never answers {refusal.code}")
            return _error(call, refusal.code, refusal.message, refusal.status), refusal.code
        if isinstance(values, wire.Answer):
            return values, "ok"
        if self._backend.checked and (problems := self._problems(call, values)):
            message = f"AWS would not answer this to {call.operation}: {'; '.join(problems)}"
            self._backend.violations.append(message)
            return _error(call, "InternalFailure", message, 500), "InternalFailure"
        return wire.answer(call.protocol, _model(call), values, call.id), "ok"

    def _problems(self, call: Call, values: dict[str, Any]) -> list[str]:
        check, shape = contract(call.service), _model(call).output_shape
        tolerated = frozenset(self._backend.unmodelled)
        return check.misfits(shape, values) or check.breaches(shape, values, tolerated)

    def _spoil(self, call: Call, fault: Fault, answer: wire.Answer, outcome: str) -> tuple[wire.Answer, str]:
        match fault.how:
            case How.ERROR:
                if fault.code not in contract(call.service).errors(call.operation):
                    self._backend.violations.append(f"{call.operation} never answers {fault.code}")
                return _error(call, fault.code, fault.message, fault.status), fault.code
            case How.GARBLE:
                cut = answer.body[: len(answer.body) // 2] or b'{"'
                return wire.Answer(status=200, body=cut, content_type=answer.content_type), fault.how
            case How.HTML:
                return wire.Answer(status=fault.status, body=_HTML, content_type="text/html"), fault.how
            case How.SLOW:
                return answer, outcome
            case _:
                return answer, fault.how

    def _record(self, call: Call, outcome: str) -> None:
        self._backend.record(
            Request(
                at=self._backend.now(),
                service=call.service,
                operation=call.operation,
                parameters=call.parameters,
                outcome=outcome,
                account=call.account,
                region=call.region,
                user_agent=call.user_agent,
            )
        )


def _asked(request: web.Request, body: bytes, of: Contract) -> tuple[str, str]:
    """Tell the protocol and the operation, as the service's metadata has them."""
    metadata = of.model.metadata
    if target := request.headers.get("X-Amz-Target"):
        prefix, _, operation = target.rpartition(".")
        expected = f"application/x-amz-json-{metadata.get('jsonVersion', '?')}"
        if prefix != metadata.get("targetPrefix") or request.content_type != expected:
            raise _Violation(
                "UnknownOperationException", f"{target} as {request.content_type}, not {expected}"
            )
        return f"json-{metadata['jsonVersion']}", operation
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        found = _RPC_PATH.fullmatch(request.path)
        if found is None or found[1] != metadata.get("targetPrefix"):
            raise _Violation(
                "UnknownOperationException", f"{request.path} is no path of {of.service}", wire.CBOR
            )
        return wire.CBOR, found[2]
    protocol = wire.EC2 if metadata["protocol"] == "ec2" else wire.QUERY
    form = wire.form(body)
    if form.get("Version") != metadata["apiVersion"]:
        raise _Violation(
            "UnknownOperationException", f"{of.service} has no version {form.get('Version')}", protocol
        )
    return protocol, form.get("Action", "")


def _model(call: Call) -> Any:
    return contract(call.service).operation(call.operation)


def _error(call: Call, code: str, message: str, status: int) -> wire.Answer:
    return wire.error(call.protocol, code, message, status, call.id)


def _response(answer: wire.Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers={"Content-Type": answer.content_type, **answer.headers},
    )
