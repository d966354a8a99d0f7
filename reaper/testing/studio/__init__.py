"""A fake of SageMaker Studio, for tests of our own and of plugins, and for the demo.

It speaks SageMaker's API (and what goes with it of STS and CloudWatch) over HTTP on loopback, so that any
client that botocore made can be pointed at it. What is asked and what is answered is held against
botocore's own service models: what AWS would not understand fails the test.

    async with running_studio(clock) as studio:             # clock: FakeClock, or the machine's own
        ann = studio.add_user("ann")
        app = studio.add_app(ann, instance_type="ml.g4dn.xlarge")
        studio.fail("DeleteApp", "ThrottlingException", times=2)
        ...                                                 # a client, with studio.environment
        assert studio.calls("DeleteApp") == [...]
        assert app.status(studio.now()) == "Deleting"
        async with running_studio_server(studio, tmp_path, ann) as server:    # a real jupyter_server
            session = await server.open_notebook("a.ipynb", app)              # real kernels in the app
            await server.execute(session["kernel"]["id"], "1 + 1")
"""

from reaper.testing.aws_wire.faults import Request
from reaper.testing.studio.compute import Endpoint, Job, NotebookInstance
from reaper.testing.studio.estate import App, Domain, Place, Space, UserProfile
from reaper.testing.studio.running import running_studio
from reaper.testing.studio.server import StudioServer, resource_metadata, running_studio_server
from reaper.testing.studio.studio import Studio

__all__ = [
    "App",
    "Domain",
    "Endpoint",
    "Job",
    "NotebookInstance",
    "Place",
    "Request",
    "Space",
    "Studio",
    "StudioServer",
    "UserProfile",
    "resource_metadata",
    "running_studio",
    "running_studio_server",
]
