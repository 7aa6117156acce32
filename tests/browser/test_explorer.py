"""/explore as someone uses it who has a file and ten minutes."""

import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.watching import fitted, slide, trace, until, write
from tests.live import live_client

pytestmark = pytest.mark.browser

ROWS_DRAWN = "n => document.querySelector('#plot').data.find(t => t.uid === 'rows')?.x.length === n"
ROWS_OF_SLICES = """n => {
    const rows = document.querySelector('#plot').data.find(t => t.uid === 'rows0');
    return rows?.x.length === n;
}"""
OTHER_PLACES = """old => {
    const {x} = document.querySelector('#plot').data.find(t => t.uid === 'curve');
    return x[0] !== old[0] && x;
}"""
METHODS = ["knn", "nadaraya_watson", "local_polynomial", "kriging", "linear", "auto"]


def wave(rows: int = 80) -> str:
    """Return a CSV file of a noisy sine."""
    chance = random.Random(5)
    lines = ["hour,level"]
    for _ in range(rows):
        hour = chance.uniform(0, 6)
        lines.append(f"{hour:.4f},{math.sin(hour) + chance.gauss(0, 0.2):.4f}")
    return "\n".join(lines)


def bowl(rows: int = 60, features: int = 2) -> str:
    """Return a CSV file of a valley whose lowest point is at 0.3 in each feature."""
    chance = random.Random(6)
    names = [f"x{j}" for j in range(features)]
    lines = [",".join([*names, "height"])]
    for _ in range(rows):
        place = [chance.uniform(-1, 1) for _ in names]
        height = sum((coordinate - 0.3) ** 2 for coordinate in place)
        lines.append(",".join(f"{number:.5f}" for number in (*place, height)))
    return "\n".join(lines)


def drop(page: Page, name: str, text: str) -> None:
    """Drop a file on the page."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name, {type: 'text/csv'}));
            return transfer;
        }""",
        [name, text],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("body", event, {"dataTransfer": transfer})


def zoom(page: Page) -> tuple[float, float]:
    """Draw a box over a fifth of the plot; return the middle of it."""
    box = page.locator("#plot .nsewdrag").bounding_box()
    assert box is not None
    x, y = box["x"], box["y"] + 0.5 * box["height"]
    page.mouse.move(x + 0.3 * box["width"], y)
    page.mouse.down()
    page.mouse.move(x + 0.5 * box["width"], y, steps=4)
    page.mouse.up()
    return x + 0.4 * box["width"], y


def options(page: Page, select: str) -> list[str]:
    found: list[str] = page.locator(f"{select} option").evaluate_all("all => all.map(o => o.value)")
    return found


@pytest.fixture
def lenient(chromium: Browser, site: str) -> Iterator[Page]:
    """A page that may be refused something, which the console of a browser calls an error."""
    with chromium.new_context(base_url=site) as context:
        yield context.new_page()


