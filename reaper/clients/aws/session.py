"""Talk to AWS as whoever the environment says we are, or as a role that they may assume.

aiobotocore does the signing, the credentials (variables, profiles, SSO, roles of containers and instances), the
endpoints (`AWS_ENDPOINT_URL[_SERVICE]` too) and the retries of questions. It is imported at the first call: a daemon
that only watches Jupyter never pays for it.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from reaper.clients.aws import faults
from reaper.clients.aws.fleet import ASSUME_ROLE
from reaper.clients.aws.loading import Models
from reaper.clients.aws.login import Login, role_credentials
from reaper.clients.aws.operations import GET_CALLER_IDENTITY, Operation
from reaper.clients.aws.options import AwsOptions, Role
from reaper.errors import (
    ActionDenied,
    ActionUnavailable,
    CollectError,
    SourceDenied,
    SourceMalformed,
)

__all__ = ["Aws", "AwsOptions", "Models", "Role"]

_MOST_PAGES = 1000

_FIRST_REGIONS = {"aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Where a partition's STS is asked when nothing names a region; elsewhere in us-east-1."""

_Turns = contextlib.AbstractAsyncContextManager[Any]


class Aws:
    """AWS, by one set of credentials. Calls may run at the same time; close it in the end.

    Clients are made once for each (service, region). Where AWS or botocore says that the credentials are no good, they
    are looked for again at the next call: somebody may have signed in.

    Args:
        options: How to talk.
        models: Shared by several; else its own.
        role: Whose credentials to use: they are asked for when they are needed, and renewed by themselves.
        base: Who assumes the role; else who the environment says we are.
        turns: Entered for each question, which bounds how many are under way: a semaphore that several share.
    """

    def __init__(
        self,
        options: AwsOptions | None = None,
        models: Models | None = None,
        *,
        role: Role | None = None,
        base: "Aws | None" = None,
        turns: contextlib.AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self._options = options or AwsOptions()
        self.models = models or Models(self._options.cache)
        self.role = role
        self._own_base = Aws(self._options, self.models) if role is not None and base is None else None
        self._base = base or self._own_base
        self._turns: _Turns = turns or contextlib.nullcontext()
        self._login: Login | None = None
        self.calls: Counter[str] = Counter()
        """Requests that were made, by operation; a page is one. Retries are not counted."""
        self.metrics = 0
        """How many series CloudWatch was asked for: it takes $0.01 for 1,000."""

    async def read(
        self, operation: Operation, *, region: str, **parameters: object
    ) -> Mapping[str, Any] | None:
        """Ask a question.

        Returns:
            The answer; None where AWS says that there is no such thing (`Operation.absent`).

        Raises:
            SourceUnavailable: No answer: not connected, timed out, throttled, 5xx.
            SourceDenied: No credentials, expired ones, or a permission is missing; the message names it.
            SourceMalformed: An answer that can't be read, or a request that AWS can't.
        """
        async with self._turns:
            return await self.read_at_once(operation, region=region, **parameters)

    async def read_at_once(
        self, operation: Operation, *, region: str, **parameters: object
    ) -> Mapping[str, Any] | None:
        """Ask a question as in `read`, but out of turn: those who have their turns may be waiting for the answer."""
        try:
            async with self._client(operation, region) as client:
                self.calls[operation.name] += 1
                return _mapping(await _method(client, operation)(**parameters))
        except CollectError:
            raise
        except faults.caught() as error:
            if faults.is_absent(error, operation):
                return None
            raise faults.source_error(error, operation, region) from error

    async def pages(self, operation: Operation, *, region: str, **parameters: object) -> list[Any] | None:
        """Ask for a list, all pages of it or an error.

        Returns:
            The items of all pages; None where what was asked about does not exist.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As in `read`. An answer without its list is malformed,
                never an empty list.
        """
        items: list[Any] = []
        try:
            async for page in self._each_page(operation, region, parameters):
                items += page
        except _Absent:
            return None
        return items

    async def each_page(
        self, operation: Operation, *, region: str, **parameters: object
    ) -> AsyncGenerator[list[Any]]:
        """Ask for a list page by page, for one that is too long to hold. Whoever does not read all of it closes it.

        Yields:
            A page's items; nothing where what was asked about does not exist. Those of earlier pages are not all
            there is where a later one fails.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As in `pages`.
        """
        try:
            async with contextlib.aclosing(self._each_page(operation, region, parameters)) as pages:
                async for page in pages:
                    yield page
        except _Absent:
            return

    async def act(
        self, operation: Operation, *, region: str, **parameters: object
    ) -> Mapping[str, Any] | None:
        """Carry out an action: sent once, whatever happens.

        Returns:
            The answer; None where there is no such thing (any more).

        Raises:
            ActionDenied, ActionUnavailable: It surely had no effect.
            OutcomeUnknown: It was sent and may have had effect.
        """
        try:
            async with self._client(operation, region) as client:
                self.calls[operation.name] += 1
                answer = await _method(client, operation)(**parameters)
                return answer if isinstance(answer, Mapping) else {}
        except SourceDenied as error:
            raise ActionDenied(str(error)) from error
        except CollectError as error:
            raise ActionUnavailable(str(error)) from error
        except faults.caught() as error:
            if faults.is_absent(error, operation):
                return None
            raise faults.action_error(error, operation, region) from error

    async def rehearse(self, operation: Operation, *, region: str, **parameters: object) -> str | None:
        """Ask EC2 whether it would carry out an action (`DryRun`), without doing so.

        Returns:
            Why not; None: it would. That there is no such thing is a reason too.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: That is not known. SourceDenied: nothing can be asked with
                these credentials.
        """
        try:
            async with self._client(operation, region, once=False) as client, self._turns:
                self.calls[operation.name] += 1
                await _method(client, operation)(**parameters, DryRun=True)
        except CollectError:
            raise
        except faults.caught() as error:
            return faults.refusal(error, operation, region)
        raise SourceMalformed(f"{operation.service} {operation.name} in {region}: DryRun was not heeded")

    async def account(self, region: str) -> str:
        """Ask who we are: the account's twelve digits.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As in `read`.
        """
        answer = await self.read(GET_CALLER_IDENTITY, region=region)
        account = (answer or {}).get("Account")
        if not isinstance(account, str) or not account:
            raise SourceMalformed(f"sts GetCallerIdentity in {region}: the answer names no account")
        return account

    def region(self) -> str | None:
        """Give the region that the environment or the profile names; None: neither does."""
        from botocore.exceptions import BotoCoreError

        try:
            named = self._signed_in().session.get_config_variable("region")
        except BotoCoreError:  # the first call will say what is wrong with the configuration
            named = None
        return named or os.environ.get("AWS_REGION") or None

    async def regions(self, service: str, partition: str) -> list[str]:
        """Name the regions of a partition that have a service, by botocore's list of endpoints.

        An account may not have turned all of them on: there, AWS does not know its credentials.

        Raises:
            SourceUnavailable: botocore takes too long to load.
        """
        loader = await self.models.loader()
        session = self._signed_in().session
        session.register_component("data_loader", loader)
        return sorted(await session.get_available_regions(service, partition))

    async def close(self) -> None:
        """Close every connection."""
        login, self._login = self._login, None
        if login is not None:
            await login.close()
        if self._own_base is not None:
            await self._own_base.close()

    async def _each_page(
        self, operation: Operation, region: str, parameters: Mapping[str, object]
    ) -> AsyncGenerator[list[Any]]:
        where = f"{operation.service} {operation.name} in {region}"
        asked = parameters.get("MetricDataQueries", ())
        queries = len(asked) if isinstance(asked, list) else 0
        size = {"PaginationConfig": {"PageSize": operation.page_size}} if operation.page_size else {}
        try:
            async with self._client(operation, region) as client:
                paginator = client.get_paginator(_python_name(operation))
                answers = aiter(paginator.paginate(**parameters, **size))
                for _ in range(_MOST_PAGES):
                    async with self._turns:
                        page = await anext(answers, None)
                    if page is None:
                        return
                    self.calls[operation.name] += 1
                    self.metrics += queries
                    found = _mapping(page).get(operation.items)
                    if not isinstance(found, list):
                        raise SourceMalformed(f"{where}: the answer has no {operation.items}")
                    yield found
                raise SourceMalformed(f"{where}: no end of pages")
        except CollectError:
            raise
        except faults.caught() as error:
            if faults.is_absent(error, operation):
                raise _Absent(where) from error
            raise faults.source_error(error, operation, region) from error

    def _signed_in(self) -> Login:
        if self._login is None:
            credentials = None if self.role is None else role_credentials(self._assume)
            self._login = Login(self._options, credentials)
        return self._login

    async def _assume(self) -> Mapping[str, Any]:
        role, base = self.role, self._base
        if role is None or base is None:
            raise AssertionError("there is no role to assume")
        region = base.region() or _FIRST_REGIONS.get(role.partition, "us-east-1")
        asked = {"RoleArn": role.arn, "RoleSessionName": role.session_name}
        if role.external_id:
            asked["ExternalId"] = role.external_id
        try:
            answer = await base.read_at_once(ASSUME_ROLE, region=region, **asked)
        except CollectError as error:
            raise type(error)(f"{role.arn} can't be assumed: {error}") from error
        return answer or {}

    @contextlib.asynccontextmanager
    async def _client(
        self, operation: Operation, region: str, *, once: bool | None = None
    ) -> AsyncIterator[Any]:
        """Give a client, not closed while it is used; credentials that are no good are given up afterwards."""
        loader = await self.models.loader()
        login = self._signed_in()
        login.users += 1
        try:
            yield await login.client(
                operation, region, loader, once=operation.writes if once is None else once
            )
            login.proven.add(region)
        except Exception as error:
            if faults.spoils_login(error, region, login.proven) and self._login is login:
                self._login = None
            raise
        finally:
            login.users -= 1
            if self._login is not login and login.users == 0:
                await asyncio.shield(login.close())


class _Absent(Exception):
    """What was asked about does not exist."""


def _method(client: Any, operation: Operation) -> Any:
    return getattr(client, _python_name(operation))


def _python_name(operation: Operation) -> str:
    from botocore import xform_name

    return str(xform_name(operation.name))


def _mapping(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise SourceMalformed(f"expected an object, got {type(answer).__name__}")
    return answer
