"""What plugin authors and our own tests need: a clock, a world from a script, fakes, contract suites.

- `FakeClock` moves only as told, and tells time that passed from a machine that slept.
- `Scene` scripts what exists and what each signal says; `WorldBuilder` folds looks at it into a `World`
  at explicit instants; `policy` and `rules` make what to decide it with. No asyncio, no sleeping.
- `FakeSource`, `FakeProvider` and `FakeNotifier` honour the Protocols of `reaper.plugins` over a scene:
  scripted failures, hanging, acting; they record what they were told. Usable with looptime.
- Contract suites, one a Protocol, stand in modules of their own.
- `reaper.testing.studio` is a fake of SageMaker Studio over HTTP, with a real jupyter_server behind it;
  import it by itself, because it brings aiohttp.
- `reaper.testing.ec2` is a fake of EC2, CloudWatch, STS, Pricing, SSM and Organizations over HTTP, for many accounts
  and regions; it refuses what AWS refuses, and holds very many instances for benchmarks.
"""

from reaper.testing.builder import WorldBuilder, days, hours, minutes, policy, rules, seconds
from reaper.testing.clock import T0, FakeClock
from reaper.testing.notifier import FakeNotifier
from reaper.testing.scene import Said, Scene, active, idle, sampled, unknown
from reaper.testing.source import Act, FakeProvider, FakeSource

__all__ = [
    "T0",
    "Act",
    "FakeClock",
    "FakeNotifier",
    "FakeProvider",
    "FakeSource",
    "Said",
    "Scene",
    "WorldBuilder",
    "active",
    "days",
    "hours",
    "idle",
    "minutes",
    "policy",
    "rules",
    "sampled",
    "seconds",
    "unknown",
]
