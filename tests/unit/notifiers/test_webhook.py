import asyncio
import traceback

import aiohttp
import pytest
from aiohttp import web
from aioresponses import aioresponses
from hypothesis import given, settings, strategies as st

from reaper.errors import ConfigError, NotifyError
from reaper.notifiers.webhook import WebhookNotifier
from reaper.testing.notifier_contract import a_notice

HOOK = "https://hooks.example.com/services/T00/B00/s3cr3t?token=s3cr3t2"


@pytest.fixture
async def receiver():
    """A local server: answers with `app["status"]` and remembers what it was sent."""
    received = []

    async def take(request):
        received.append((request, await request.read()))
        return await answers[0](request)

    async def ok(_request):
        return web.Response(status=204)

    answers = [ok]
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site.port}", received, answers
    await runner.cleanup()


async def test_what_is_sent(receiver):
    base, received, _ = receiver
    await WebhookNotifier.from_address(f"{base}/a/b?c=d%20e").notify(a_notice())
    ((request, _),) = received
    assert request.method == "POST"
    assert request.path_qs == "/a/b?c=d%20e"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("idle-reaper/")
    assert "Authorization" not in request.headers


async def test_userinfo_is_basic_authentication(receiver):
    base, received, _ = receiver
    await WebhookNotifier.from_address(base.replace("//", "//me:p%40ss@") + "/x").notify(a_notice())
    assert received[0][0].headers["Authorization"] == aiohttp.encode_basic_auth("me", "p@ss")


async def test_the_same_notice_has_the_same_key_and_another_has_another(receiver):
    base, received, _ = receiver
    notifier = WebhookNotifier.from_address(base)
    for notice in (a_notice(), a_notice(), a_notice(topic="reaped")):
        await notifier.notify(notice)
    first, second, third = (request.headers["Idempotency-Key"] for request, _ in received)
    assert first == second != third


async def test_a_redirect_is_not_followed(receiver):
    base, received, answers = receiver

    async def redirect(_request):
        raise web.HTTPFound("/elsewhere")

    answers[0] = redirect
    with pytest.raises(NotifyError, match="answered 302 Found, which is not followed"):
        await WebhookNotifier.from_address(f"{base}/x").notify(a_notice())
    assert len(received) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 599])
async def test_another_answer_is_no_delivery_and_is_not_tried_again(receiver, status):
    """What the server says itself is not repeated: it may hold the address."""
    base, received, answers = receiver

    async def refuse(request):
        return web.Response(status=status, text=f"no {request.path_qs}", reason="no-s3cr3t")

    answers[0] = refuse
    with pytest.raises(NotifyError, match=f"answered {status}") as caught:
        await WebhookNotifier.from_address(f"{base}/s3cr3t").notify(a_notice())
    assert "s3cr3t" not in str(caught.value)
    assert len(received) == 1


async def test_a_broken_connection_is_tried_again_with_the_same_key(receiver):
    base, received, answers = receiver

    async def once_broken(request):
        if len(received) < 3:
            request.transport.abort()
        return web.Response(status=200)

    answers[0] = once_broken
    await WebhookNotifier.from_address(base).notify(a_notice())
    assert len(received) == 3
    assert len({request.headers["Idempotency-Key"] for request, _ in received}) == 1


async def test_a_server_that_hangs_is_left_at_the_deadline(receiver):
    base, received, answers = receiver
    never = asyncio.Event()

    async def hang(_request):
        await never.wait()

    answers[0] = hang
    notifier = WebhookNotifier.from_address(f"{base}/s3cr3t")
    notifier._deadline = 0.3
    with pytest.raises(NotifyError, match=r"no answer within 0.3 s$"):
        await notifier.notify(a_notice())
    never.set()
    assert len(received) == 1


async def test_nobody_there_is_tried_until_the_deadline_and_said():
    notifier = WebhookNotifier.from_address("http://127.0.0.1:1/s3cr3t")
    notifier._deadline = 0.5
    with pytest.raises(
        NotifyError, match=r"no answer within 0.5 s \(connection failed: Connection refused\)"
    ):
        await notifier.notify(a_notice())


