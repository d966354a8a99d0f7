"""Where requests come in: which service and operation, whether AWS would understand them, what goes wrong."""

import asyncio
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from reaper.testing.studio import account_api, apps_api, compute_api, wire
from reaper.testing.studio.contract import Contract, contract
from reaper.testing.studio.door import Door
from reaper.testing.studio.estate import App, Place
from reaper.testing.studio.faults import Fault, How, Refusal, Request, Unsupported
from reaper.testing.studio.studio import Studio

__all__ = ["OPERATIONS", "Front"]

Operation = Callable[[Studio, Place, Mapping[str, Any]], dict[str, Any]]

OPERATIONS: dict[str, dict[str, Operation]] = {
    "sagemaker": {**apps_api.OPERATIONS, **compute_api.OPERATIONS, **account_api.TAGS},
    "cloudwatch": account_api.METRICS,
    "sts": {},
}
"""What the fake can do, by botocore's name of the service; STS is asked by whom, not where."""

_STS = frozenset({"GetCallerIdentity", "AssumeRole"})
_SIGNED_FOR = {"sagemaker": "sagemaker", "monitoring": "cloudwatch", "sts": "sts"}
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_RPC_PATH = re.compile(r"/service/(\w+)/operation/(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """A request that was read.

    Attributes:
        service: botocore's name of it.
        operation: What is asked for.
        protocol: How it is asked.
        parameters: As they were sent.
        access_key: Who asks.
        region: Where.
        user_agent: The header.
        id: Of the request.
    """

    service: str
    operation: str
    protocol: str
    parameters: Mapping[str, Any]
    access_key: str
    region: str
    user_agent: str
    id: str


class _Violation(Exception):
    """AWS would not have understood the request: it is answered an error, and the test fails."""

    def __init__(self, code: str, message: str, protocol: str = wire.JSON_1_1) -> None:
        super().__init__(message)
        self.code = code
        self.protocol = protocol


class Front:
    """Answers AWS' three services for a studio.

    Args:
        studio: What it answers from.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._closing = asyncio.Event()
        self._doors: dict[str, Door] = {}
        studio.operations = frozenset(name for service in OPERATIONS.values() for name in service) | _STS

    def close(self) -> None:
        """Let go of whoever waits for an answer that never comes."""
        self._closing.set()

    def open_door(self, own: App) -> str:
        """Let a server ask for its apps; give the address where it does."""
        secret = uuid.uuid4().hex
        self._doors[secret] = Door(self._studio, own)
        return f"{self._studio.url}/_door/{secret}"

    async def answer_door(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of a server."""
        door = self._doors[request.match_info["secret"]]
        fault, response = door.answer(request.method, request.match_info["path"])
        return await self._send(request, fault, response)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request to AWS."""
        request_id = str(uuid.uuid4())
        try:
            call = self._read(request, await request.read(), request_id)
        except _Violation as violation:
            self._studio.violations.append(str(violation))
            return _response(wire.error(violation.protocol, violation.code, str(violation), 400, request_id))
        fault = self._studio.take_fault(call.operation, call.parameters)
        if fault is None or fault.after:
            answer, outcome = self._carry_out(call)
        else:
            answer, outcome = wire.answer(call.protocol, self._model(call), {}, request_id), "ok"
        if fault is not None:
            answer, outcome = self._spoil(call, fault, answer)
        self._log(call, outcome)
        return await self._send(request, fault, _response(answer))

    async def _send(
        self, request: web.Request, fault: Fault | None, response: web.Response
    ) -> web.StreamResponse:
        """Send an answer, unless a fault keeps it from arriving."""
        if fault is not None and fault.how is How.HANG:
            await self._closing.wait()
        if fault is not None and fault.how in {How.HANG, How.DROP} and request.transport is not None:
            request.transport.abort()
        return response

    def _read(self, request: web.Request, body: bytes, request_id: str) -> _Call:
        signature = _CREDENTIAL.match(request.headers.get("Authorization", ""))
        if signature is None:
            raise _Violation(
                "MissingAuthenticationTokenException", f"{request.method} {request.path} is not signed"
            )
        access_key, region, signed_for = signature.groups()
        service = _SIGNED_FOR.get(signed_for)
        if service is None:
            raise _Violation("UnknownOperationException", f"the fake has no service {signed_for!r}")
        protocol, operation = _asked(request, body, contract(service))
        model = contract(service).operation(operation)
        if model is None or operation not in self._studio.operations:
            what = "AWS has" if model is None else "the fake has"
            raise _Violation(
                "UnknownOperationException", f"{what} no operation {operation!r} of {service}", protocol
            )
        try:
            parameters = wire.decode(protocol, body, model.input_shape)
        except wire.Malformed as problem:
            raise _Violation("SerializationException", f"{operation}: {problem}", protocol) from problem
        check = contract(service)
        problems = check.misfits(model.input_shape, parameters)
        problems = problems or check.breaches(model.input_shape, parameters)
        if problems:
            raise _Violation("ValidationException", f"{operation}: {'; '.join(problems)}", protocol)
        return _Call(
            service=service,
            operation=operation,
            protocol=protocol,
            parameters=parameters,
            access_key=access_key,
            region=region,
            user_agent=request.headers.get("User-Agent", ""),
            id=request_id,
        )

    def _carry_out(self, call: _Call) -> tuple[wire.Answer, str]:
        try:
            values = self._perform(call)
        except Refusal as refusal:
            if isinstance(refusal, Unsupported):
                self._studio.violations.append(f"{call.operation}: {refusal.message}")
            if refusal.code not in contract(call.service).errors(call.operation):
                self._studio.violations.append(f"{call.operation} never answers {refusal.code}")
            return self._error(call, refusal.code, refusal.message, refusal.status), refusal.code
        check, shape = contract(call.service), self._model(call).output_shape
        problems = check.misfits(shape, values)
        problems = problems or check.breaches(shape, values, frozenset(self._studio.unmodelled))
        if problems:
            message = f"AWS would not answer this to {call.operation}: {'; '.join(problems)}"
            self._studio.violations.append(message)
            return self._error(call, "InternalFailure", message, 500), "InternalFailure"
        return wire.answer(call.protocol, self._model(call), values, call.id), "ok"

    def _perform(self, call: _Call) -> dict[str, Any]:
        if call.operation == "GetCallerIdentity":
            return account_api.caller_identity(self._studio, call.access_key)
        if call.operation == "AssumeRole":
            return account_api.role_credentials(self._studio, call.parameters)
        place = self._studio.place(call.region, self._studio.account_of(call.access_key))
        return OPERATIONS[call.service][call.operation](self._studio, place, call.parameters)

    def _spoil(self, call: _Call, fault: Fault, answer: wire.Answer) -> tuple[wire.Answer, str]:
        match fault.how:
            case How.ERROR:
                if fault.code not in contract(call.service).errors(call.operation):
                    self._studio.violations.append(f"{call.operation} never answers {fault.code}")
                return self._error(call, fault.code, fault.message, fault.status), fault.code
            case How.GARBLE:
                cut = answer.body[: len(answer.body) // 2] or b'{"'
                return wire.Answer(status=200, body=cut, content_type=answer.content_type), fault.how
            case _:
                return answer, fault.how

    def _error(self, call: _Call, code: str, message: str, status: int) -> wire.Answer:
        return wire.error(call.protocol, code, message, status, call.id)

    def _model(self, call: _Call) -> Any:
        return contract(call.service).operation(call.operation)

    def _log(self, call: _Call, outcome: str) -> None:
        self._studio.requests.append(
            Request(
                at=self._studio.now(),
                service=call.service,
                operation=call.operation,
                parameters=call.parameters,
                outcome=outcome,
                account=self._studio.account_of(call.access_key),
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
    form = wire.form(body)
    if form.get("Version") != metadata["apiVersion"]:
        raise _Violation(
            "UnknownOperationException", f"{of.service} has no version {form.get('Version')}", wire.QUERY
        )
    return wire.QUERY, form.get("Action", "")


def _response(answer: wire.Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers={"Content-Type": answer.content_type, **answer.headers},
    )
