"""A fleet: this project, boto3's bare listing and cloud-custodian, on the fake of EC2: `python -m tests.bench.fleet`.

Whole processes, one after another, on a fleet that runs as another process; pages are sent from its memory, and
reaper's trimmed models are made (it looks once before it is measured). cloud-custodian gets an environment of its own
under `.cache/`, made once.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import psutil

__all__ = ["evidence", "listing", "stalls", "sweep"]

ROOT = Path(__file__).parents[2]
CUSTODIAN = "0.9.53"
SIZES = (1000, 10_000, 50_000)
LATENCY = "20ms"
REAPER = [sys.executable, "-m", "reaper", "check", "--output", "json", "--exit-status", "zero"]
REGIONS, ACCOUNTS, EACH = 17, 20, 500

_MEGABYTE = 1 << 20
CUSTODIAN_ASKS_ABOUT = 1000
"""It asks about one instance a call: more would take an hour, and show the same."""
_QUIET = {
    "policies": [
        {
            "name": "quiet",
            "resource": "aws.ec2",
            "filters": [
                {"State.Name": "running"},
                {
                    "type": "metrics",
                    "name": "CPUUtilization",
                    "days": 0.0833,
                    "period": 300,
                    "statistics": "Maximum",
                    "op": "less-than",
                    "value": 5,
                },
            ],
        }
    ]
}
_POLICY = {
    "policies": [
        {
            "name": "old",
            "resource": "aws.ec2",
            "filters": [{"State.Name": "running"}, {"type": "instance-age", "days": 0.0833}],
        }
    ]
}
"""Running for two hours: what `reaper check` and the bare listing look for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process cost.

    Attributes:
        wall_s: Seconds from start to end.
        cpu_s: Seconds of CPU, its own and its children's.
        rss_mb: Most resident memory at a time.
        calls: How often it called AWS.
        metrics: How many metrics it asked CloudWatch for.
        output: What it wrote.
    """

    wall_s: float
    cpu_s: float
    rss_mb: float
    calls: int
    metrics: int
    output: str

    def row(self, who: str, instances: int) -> dict[str, object]:
        """Give its row of the table."""
        return {
            "who": who,
            "instances": instances,
            "wall s": round(self.wall_s, 2),
            "CPU s": round(self.cpu_s, 2),
            "RSS MB": round(self.rss_mb, 1),
            "API calls": self.calls,
        }


class FakeAws:
    """The fake of EC2 in a process of its own."""

    def __init__(self, told: Mapping[str, object], directory: Path) -> None:
        self.url = str(told["url"])
        variables = dict(told["environment"])  # type: ignore[call-overload]  # of JSON: nobody knows
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.environment = {
            **kept,
            **variables,
            "HOME": str(directory),
            "PYTHONPATH": str(ROOT),
            "REAPER_AWS__REGIONS": variables["AWS_REGION"],
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def asked(self) -> tuple[int, int]:
        """Tell how often it was called, and about how many metrics, since it was asked last."""
        with urllib.request.urlopen(f"{self.url}/_counts", timeout=60) as answer:  # noqa: S310 - our own address
            told = json.load(answer)
        return sum(told["calls"].values()), told["metrics"]

    def warm(self) -> None:
        """Have the fake make the pages that boto3 and cloud-custodian ask for."""
        signature = "AWS4-HMAC-SHA256 Credential=AKIAFAKE/20260101/us-east-1/ec2/aws4_request, Signature=0"
        headers = {"Authorization": signature, "Content-Type": "application/x-www-form-urlencoded"}
        fields, more = {"Action": "DescribeInstances", "Version": "2016-11-15"}, True
        while more:
            request = urllib.request.Request(self.url, urlencode(fields).encode(), headers)  # noqa: S310 - our own
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
                found = re.search(rb"<nextToken>(.*?)</nextToken>", answer.read())
            more = found is not None
            if found is not None:
                fields["NextToken"] = found[1].decode()

    def cost(self, command: Sequence[str], **variables: str) -> Cost:
        """Run a command to its end, and say what it cost.

        Raises:
            RuntimeError: It failed; with the end of what it said.
        """
        self.asked()
        with TemporaryDirectory(prefix="rb") as directory:
            out, err = Path(directory) / "out", Path(directory) / "err"
            began = time.monotonic()
            with out.open("wb") as to, err.open("wb") as errors:
                process = subprocess.Popen(
                    command, env={**self.environment, **variables}, stdout=to, stderr=errors, cwd=directory
                )
                most = _watch(process.pid)
                _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise RuntimeError(f"{command}: exit {process.returncode}: {err.read_text()[-2000:]}")
            calls, metrics = self.asked()
            return Cost(
                wall_s=wall,
                cpu_s=used.ru_utime + used.ru_stime,
                rss_mb=most / _MEGABYTE,
                calls=calls,
                metrics=metrics,
                output=out.read_text(),
            )


@contextmanager
def fake_aws(instances: int, *, regions: int = 1, accounts: int = 1) -> Iterator[FakeAws]:
    """Run the fake with so many instances in each region of each account."""
    command = [sys.executable, "-m", "reaper.testing.ec2", "--instances", str(instances)]
    command += ["--regions", str(regions), "--accounts", str(accounts)]
    command += ["--latency", LATENCY, "--cache-mb", "1024"]
    with (
        TemporaryDirectory(prefix="rb") as directory,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process,
    ):
        try:
            assert process.stdout is not None
            yield FakeAws(json.loads(process.stdout.readline()), Path(directory))
        finally:
            process.terminate()


def listing(sizes: Sequence[int] = SIZES) -> list[dict[str, object]]:
    """List, decide and report: whole processes, for each size.

    Returns:
        A row each, with how many times as long the others take as reaper.
    """
    rows = []
    for size in sizes:
        with fake_aws(size) as aws:
            commands = {
                "reaper": REAPER,
                "boto3, bare listing": [sys.executable, "-m", "tests.bench.fleet_client", "boto3"],
                f"cloud-custodian {CUSTODIAN}": _custodian(aws, _POLICY),
            }
            aws.cost(REAPER)  # its models are made, and the fake's pages
            aws.warm()
            costs = {who: aws.cost(command) for who, command in commands.items()}
            ours = costs["reaper"].wall_s
            rows += [
                {**cost.row(who, size), "times reaper's wall": f"{cost.wall_s / ours:.1f}"}
                for who, cost in costs.items()
            ]
    return rows


def stalls(size: int = SIZES[-1]) -> list[dict[str, object]]:
    """Measure for how long the event loop does nothing else, in the same look.

    Returns:
        One row: the 99th percentile and the most, in ms.
    """
    with fake_aws(size) as aws:
        command = [sys.executable, "-m", "tests.bench.fleet_client", "stalls"]
        aws.cost(command)
        told = json.loads(aws.cost(command).output)
    return [
        {"event loop": f"{size} instances", "late by, p99 ms": told["p99 ms"], "most ms": told["most ms"]}
    ]


def evidence(size: int = SIZES[-1]) -> list[dict[str, object]]:
    """Ask CloudWatch what instances do: the daemon's look, and cloud-custodian's filter on one metric.

    Returns:
        A row each: what it cost, and for how many metrics CloudWatch was asked.
    """
    rows = []
    for who, count in ((f"cloud-custodian {CUSTODIAN}", CUSTODIAN_ASKS_ABOUT), ("reaper", size)):
        with fake_aws(count) as aws:
            aws.cost(REAPER)  # its models are made
            command = [sys.executable, "-m", "tests.bench.fleet_client", "evidence"]
            cost = aws.cost(command if who == "reaper" else _custodian(aws, _QUIET))
            if who == "reaper" and not json.loads(cost.output)["complete"]:
                raise RuntimeError(f"the look is not complete: {cost.output}")
            rows.append({**cost.row(f"{who}, who is quiet", count), "metrics asked for": cost.metrics})
    return rows


def sweep() -> list[dict[str, object]]:
    """Look at every region of every account.

    Returns:
        A row: what it cost.
    """
    with fake_aws(EACH, regions=REGIONS, accounts=ACCOUNTS) as aws:
        variables = {"REAPER_AWS__REGIONS": "all", "REAPER_AWS__ORGANIZATION__ROLE": "reaper"}
        aws.cost(REAPER, **variables)
        cost = aws.cost(REAPER, **variables)
        scopes = len(json.loads(cost.output)["scopes"])
        name = f"reaper, {scopes} regions of {ACCOUNTS} accounts"
        return [cost.row(name, EACH * REGIONS * ACCOUNTS)]


def _custodian(aws: FakeAws, rules: Mapping[str, object]) -> list[str]:
    """Give the command of cloud-custodian for a policy, with an environment of its own."""
    home = ROOT / ".cache" / f"c7n-{CUSTODIAN}"
    program = home / "bin/custodian"
    if not program.exists():
        venv.create(home, with_pip=True)
        install = [str(home / "bin/pip"), "install", "-q", "--disable-pip-version-check", f"c7n=={CUSTODIAN}"]
        subprocess.run(install, check=True)
    directory = Path(aws.environment["HOME"])
    policy = directory / "policy.json"
    policy.write_text(json.dumps(rules), encoding="utf-8")
    region = aws.environment["AWS_REGION"]
    options = ["--dryrun", "--cache-period", "0", "--region", region, "-s", str(directory / "out")]
    return [str(program), "run", *options, str(policy)]


def _watch(pid: int) -> int:
    """Wait until a process has ended, though nobody was told yet; give the most memory that it had, in bytes.

    `ru_maxrss` would count what this process had before it became the other.
    """
    most = 0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        try:
            tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            most = max(most, sum(_peak(one.pid) for one in tree))
        except psutil.Error:
            continue
        time.sleep(0.02)
    return most


def _peak(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


if __name__ == "__main__":
    chosen = tuple(int(size) for size in sys.argv[1:])
    most = (chosen or SIZES)[-1]
    for part in (lambda: listing(chosen or SIZES), lambda: stalls(most), lambda: evidence(most), sweep):
        for line in part():
            print(line, flush=True)