async def test_cancelling_is_not_swallowed_by_the_retries(receiver):
    base, received, answers = receiver
    never = asyncio.Event()

    async def hang(_request):
        await never.wait()

    answers[0] = hang
    telling = asyncio.create_task(WebhookNotifier.from_address(base).notify(a_notice()))
    while not received:
        await asyncio.sleep(0.01)
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling
    never.set()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_delivery(receiver, status):
    base, _, answers = receiver

    async def take(_request):
        return web.Response(status=status)

    answers[0] = take
    await WebhookNotifier.from_address(base).notify(a_notice())


async def test_a_proxy_of_the_environment_is_used_and_netrc_is_not(receiver, own_home, monkeypatch):
    """NO_PROXY counts; `~/.netrc` may hold a password that is none of the receiver's business."""
    base, received, _ = receiver
    (own_home / ".netrc").write_text("default login me password s3cr3t\n")
    monkeypatch.setenv("HTTP_PROXY", base)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)
    await WebhookNotifier.from_address("http://hooks.invalid/x").notify(a_notice())
    await WebhookNotifier.from_address(f"{base}/direct").notify(a_notice())
    (proxied, _), (direct, _) = received
    assert proxied.headers["Host"] == "hooks.invalid"
    assert direct.headers["Host"] == base.removeprefix("http://")
    assert not any("Authorization" in request.headers for request, _ in received)


async def failure(notifier):
    """Give the error of a notice that is not delivered."""
    try:
        await notifier.notify(a_notice())
    except NotifyError as error:
        return error
    pytest.fail("it was delivered")


FAULTS = [
    aiohttp.InvalidURL(HOOK),
    aiohttp.ServerDisconnectedError(HOOK),
    aiohttp.ClientPayloadError(HOOK),
    aiohttp.ClientOSError(104, HOOK),
    aiohttp.ClientConnectionError(HOOK),
    OSError(HOOK),
    ValueError(HOOK),
    UnicodeError(HOOK),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_no_fault_of_the_client_tells_the_address(fault):
    """Whatever its message holds: neither the error nor its traceback repeats it."""
    notifier = WebhookNotifier.from_address(HOOK)
    notifier._deadline = 0.3
    with aioresponses() as server:
        server.post(HOOK, exception=fault, repeat=True)
        caught = await failure(notifier)
    told = "".join(traceback.TracebackException.from_exception(caught, capture_locals=True).format())
    assert "s3cr3t" not in told
    assert caught.__context__ is None
    assert caught.__cause__ is None


async def test_a_bad_certificate_is_said_at_once(tmp_path):
    """A server whose certificate nobody signed: no second attempt would help."""
    trustme = pytest.importorskip("trustme")
    ssl = pytest.importorskip("ssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def never(_request):
        raise AssertionError("it was reached")

    runner = web.ServerRunner(web.Server(never))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        with pytest.raises(NotifyError, match="certificate is not valid"):
            await WebhookNotifier.from_address(f"https://127.0.0.1:{site.port}/s3cr3t").notify(a_notice())
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "address",
    [
        "https://",
        "https:///s3cr3t",
        "https://host:99999/s3cr3t",
        "https://host:s3cr3t/",
        "https://[::1/s3cr3t",
        "http:s3cr3t",
        "ftp://host/s3cr3t",
        "https://host:0/s3cr3t",
        "https://a%3Ab:s3cr3t@host/",
    ],
)
def test_an_impossible_address_is_refused_without_being_told(address):
    with pytest.raises(ConfigError) as caught:
        WebhookNotifier.from_address(address)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None


SECRETS = st.text(alphabet="ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", min_size=8, max_size=40)


@given(SECRETS, SECRETS, SECRETS)
@settings(max_examples=50)
def test_what_is_shown_of_an_address_is_scheme_and_host(user, path, query):
    notifier = WebhookNotifier.from_address(
        f"https://{user}:{path}@hooks.example.com:8443/{path}/x?k={query}#{user}"
    )
    assert notifier.address == "https://hooks.example.com:8443/***"
    for shown in (repr(notifier), str(vars(notifier)), notifier.address):
        assert not any(secret in shown for secret in (user, path, query))
