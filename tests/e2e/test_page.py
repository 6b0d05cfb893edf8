"""The page at /, in a real Chromium."""

import threading

import httpx
import pytest
from browser import chromium
from daemon import Daemon, wait_until
from nginx import free_port, nginx
from selenium.webdriver.common.keys import Keys

PHONE = 375


@pytest.fixture(scope="module")
def browser():
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser, daemon):
    """The playground, ready. Nothing may leave the daemon, and the console stays clean."""
    browser.requested()
    browser.complaints()
    yield browser.open(daemon.url).wait_ready()
    assert [url for url in browser.requested() if not url.startswith((daemon.url, "about:", "data:"))] == []
    assert browser.complaints() == []


@pytest.fixture(scope="module")
def sparse_daemon(fixed_artifact):
    """Lookahead, every step audited."""
    options = ("--sparsity-artifact", fixed_artifact, "--audit-interval", 1, "--audit-error-limit", 1e9)
    started = Daemon("--kv-cache-memory", "256M", *options)
    yield started.wait_ready()
    assert started.stop() == 0, started.log


def ask(page, tokens, **fields):
    page.fill("#ask [name=max_tokens]", tokens)
    for name, value in fields.items():
        page.fill(f"#ask [name={name}]", value)
    page.click("#ask [type=submit]")


def token_count(page):
    return len(page.all("#transcript .token"))


def is_done(page):
    return page.find("#stop").get_attribute("disabled") is not None


def wait_done(page):
    page.wait(lambda: is_done(page) and token_count(page) > 0)


def test_text_streams_and_every_token_is_shaded(page):
    page.run(
        """window.counts = [];
        new MutationObserver(() => window.counts.push(document.querySelectorAll('.token').length))
          .observe(document.querySelector('#transcript'), {childList: true, subtree: true});"""
    )
    ask(page, 40, temperature=0, seed=1)
    wait_done(page)
    counts = page.run("return window.counts")
    assert len({count for count in counts if count > 0}) > 5, "the tokens came all at once"
    assert page.text("#transcript .prompt-text") == "Once upon a time"
    shares = page.run("return [...document.querySelectorAll('.token')].map(t => +t.style.getPropertyValue('--share'))")
    assert shares[0] == 1  # from the prompt: dense
    assert all(0.3 < share < 1 for share in shares[1:])
    colours = page.run("return [...document.querySelectorAll('.token')].map(t => getComputedStyle(t).backgroundColor)")
    assert len(set(colours)) > 3
    assert int(page.text("[data-figure=tokens]")) == len(shares)
    assert float(page.text("[data-figure=speed]").replace(",", "")) > 0
    assert page.text("[data-figure=first]").endswith("s")


def test_the_text_is_the_apis(page, daemon):
    ask(page, 24, temperature=0)
    wait_done(page)
    body = {"prompt": "Once upon a time", "max_tokens": 24, "temperature": 0}
    expected = daemon.post("/v1/completions", body).json()["choices"][0]["text"]
    shown = page.run("return [...document.querySelectorAll('.token')].map(t => t.textContent).join('')")
    assert shown == expected


def test_a_token_shows_its_layers_to_pointer_and_keyboard(page):
    ask(page, 12)
    wait_done(page)
    page.run("document.querySelectorAll('.token')[5].dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))")
    rows = page.all("#inspector tbody tr")
    assert [row.text.split()[0] for row in rows] == [str(layer) for layer in range(8)]
    assert "100 %" in rows[0].text  # exact keeps every head
    tokens = page.find("#transcript .tokens")
    tokens.send_keys(Keys.HOME)
    assert "Computed dense" in page.text("#inspector")
    tokens.send_keys(Keys.ARROW_RIGHT)
    assert len(page.all("#inspector tbody tr")) == 8
    assert page.run("return document.querySelectorAll('.token')[1].classList.contains('current')")