def test_ten_minutes_with_a_file(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/explore")

    # A newcomer sees the sample at once.
    assert len(trace(page, "rows")["x"]) == 133
    assert len(trace(page, "curve")["y"]) == 201
    assert "Motorcycle" in page.locator("#caption").inner_text()
    assert page.locator("#message").is_hidden()

    drop(page, "wave.csv", wave())
    until(page, ROWS_DRAWN, 80)
    assert page.locator("#value").input_value() == "value:level"

    # Both sliders: the curve follows each.
    slide(page, "#k", 40)
    wide = fitted(page, n_neighbors=40)
    slide(page, "#k", 6)
    narrow = fitted(page, n_neighbors=6)
    assert narrow != wide
    slide(page, "#bandwidth", 300)
    smooth = fitted(page, bandwidth=float(page.locator("#bandwidth-number").input_value()))
    slide(page, "#bandwidth", 250)
    rough = fitted(page, bandwidth=float(page.locator("#bandwidth-number").input_value()))
    assert smooth != rough

    # All methods and what belongs to each: the curve changes with every choice.
    assert sorted(options(page, "#method")) == sorted(METHODS)
    before = rough
    for method in METHODS:
        page.select_option("#method", method)
        wanted = {} if method == "auto" else {"method": method}
        curve = fitted(page, **wanted)
        if method == "auto":
            until(page, "() => document.querySelector('#used').innerText.startsWith('Chosen')")
            curve = fitted(page)
        assert curve != before, method
        assert None not in curve
        before = curve
    page.select_option("#method", "nadaraya_watson")
    for kernel in options(page, "#kernel"):
        page.select_option("#kernel", kernel)
        assert fitted(page, method="nadaraya_watson", kernel=kernel) != before
    page.select_option("#method", "local_polynomial")
    for degree in options(page, "#degree"):
        page.select_option("#degree", degree)
        assert fitted(page, degree=int(degree)) != before
    page.select_option("#metric", "standardized")
    fitted(page, metric="standardized")

    # Tuning, with its score curve, and the best fit applied.
    write(page, "#budget", 1)
    page.click("#tune")
    page.wait_for_selector("#apply", state="visible")
    assert page.evaluate("document.querySelector('#scores').data[0].y.length") > 5
    page.click("#apply")
    words = page.locator("#used").inner_text()
    until(page, "words => document.querySelector('#tuned').innerText.length > 0", words)

    # A descent from where the pointer is.
    page.select_option("#method", "nadaraya_watson")
    page.select_option("#kernel", "gaussian")
    fitted(page, method="nadaraya_watson", kernel="gaussian")
    page.click("#descend")
    path = trace(page, "path0")
    assert path["y"][-1] < path["y"][0]
    assert page.locator("#paths li").count() == 1

    # The line for a shell gives what is drawn.
    page.click("#copy-curl")
    until(page, "() => document.querySelector('#copied').innerText")
    line = page.evaluate("navigator.clipboard.readText()")
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["mean"] == trace(page, "curve")["y"]

    page.click("#copy-python")
    until(page, "() => document.querySelector('#copied').innerText.includes('Python')")
    program = page.evaluate("navigator.clipboard.readText()")
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{trace(page, 'curve')['y'][0]!r}" in ran.stdout


def test_a_long_upload_says_how_far_it_is(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    said = page.evaluate(
        """async () => {
            const said = new Set();
            const line = document.querySelector('#uploading');
            const note = () => line.hidden || said.add(line.textContent.replace(/[0-9]+ %/, 'n %'));
            new MutationObserver(note).observe(line, {childList: true, attributes: true});
            const row = i => `${i / 7},${i % 11 / 3},${i % 5}`;
            const lines = Array.from({length: 1500000}, (_, i) => row(i));
            const transfer = new DataTransfer();
            const text = ['a,b,y', ...lines].join('\\n');
            transfer.items.add(new File([text], 'long.csv', {type: 'text/csv'}));
            const drop = new DragEvent('drop', {dataTransfer: transfer, bubbles: true});
            document.body.dispatchEvent(drop);
            const end = performance.now() + 30000;
            while (!location.hash.includes('ds-') && performance.now() < end) {
                await new Promise(done => setTimeout(done, 20));
            }
            return [...said];
        }"""
    )
    assert said
    assert {one.partition(" long.csv")[0] for one in said} <= {"Sending", "Reading"}
    until(page, "() => document.querySelector('#uploading').hidden")


def test_two_features_are_a_map_with_descents_from_clicks(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    drop(page, "bowl.csv", bowl())
    surface = trace(page, "map")
    assert (len(surface["z"]), len(surface["z"][0])) == (51, 51)
    page.select_option("#method", "kriging")
    until(page, "() => document.querySelector('#used').innerText.startsWith('kriging')")
    box = page.locator("#plot .nsewdrag").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.85 * box["width"], box["y"] + 0.15 * box["height"])
    path = trace(page, "path0")
    assert (path["x"][0], path["y"][0]) == pytest.approx((0.7, 0.7), abs=0.05)
    assert (path["x"][-1], path["y"][-1]) == pytest.approx((0.3, 0.3), abs=0.1)
    page.click("#forget")
    until(page, "() => !document.querySelector('#plot').data.some(t => t.uid === 'path0')")


def test_more_features_are_slices_through_a_row_and_bars_of_relevance(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    drop(page, "bowl.csv", bowl(features=4))
    first = trace(page, "curve3")["y"]
    until(page, "() => document.querySelectorAll('#relevance dt').length === 4")
    shares = page.locator("#relevance .share").all_inner_texts()
    assert sum(float(share.split()[0]) for share in shares) == pytest.approx(100, abs=2)

    held = int(page.locator("#row").input_value())
    write(page, "#row", (held + 7) % 60)
    until(
        page,
        "old => JSON.stringify(document.querySelector('#plot').data"
        ".find(t => t.uid === 'curve3').y) !== old",
        json.dumps(first, separators=(",", ":")),
    )

    # Fewer features, another target: the file is read again, with those columns.
    page.click("#columns summary")
    page.uncheck("#features input[value=x3]")
    until(page, "() => document.querySelectorAll('#relevance dt').length === 3")
    page.select_option("#value", "column:x0")
    until(page, "() => document.querySelector('#value').value === 'value:x0'")
    assert page.locator("#features label").all_inner_texts() == ["x1", "x2", "x3", "height"]


def test_the_pointer_shows_slope_and_weights(page: Page, site: str) -> None:
    page.goto("/explore")
    trace(page, "curve")
    slide(page, "#pointer", 500)
    until(page, "() => document.querySelector('#reading').innerText.includes('times 30:')")
    body = {
        "dataset_id": "motorcycle",
        "queries": [30],
        "fit": {"method": "local_linear", "n_neighbors": 25},
        "include": ["slope", "neighbors"],
    }
    answer = httpx.post(f"{site}/predict", json=body, trust_env=False).json()
    here, tangent, heavy = (trace(page, uid) for uid in ("here", "tangent", "heavy"))
    assert here["y"] == answer["mean"]
    rise = (tangent["y"][1] - tangent["y"][0]) / (tangent["x"][1] - tangent["x"][0])
    assert rise == pytest.approx(answer["slope"][0][0], rel=1e-9)
    (found,) = answer["neighbors"]
    weights = [abs(weight) for weight in found["weights"]]
    by_weight = sorted(zip(weights, heavy["marker"]["size"], strict=True))
    assert [size for _, size in by_weight] == sorted(heavy["marker"]["size"])
    assert heavy["marker"]["size"][0] > heavy["marker"]["size"][-1]

    box = page.locator("#plot .nsewdrag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    moved = "x => document.querySelector('#plot').data.find(t => t.uid === 'here').x[0] < x"
    until(page, moved, 20)


def test_a_stretch_is_looked_at_closely_and_left_again(page: Page) -> None:
    page.goto("/explore")
    whole = trace(page, "curve")["x"]
    zoom(page)
    closer = until(page, OTHER_PLACES, whole)
    assert len(closer) == len(whole)
    assert whole[0] < closer[0] < closer[-1] < whole[-1]
    page.click("#whole")
    assert until(page, OTHER_PLACES, closer) == whole
    buttons = page.locator("#plot .modebar-btn").evaluate_all("all => all.map(b => b.ariaLabel)")
    assert len(buttons) == 5
    assert not [label for label in buttons if "hare" in label or "loud" in label]


def test_fits_are_compared_and_a_view_is_shared_by_its_address(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    page.click("#keep")
    page.select_option("#method", "knn")
    slide(page, "#k", 3)
    drawn = fitted(page, method="knn", n_neighbors=3)
    kept = trace(page, "kept0")["y"]
    assert kept != drawn
    until(page, "() => location.hash.includes('knn')")
    address = page.url
    other = page.context.new_page()
    other.goto(address)
    assert fitted(other, method="knn", n_neighbors=3) == drawn
    assert trace(other, "kept0")["y"] == kept
    other.close()
    page.click("#kept button")
    until(page, "() => !document.querySelector('#plot').data.some(t => t.uid === 'kept0')")


def test_the_page_is_used_by_keys_alone(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.id")
        if focused == "k" and focused not in reached:
            page.keyboard.press("ArrowRight")
        reached.add(focused)
    fitted(page, n_neighbors=26)
    usable = "main :is(select, input, button):not([disabled], [type=radio])"
    visible = page.locator(usable).evaluate_all(
        "all => all.filter(e => e.id && e.checkVisibility()).map(e => e.id)"
    )
    assert set(visible) <= reached


def test_kernels_are_drawn_with_an_integral_of_one(lenient: Page) -> None:
    page = lenient
    page.goto("/livez")  # the scripts alone, without the page
    areas = page.evaluate(
        """async () => {
            const {density} = await import('/explore/kernels.js');
            const {KERNELS, COVARIANCES} = await import('/explore/fits.js');
            const [h, reach, steps] = [0.7, 60, 100000];
            return [...KERNELS, ...COVARIANCES].map(kernel => {
                let sum = 0;
                for (let i = 0.5; i < steps; i++) sum += density(kernel, h, i / steps * reach);
                return 2 * sum * reach / steps;
            });
        }"""
    )
    assert areas == pytest.approx([1.0] * 12, abs=2e-3)


def test_the_last_question_wins_and_no_answer_overtakes_another(lenient: Page) -> None:
    page = lenient
    page.goto("/livez")  # the scripts alone, without the page
    shown, most = page.evaluate(
        """async () => {
            const {Latest} = await import('/explore/service.js');
            const shown = [];
            let [running, most] = [0, 0];
            const latest = new Latest(() => shown.push('error'));
            const ask = (scene, name, ms) => latest.ask(scene, async signal => {
                most = Math.max(most, ++running);
                await new Promise(resume => setTimeout(resume, ms));
                running--;
                if (signal.aborted) throw new DOMException('given up', 'AbortError');
                shown.push(name);
            });
            const pause = ms => new Promise(resume => setTimeout(resume, ms));
            ask('one', 'first', 60);
            ask('one', 'never asked', 10);
            ask('one', 'second', 60);
            await pause(90);
            ask('two', 'of another scene', 60);
            await pause(200);
            ask('two', 'slow', 600);
            await pause(400);
            ask('two', 'after the slow one', 10);
            await pause(500);
            return [shown, most];
        }"""
    )
    assert shown == ["first", "of another scene", "after the slow one"]
    assert most == 1


def test_a_refusal_is_a_sentence_that_names_the_remedy(lenient: Page) -> None:
    page = lenient
    page.goto("/explore")
    trace(page, "curve")
    page.select_option("#method", "knn")
    write(page, "#k-number", 500)
    message = page.locator("#message")
    message.wait_for(state="visible")
    assert message.get_attribute("role") == "alert"
    assert "500" in message.inner_text()
    assert "{" not in message.inner_text()
    write(page, "#k-number", 5)
    fitted(page, n_neighbors=5)
    assert message.is_hidden()

    drop(page, "broken.csv", "a,b\n1,2\n3,four\n5")
    message.wait_for(state="visible")
    assert re.search(r"line|row", message.inner_text())
    page.goto("/explore#dataset=ds-gone")
    until(page, "() => document.querySelector('#message').innerText.includes('ds-gone')")
    assert len(trace(page, "curve")["y"]) == 201


def test_an_empty_service_says_what_to_do(chromium: Browser) -> None:
    with live_client(sample=False) as client, chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{str(client.base_url).rstrip('/')}/explore")
        page.locator("#empty").wait_for(state="visible")
        assert "Drop a file" in page.locator("#empty").inner_text()
        drop(page, "wave.csv", wave())
        assert len(trace(page, "rows")["x"]) == 80
        assert page.locator("#empty").is_hidden()


def test_classes_are_shown_as_their_probabilities(page: Page) -> None:
    lines = ["size,kind"] + [f"{i / 10},{'cat' if i < 25 else 'dog'}" for i in range(50)]
    page.goto("/explore")
    trace(page, "curve")
    drop(page, "pets.csv", "\n".join(lines))
    until(page, ROWS_DRAWN, 50)
    assert "is dog" in page.locator("#value").inner_text()
    cat = trace(page, "curve")["y"]
    page.select_option("#value", "value:dog")
    until(page, "() => document.querySelector('#plot').layout.yaxis.title.text.includes('dog')")
    dog = trace(page, "curve")["y"]
    assert [a + b for a, b in zip(cat, dog, strict=True)] == pytest.approx([1] * len(cat))


def test_words_are_readable_and_nothing_is_cut_on_a_phone(chromium: Browser, site: str) -> None:
    viewport: Any = {"width": 360, "height": 740}
    with chromium.new_context(base_url=site, viewport=viewport, color_scheme="dark") as context:
        page = context.new_page()
        page.goto("/explore")
        trace(page, "curve")
        page.click("#keep")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for theme in ("dark", "light"):  # the system's, then the switch's
            assert page.evaluate("document.documentElement.dataset.theme") == theme
            assert page.evaluate(CONTRASTS) == []
            page.click("#theme")


CONTRASTS = """() => {
    // WCAG 2.2, 1.4.3: relative luminance of text against the surface it stands on.
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const surface = element => {
        for (let one = element; one; one = one.parentElement) {
            const found = channels(getComputedStyle(one).backgroundColor);
            if (found.length === 3 || found[3] > 0) return found;
        }
        return [255, 255, 255];
    };
    const texts = [...document.querySelectorAll('body *:not(option):not(script)')].filter(element =>
        element.checkVisibility() && !element.matches(':disabled')
        && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
    return texts.map(element => {
        const style = getComputedStyle(element);
        const text = light(channels(element instanceof SVGElement ? style.fill : style.color));
        const [high, low] = [text, light(surface(element))].sort((a, b) => b - a);
        return [element.textContent.trim().slice(0, 40), (high + 0.05) / (low + 0.05)];
    }).filter(([, ratio]) => ratio < 4.5);
}"""


PATH = """uid => {
    const plot = document.querySelector('#plot');
    const at = plot._fullData.findIndex(one => one.uid === uid);
    const lines = [...plot.querySelectorAll('.scatterlayer .trace')];
    const drawn = lines.find(one => one.__data__[0].trace.uid === uid);
    return [...(drawn?.querySelectorAll('path') ?? [])].map(one => one.getAttribute('d')).join('');
}"""
"""Gives what is drawn of a trace, which need not be what its numbers say."""


def test_what_has_no_numbers_any_more_is_drawn_no_more(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    until(page, "() => document.querySelector('#reading').innerText.includes('slope')")
    until(page, PATH, "tangent")
    page.select_option("#method", "knn")
    fitted(page, method="knn")
    until(page, "() => !document.querySelector('#reading').innerText.includes('slope')")
    until(page, f"uid => !({PATH})(uid)", "tangent")
    assert page.evaluate(PATH, "band")
    page.select_option("#band", "none")
    until(page, f"uid => !({PATH})(uid)", "band")


def test_the_rows_stay_where_no_row_carries_weight(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    gap = [0.1 * i for i in range(30)] + [20 + 0.1 * i for i in range(30)]
    drop(page, "gap.csv", "x,y\n" + "\n".join(f"{x},{math.sin(x)}" for x in gap))
    until(page, ROWS_DRAWN, 60)
    page.select_option("#method", "nadaraya_watson")
    page.select_option("#kernel", "epanechnikov")
    slide(page, "#bandwidth", 200)
    fitted(page, bandwidth=float(page.locator("#bandwidth-number").input_value()))
    slide(page, "#pointer", 500)
    until(page, "() => document.querySelector('#reading').innerText.includes('0 rows')")
    points = "() => document.querySelectorAll('#plot .scatterlayer .point').length"
    assert page.evaluate(points) >= 60
    # The band ends with the curve on either side of the gap, and begins anew.
    assert trace(page, "curve")["y"].count(None) > 100
    places = trace(page, "band")["x"]
    assert places.count(None) == 2
    assert not [place for place in places if place is not None and 5 < place < 18]
    beginnings = re.findall("M[^L]+", page.evaluate(PATH, "band"))  # of the area, and of its edge
    assert len(set(beginnings)) == 2
    slide(page, "#pointer", 100)
    until(page, "() => document.querySelector('#reading').innerText.includes('slope')")
    assert page.evaluate(points) > 60


def test_a_map_after_slices_has_the_height_of_its_place(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/explore")
    trace(page, "curve")
    drop(page, "bowl.csv", bowl(features=4))
    trace(page, "curve3")
    page.select_option("#view", "map")
    trace(page, "map")
    fits = """() => {
        const plot = document.querySelector('#plot');
        return Math.abs(plot.querySelector('.main-svg').clientHeight - plot.clientHeight) < 2;
    }"""
    until(page, fits)


def test_a_double_click_back_begins_no_descent(page: Page) -> None:
    page.goto("/explore")
    whole = trace(page, "curve")["x"]
    middle = zoom(page)
    closer = until(page, OTHER_PLACES, whole)
    page.mouse.dblclick(*middle)
    assert until(page, OTHER_PLACES, closer) == whole
    page.wait_for_timeout(500)
    assert page.locator("#paths li").count() == 0


def test_where_answers_are_slow_fewer_places_follow_a_slider_until_it_rests(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    page.evaluate(
        """() => {
            const ask = window.fetch;
            const pause = () => new Promise(resume => setTimeout(resume, 80));
            window.asked = [];
            window.fetch = async (address, more) => {
                const {queries, fit} = JSON.parse(more?.body ?? '{}');
                if (queries?.length > 1) window.asked.push([fit.n_neighbors, queries.length]);
                await pause();
                return ask(address, more);
            };
        }"""
    )
    for k in (30, 60):
        slide(page, "#k", k)
        until(page, "k => asked.at(-1)?.[0] === k", k)
    assert len(fitted(page, n_neighbors=60)) == 201
    assert page.evaluate("asked")[:3] == [[30, 201], [60, 51], [60, 201]]


def test_slices_of_many_rows_have_their_bands_once_all_is_at_rest(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    drop(page, "bowl.csv", bowl(rows=2_500, features=3))
    until(page, "() => document.querySelectorAll('#relevance dt').length === 3")
    assert len(trace(page, "band0")["x"]) > 60
    slide(page, "#k", 40)
    until(page, "() => !document.querySelector('#plot').data.some(one => one.uid === 'band0')")
    trace(page, "band0")


def test_kept_fits_follow_the_features_into_a_new_order(page: Page) -> None:
    page.goto("/explore")
    trace(page, "curve")
    page.evaluate(
        """() => {
            const ask = window.fetch;
            window.late = new Promise(come => { window.come = come; });
            window.fetch = async (address, more) => {
                if (String(address).endsWith('/relevance')) await window.late;
                return ask(address, more);
            };
        }"""
    )
    chance = random.Random(3)
    rows = [[chance.uniform(-1, 1) for _ in range(3)] for _ in range(80)]
    lines = [f"{a:.4f},{b:.4f},{c:.4f},{math.sin(c) + b / 4:.4f}" for a, b, c in rows]
    drop(page, "last.csv", "\n".join(["a,b,c,y", *lines]))
    until(page, ROWS_OF_SLICES, 80)
    page.click("#keep")
    same = """first => {
        const of = uid => document.querySelector('#plot').data?.find(one => one.uid === uid);
        const pairs = [0, 1, 2].map(i => [of(`curve${i}`), of(`kept${i}-0`)]);
        return pairs[0][0]?.name === first
            && pairs.every(([curve, kept]) => kept && curve.y.every((y, i) => y === kept.y[i]));
    }"""
    until(page, same, "a")
    page.evaluate("come()")
    until(page, same, "c")
