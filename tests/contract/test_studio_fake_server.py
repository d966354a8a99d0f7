"""The Studio fake's JupyterServer: a real jupyter_server whose kernels and terminals live in apps."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import aiohttp
import psutil
import pytest
import pytest_asyncio
from yarl import URL

from reaper.errors import ReaperError
from reaper.testing import hours, minutes
from reaper.testing.studio import Studio, StudioServer, running_studio, running_studio_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("studio-server")]

DEADLINE_S = 60.0


@pytest_asyncio.fixture(name="studio", scope="module", loop_scope="module")
async def fixture_studio() -> AsyncIterator[Studio]:
    async with running_studio(deletes_in=hours(1)) as studio:
        yield studio


@pytest_asyncio.fixture(name="server", scope="module", loop_scope="module")
async def fixture_server(
    studio: Studio, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[StudioServer]:
    async with running_studio_server(studio, tmp_path_factory.mktemp("server"), "ann") as server:
        yield server


@pytest.fixture(autouse=True)
def _all_is_well(studio: Studio) -> None:
    studio.heal()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{what}: not within {DEADLINE_S:g} s")


async def names(server: StudioServer) -> list[str]:
    return [app["app_name"] for app in await server.get("sagemaker/api/apps")]


async def kernels(server: StudioServer) -> set[str]:
    return {kernel["id"] for kernel in await server.get("api/kernels")}


async def terminals(server: StudioServer) -> set[str]:
    return {terminal["name"] for terminal in await server.get("api/terminals")}


def process_of(kernel_id: str, server: StudioServer) -> psutil.Process:
    for child in psutil.Process(server.pid).children(recursive=True):
        if child.cmdline()[-1].endswith(f"kernel-{kernel_id}.json"):
            return child
    pytest.fail(f"kernel {kernel_id} has no process")


async def test_both_doors_show_the_same_apps(studio: Studio, server: StudioServer) -> None:
    gpu = studio.add_app("ann", instance_type="ml.g4dn.xlarge")
    assert server.url.endswith("/jupyter/default/")
    [told] = [app for app in await server.get("sagemaker/api/apps") if app["app_name"] == gpu.name]
    assert told == {
        "app_name": gpu.name,
        "environment_arn": gpu.image_arn,
        "environment_name": "datascience-1.0",
        "image_name": "datascience-1.0",
        "instance_type": "ml.g4dn.xlarge",
        "lifecycle_config_arn": "None",
    }
    assert server.app.name not in await names(server)  # never the JupyterServer itself
    his = studio.add_app("bob")
    gpu.hidden = True
    assert {his.name, gpu.name}.isdisjoint(await names(server))


async def test_the_metadata_file_names_the_app(server: StudioServer) -> None:
    told = json.loads(server.metadata_file.read_text())
    domain = server.app.domain
    assert told == {
        "AppType": "JupyterServer",
        "DomainId": domain.id,
        "UserProfileName": "ann",
        "ResourceArn": f"arn:aws:sagemaker:us-east-1:123456789012:app/{domain.id}/ann/JupyterServer/default",
        "ResourceName": "default",
        "AppImageVersion": "",
    }


async def test_a_session_carries_its_app_and_its_kernel_is_real(studio: Studio, server: StudioServer) -> None:
    app = studio.add_app("ann")
    opened = await server.open_notebook("real.ipynb", app)
    kernel_id = opened["kernel"]["id"]
    await server.execute(kernel_id, "open('touched', 'w').close()")
    assert (server.root_dir / "touched").exists()
    assert process_of(kernel_id, server).is_running()
    [session] = [told for told in await server.get("api/sessions") if told["id"] == opened["id"]]
    assert (session["type"], session["path"]) == ("notebook", "real.ipynb")
    kernel = session["kernel"]
    assert kernel["name"] == f"python3__SAGEMAKER_INTERNAL__{app.image_arn}"
    assert (kernel["app_name"], kernel["instance_type"]) == (app.name, "ml.t3.medium")
    assert kernel["execution_state"] == "idle"
    [bare] = [told for told in await server.get("api/kernels") if told["id"] == kernel_id]
    assert "app_name" not in bare  # not known of Studio: so nobody may rely on it


async def test_a_kernel_of_the_server_itself_has_no_app(server: StudioServer) -> None:
    opened = await server.open_notebook("plain.ipynb")
    assert "app_name" not in opened["kernel"]


async def test_a_delete_needs_the_echo_of_the_xsrf_cookie(studio: Studio, server: StudioServer) -> None:
    app = studio.add_app("ann")
    url = f"{server.url}sagemaker/api/apps/{app.name}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.delete(url) as response:
            assert response.status == 403
        async with http.get(f"{server.url}tree") as response:
            token = response.cookies["_xsrf"].value
        async with http.delete(url) as response:
            assert response.status == 403  # the cookie alone proves nothing
        assert app.status(studio.now()) == "InService"
        async with http.delete(url, headers={"X-Xsrftoken": token}) as response:
            assert response.status == 204
    assert app.status(studio.now()) == "Deleting"
    assert app.name not in await names(server)
    assert studio.calls("DELETE app")[-1] == {"app_name": app.name}


async def test_what_lives_in_an_app_dies_with_it_and_nothing_else(
    studio: Studio, server: StudioServer
) -> None:
    app, other = studio.add_app("ann", instance_type="ml.m5.large"), studio.add_app("ann", "other")
    dies = (await server.open_notebook("dies.ipynb", app))["kernel"]["id"]
    stays = (await server.open_notebook("stays.ipynb", other))["kernel"]["id"]
    image_terminal, system_terminal = await server.open_terminal(app), await server.open_terminal()
    assert image_terminal == f"{app.image_arn}__1__ml.m5.large"
    assert "__" not in system_terminal
    await server.type(image_terminal, "sleep 600\r")
    process = process_of(dies, server)
    assert await server.send("DELETE", f"sagemaker/api/apps/{app.name}") == (204, "")
    assert dies not in await kernels(server)
    assert not process.is_running()
    assert image_terminal not in await terminals(server)
    assert system_terminal in await terminals(server)
    assert stays in await kernels(server)
    assert "dies.ipynb" not in [session["path"] for session in await server.get("api/sessions")]


@pytest.mark.parametrize("safe", ["", ":/"])
async def test_an_image_terminal_is_closed_by_its_name_quoted_or_not(
    safe: str, studio: Studio, server: StudioServer
) -> None:
    app = studio.add_app("ann", instance_type="ml.c5.large")
    name = await server.open_terminal(app)
    path = URL(f"{server.url}api/terminals/{quote(name, safe=safe)}", encoded=True)
    async with server.http.get(path) as response:
        assert (await response.json())["name"] == name
    token = server.http.cookie_jar.filter_cookies(URL(server.url))["_xsrf"].value
    async with server.http.delete(path, headers={"X-Xsrftoken": token}) as response:
        assert response.status == 204

    async def closed() -> bool:
        return name not in await terminals(server)

    await until(closed, "the terminal closes")
    studio.delete_app(app)


async def test_what_sagemaker_deletes_is_gone_on_the_server_too(studio: Studio, server: StudioServer) -> None:
    app = studio.add_app("ann")
    kernel_id = (await server.open_notebook("by-api.ipynb", app))["kernel"]["id"]
    studio.delete_app(app)

    async def gone() -> bool:
        return kernel_id not in await kernels(server)

    await until(gone, "the kernel ends with its app")
    assert (await server.send("DELETE", f"sagemaker/api/apps/{app.name}"))[0] == 400  # it is on its way
    assert (await server.send("DELETE", "sagemaker/api/apps/never-was"))[0] == 404


async def test_a_name_used_again_is_a_new_app_without_the_old_kernels(
    studio: Studio, server: StudioServer
) -> None:
    app = studio.add_app("ann", "work")
    old = (await server.open_notebook("old.ipynb", app))["kernel"]["id"]
    studio.delete_app(app)
    studio.advance(hours(1))
    again = studio.add_app("ann", "work")

    async def gone() -> bool:
        return old not in await kernels(server)

    await until(gone, "the first life's kernel ends")
    new = (await server.open_notebook("new.ipynb", again))["kernel"]["id"]
    await server.get("api/sessions")
    assert new in await kernels(server)


async def test_a_session_waits_for_its_app_to_boot(studio: Studio, server: StudioServer) -> None:
    app = studio.add_app("ann", "boots", boots_in=minutes(3))
    opened = await server.open_notebook("waits.ipynb", app)
    stuck = await server.open_notebook("stuck.ipynb", app, stuck=True)
    assert opened.keys() == stuck.keys() == {"id", "path", "name", "type", "kernel", "notebook"}
    assert opened["type"] == stuck["type"] == "pending"
    assert opened["kernel"]["app_name"] == "boots"
    assert opened["kernel"]["id"] not in await kernels(server)
    assert "boots" not in await names(server)
    studio.advance(minutes(3))
    listed = {session["id"]: session for session in await server.get("api/sessions")}
    begun = listed[opened["id"]]
    assert (begun["type"], begun["kernel"]["id"]) == ("notebook", opened["kernel"]["id"])
    await server.execute(begun["kernel"]["id"], "1 + 1")
    assert listed[stuck["id"]]["type"] == "pending"
    assert "boots" in await names(server)
    assert (await server.send("DELETE", f"api/sessions/{stuck['id']}"))[0] == 204
    assert stuck["id"] not in {session["id"] for session in await server.get("api/sessions")}


async def test_a_waiting_session_goes_with_its_app(studio: Studio, server: StudioServer) -> None:
    app = studio.add_app("ann", "never-boots", boots_in=hours(1))
    opened = await server.open_notebook("in-vain.ipynb", app)
    studio.delete_app(app)
    assert opened["id"] not in {session["id"] for session in await server.get("api/sessions")}


async def test_a_notebook_needs_a_living_app(studio: Studio, server: StudioServer) -> None:
    app = studio.add_app("ann", "dead")
    studio.delete_app(app)
    with pytest.raises(ReaperError, match="400"):
        await server.open_notebook("late.ipynb", app)


async def test_one_app_can_refuse_to_be_deleted(studio: Studio, server: StudioServer) -> None:
    bad, good = studio.add_app("ann", "bad"), studio.add_app("ann", "good")
    studio.fail("DELETE app", "400", times=2, when={"app_name": "bad"})
    answers = [(await server.send("DELETE", f"sagemaker/api/apps/{name}"))[0] for name in ("bad", "good")]
    assert answers == [400, 204]
    assert [app.status(studio.now()) for app in (bad, good)] == ["InService", "Deleting"]
    for expected in (400, 204):
        assert (await server.send("DELETE", "sagemaker/api/apps/bad"))[0] == expected


async def test_the_door_can_be_missing_slow_lost_or_babbling(studio: Studio, server: StudioServer) -> None:
    url = f"{server.url}sagemaker/api/apps"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as http:
        studio.fail("GET apps", "404")
        async with http.get(url) as response:
            assert (response.status, response.content_type) == (404, "text/html")
        studio.hang("GET apps")
        with pytest.raises(TimeoutError):
            await http.get(url)
        studio.drop("GET apps", times=2)  # aiohttp asks again when a connection is lost
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await http.get(url)
        studio.garble("GET apps")
        async with http.get(url) as response:
            with pytest.raises(json.JSONDecodeError):
                json.loads(await response.text())
        async with http.get(url) as response:
            assert response.status == 200


async def test_an_answer_is_lost_though_the_app_is_deleted(studio: Studio, server: StudioServer) -> None:
    app = studio.add_app("ann", "lost-answer")
    studio.drop("DELETE app", times=2, after=True)  # aiohttp asks again when a connection is lost
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await server.send("DELETE", f"sagemaker/api/apps/{app.name}")
    assert app.status(studio.now()) == "Deleting"
    assert studio.calls("DELETE app")[-1] == {"app_name": "lost-answer"}


async def test_a_jupyterlab_app_has_no_such_door_and_stops_when_it_is_deleted(
    studio: Studio, tmp_path: Path
) -> None:
    space = studio.add_space("lab", "ann")
    async with running_studio_server(studio, tmp_path, space, app_type="JupyterLab") as server:
        assert server.url.endswith("/jupyterlab/default/")
        told = json.loads(server.metadata_file.read_text())
        assert (told["SpaceName"], told["UserProfileName"]) == ("lab", "ann")
        async with server.http.get(f"{server.url}sagemaker/api/apps") as response:
            assert response.status == 404
        opened = await server.open_notebook("a.ipynb")
        process = process_of(opened["kernel"]["id"], server)
        studio.delete_app(server.app)
        assert psutil.pid_exists(server.pid)  # Deleting takes a while
        studio.advance(hours(1))

        async def stopped() -> bool:
            return not process.is_running()

        await until(stopped, "the server stops with its app")


async def test_a_server_needs_a_running_studio(tmp_path: Path) -> None:
    with pytest.raises(ReaperError, match="does not run"):
        async with running_studio_server(Studio(), tmp_path):
            pytest.fail("it started")