def test_chat_keeps_the_conversation(page, daemon):
    page.run("document.querySelector('[value=chat]').click()")
    for question in ("Tell a story.", "And then?"):
        page.fill("#prompt", question)
        ask(page, 16, temperature=0)
        page.wait(lambda: is_done(page) and page.find("#prompt").get_attribute("value") == "")
    assert [turn.text for turn in page.all(".turn.user")] == ["Tell a story.", "And then?"]
    answers = page.run("return [...document.querySelectorAll('.turn .tokens')].map(t => t.textContent)")
    messages = [
        {"role": "user", "content": "Tell a story."},
        {"role": "assistant", "content": answers[0]},
        {"role": "user", "content": "And then?"},
    ]
    body = {"messages": messages, "max_tokens": 16, "temperature": 0}
    assert answers[1] == daemon.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]


def test_stop_stops(page, daemon):
    page.click("#ask [name=ignore_eos]")
    ask(page, 1000, temperature=1)
    page.wait(lambda: token_count(page) > 3)
    page.click("#stop")
    page.wait(lambda: is_done(page))
    wait_until(lambda: daemon.metric("dejavu_requests_running") == 0)
    assert 3 < token_count(page) < 900
    assert not page.find("#ask .error").is_displayed()


def test_errors_show(page):
    page.run("document.querySelector('#prompt').value = 'word '.repeat(4000)")
    page.click("#ask [type=submit]")
    page.wait(lambda: page.find("#ask .error").is_displayed())
    assert "context" in page.text("#ask .error")
    page.fill("#prompt", "Once")
    ask(page, 4)
    wait_done(page)
    assert not page.find("#ask .error").is_displayed()
    page.complaints()  # the browser notes every 400


def test_the_race_ends_and_exact_says_the_same_as_dense(page):
    page.find("#tab-playground").send_keys(Keys.ARROW_RIGHT)
    assert page.find("#race").is_displayed()
    page.fill("#start [name=max_tokens]", 40)
    page.choose("#start [name=rival]", "exact")
    page.click("#start [type=submit]")
    page.wait(lambda: page.text("#verdict"))
    assert "no difference" in page.text("#verdict")
    assert "times the speed of dense" in page.text("#verdict")
    lanes = [lane.text for lane in page.all(".lane h2")]
    assert [lane.split()[0] for lane in lanes] == ["dense", "exact"]
    assert all("tokens/s" in lane for lane in lanes)


def pixels(page, canvas):
    return page.run(f"return document.querySelector('{canvas}').toDataURL()")


def test_the_live_view_moves(page, daemon):
    page.click("#tab-live")
    page.wait(lambda: page.text("[data-tile=running]") == "0")
    before = pixels(page, "#heat-mlp")
    body = {"prompt": "Once", "max_tokens": 900, "ignore_eos": True, "temperature": 1}
    load = threading.Thread(target=daemon.post, args=("/v1/completions", body))
    load.start()
    page.wait(lambda: page.text("[data-tile=running]") == "1")
    page.wait(lambda: pixels(page, "#heat-mlp") != before)
    moving = pixels(page, "#heat-mlp")
    page.wait(lambda: pixels(page, "#heat-mlp") != moving)
    page.wait(lambda: float(page.text("[data-tile=speed]").replace(",", "")) > 0)
    assert "ms" in page.text("[data-tile=inter]")
    assert "0: " in page.find("#heat-mlp").get_attribute("aria-label")
    page.find("#heat-mlp").send_keys(Keys.ARROW_DOWN)
    assert "MLP density, layer 1" in page.text("#heat-at")
    load.join()
    page.wait(lambda: page.text("[data-tile=running]") == "0")


def test_nobody_listens_while_nobody_looks(page, daemon):
    page.click("#tab-live")
    page.wait(lambda: page.text("[data-tile=running]") == "0")
    page.click("#tab-playground")
    # Every seat is free once the page has left its own.
    headers = {"Accept": "application/x-ndjson"}

    def all_free():
        streams = [httpx.Client().stream("GET", f"{daemon.url}/v1/live", headers=headers) for _ in range(32)]
        answers = [stream.__enter__().status_code for stream in streams]
        for stream in streams:
            stream.__exit__(None, None, None)
        return set(answers) == {200}

    wait_until(all_free)


