import re
from pathlib import Path

import pytest

from benchmarks import __main__ as all_benchmarks
from benchmarks.page import BLOCK, PAGES, rendered
from benchmarks.records import Comparison, Record, Samples, Target, read_records

FOLDER = Path(all_benchmarks.__file__).parent
RECORD = Record(
    "neighbors",
    "K1",
    {"n": 1000},
    (Comparison("knn", "s", {"nearfit": Samples((1.0,)), "peer": Samples((3.0,))}),),
    (Target("K1", "ratio", 3.0, 2),),
    ("A note.",),
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_shows_what_the_results_say(page: Path) -> None:
    """After a run: `python -m benchmarks.page`."""
    text = page.read_text("utf-8")
    assert text == rendered(text, read_records())


def test_every_result_has_its_place_on_the_page() -> None:
    texts = [page.read_text("utf-8") for page in PAGES]
    patterns = [found[3] for text in texts for found in BLOCK.finditer(text) if found[3]]
    for name in read_records():
        assert any(Path(name).match(pattern) for pattern in patterns), name


def test_a_block_is_written_anew_and_the_prose_stays() -> None:
    text = (
        "before\n<!-- results neighbors -->\nold\n<!-- end -->\n"
        "between\n<!-- overview -->\n<!-- end -->\nafter\n"
    )
    new = rendered(text, {"neighbors": RECORD})
    assert new.startswith("before\n<!-- results neighbors -->\n| knn |")
    for part in ("| peer | 3.00 s | 3.00× |", "A note.", "n = 1,000", "between", "| K1 | ratio |"):
        assert part in new
    assert "old" not in new
    assert new.endswith("<!-- end -->\nafter\n")
    assert rendered(new, {"neighbors": RECORD}) == new


def test_a_pattern_shows_every_record_it_matches() -> None:
    cards = {
        f"gpu-{card}": Record(f"gpu-{card}", card, {}, (), (), (f"On {card}.",))
        for card in ("a", "b")
    }
    new = rendered("<!-- results gpu-* -->\n<!-- end -->", cards)
    assert new.index("On a.") < new.index("On b.")


def test_make_bench_runs_every_script() -> None:
    """A script is what hands its `measure` to the command line."""
    texts = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.py")}
    scripts = {
        name
        for name, text in texts.items()
        if re.search(r"^from benchmarks\.script import .*\brun\b", text, re.MULTILINE)
        and 'if __name__ == "__main__":' in text
    }
    assert scripts == set(all_benchmarks.SCRIPTS)
