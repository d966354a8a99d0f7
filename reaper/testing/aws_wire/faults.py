"""What goes wrong on demand, and the log of what was asked."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

__all__ = ["Fault", "Faults", "How", "Refusal", "Request", "Unsupported"]


class Refusal(Exception):
    """An operation answers an error.

    Args:
        code: AWS' name of it.
        message: For people.
        status: HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class How(StrEnum):
    """In what way a call goes wrong."""

    ERROR = "error"
    """It answers an error."""
    HANG = "hang"
    """It never answers."""
    GARBLE = "garble"
    """It answers 200 and a body that was cut short."""
    DROP = "drop"
    """The connection is lost without an answer."""
    SLOW = "slow"
    """It answers well, late."""
    HTML = "html"
    """It answers a page in HTML, as a proxy or a gateway does."""


class Unsupported(Refusal):
    """The fake does not know what AWS does with this: a violation, lest a test believe in a guess."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


@dataclass(slots=True, kw_only=True)
class Fault:
    """Calls that go wrong.

    Attributes:
        operation: Of which operation; `*`: of any of AWS' (the fakes' other operations have a space in their name).
        how: In what way.
        code: The error's code.
        message: Its message.
        status: Its HTTP status.
        left: How many more calls; None: for ever.
        after: The operation is carried out first: its effect is there, only the answer is bad.
        when: Only calls with these parameters.
        account: Only calls of this account; empty: of any.
        region: Only calls signed for this region; empty: for any.
        share: How many of the calls that meet it go wrong, of 1: chosen by a seeded random number.
        delay_s: How late a slow answer is.
    """

    operation: str
    how: How = How.ERROR
    code: str = ""
    message: str = ""
    status: int = 400
    left: int | None = 1
    after: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)
    account: str = ""
    region: str = ""
    share: float = 1.0
    delay_s: float = 0.0

    def meets(
        self, operation: str, parameters: Mapping[str, Any], account: str = "", region: str = ""
    ) -> bool:
        """Tell whether a call may go wrong by it."""
        any_of_aws = self.operation == "*" and " " not in operation
        return (
            self.left != 0
            and (any_of_aws or self.operation == operation)
            and self.account in {"", account}
            and self.region in {"", region}
            and all(parameters.get(name) == value for name, value in self.when.items())
        )


class Faults:
    """Faults in the order in which they were asked for: the first that meets a call is used."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._random = random.Random(0)  # noqa: S311 -- the same calls go wrong in every run

    def add(self, fault: Fault) -> None:
        """Ask for one."""
        self._waiting.append(fault)

    def take(
        self, operation: str, parameters: Mapping[str, Any], account: str = "", region: str = ""
    ) -> Fault | None:
        """Use up one call of the first fault that meets it."""
        for fault in self._waiting:
            if fault.meets(operation, parameters, account, region) and (
                fault.share >= 1 or self._random.random() < fault.share
            ):
                if fault.left is not None:
                    fault.left -= 1
                return fault
        return None

    def clear(self) -> None:
        """Let everything go well again."""
        self._waiting.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that came in.

    Attributes:
        at: When, by the fake's clock.
        service: botocore's name of it: `sagemaker`, `ec2`; `jupyter` for a server's own endpoint.
        operation: What was asked for.
        parameters: As they were sent.
        outcome: `ok`, the code of the error, or how it went wrong (`hang`, `garble`, `drop`).
        account: Of the caller.
        region: That it was signed for.
        user_agent: The header.
    """

    at: datetime
    service: str
    operation: str
    parameters: Mapping[str, Any]
    outcome: str
    account: str = ""
    region: str = ""
    user_agent: str = ""