def test_audited_tokens_are_marked_and_lookahead_may_differ(browser, sparse_daemon):
    page = browser.open(sparse_daemon.url).wait_ready()
    ask(page, 30, temperature=0)
    wait_done(page)
    assert len(page.all(".token.audited")) > 20
    page.run("document.querySelector('.token.audited').dispatchEvent(new PointerEvent('pointerover', {bubbles: true}))")
    assert "Audited: layer" in page.text("#inspector")
    assert len(page.all("#inspector .bar.audited")) == 1
    page.choose("#ask [name=mode]", "lookahead")
    page.choose("#ask [name=target_recall]", "0.5")
    ask(page, 8, temperature=0)
    wait_done(page)

    page.click("#tab-race")
    page.fill("#start [name=max_tokens]", 60)
    page.click("#start [type=submit]")
    page.wait(lambda: page.text("#verdict"))
    assert "first differing token is number" in page.text("#verdict")
    assert len(page.all(".lane .differs")) == 2

    page.click("#tab-live")
    page.wait(lambda: page.text("[data-tile=agreement]").endswith("%"))
    assert "audited tokens" in page.text("#audit-text")


def test_a_key_is_asked_for_and_a_wrong_one_refused(browser, start_daemon):
    daemon = start_daemon("--api-key", "secret", "--kv-cache-memory", "64M")
    page = browser.open(daemon.url)
    page.wait(lambda: page.find("#key-dialog").is_displayed())
    page.fill("#key", "wrong")
    page.click("#key-dialog [type=submit]")
    page.wait(lambda: page.find("#key-dialog .error").is_displayed())
    page.fill("#key", "secret")
    page.click("#key-dialog [type=submit]")
    page.wait_ready()
    ask(page, 8)
    wait_done(page)
    assert page.run("return localStorage.length") == 0
    page.run("sessionStorage.clear()")


def test_without_a_key_the_page_says_so_and_asks_again(browser, start_daemon):
    daemon = start_daemon("--api-key", "secret", "--kv-cache-memory", "64M")
    page = browser.open(daemon.url)
    page.wait(lambda: page.find("#key-dialog").is_displayed())
    page.click("#key-cancel")
    page.wait(lambda: page.text("#state") == "no access")
    page.click("#ask [type=submit]")
    page.wait(lambda: page.find("#key-dialog").is_displayed())
    page.fill("#key", "secret")
    page.click("#key-dialog [type=submit]")
    wait_done(page)
    page.wait_ready()
    page.run("sessionStorage.clear()")


def test_the_page_says_that_the_server_is_gone(browser, start_daemon):
    daemon = start_daemon("--kv-cache-memory", "64M")
    page = browser.open(daemon.url).wait_ready()
    daemon.stop()
    page.click("#ask [type=submit]")
    page.wait(lambda: page.find("#ask .error").is_displayed())


def test_a_path_prefix_stays(browser, daemon, tmp_path):
    port = free_port()
    server = f"""server {{ listen 127.0.0.1:{port};
      location /models/dejavu/ {{ proxy_pass {daemon.url}/; proxy_buffering off; proxy_http_version 1.1; }} }}"""
    with nginx(tmp_path, server, port) as url:
        browser.requested()
        page = browser.open(f"{url}/models/dejavu").wait_ready()
        ask(page, 8)
        wait_done(page)
        page.click("#tab-live")
        page.wait(lambda: page.text("[data-tile=running]") != "–")
        asked = [one for one in browser.requested() if one.startswith("http")]
        assert asked
        assert all(one.startswith(f"{url}/models/dejavu/") for one in asked)


def test_phone_width_without_scrolling_sideways(daemon):
    with chromium(PHONE, 740, dark=True) as page:
        page.open(daemon.url).wait_ready()
        assert not page.find("#ask [name=seed]").is_displayed()  # folded away where room is scarce
        page.click("#ask [type=submit]")
        wait_done(page)
        for view in ("playground", "race", "live"):
            page.click(f"#tab-{view}")
            assert page.find(f"#{view}").is_displayed()
            assert page.run("return document.documentElement.scrollWidth") <= PHONE
        dark = page.run("return getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, dark.removeprefix("rgb(").rstrip(")").split(","))) < 150


def test_every_control_has_a_name(page):
    nameless = page.run(
        """return [...document.querySelectorAll('input, select, textarea, button, canvas')]
          .filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).map(e => e.outerHTML)"""
    )
    assert nameless == []


def test_no_ui(start_daemon):
    daemon = start_daemon("--no-ui", "--kv-cache-memory", "64M")
    assert daemon.get("/").status_code == 404
    assert daemon.get("/v1/models").status_code == 200
