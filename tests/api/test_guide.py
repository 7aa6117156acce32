"""/guide: the site that `make docs` builds, and the paragraph of each type of problem in it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import httpx
import pytest

from docs.hooks import commands, formulas
from docs.hooks.reference import reference
from docs.hooks.repository import without_outside
from service.api import guide
from service.api.errors import (
    FURTHER_CONDITIONS,
    STATUS_CODES,
    TROUBLESHOOTING,
    problem_title,
    problem_type,
)
from tests.api.problems import problem

ROOT = Path(__file__).parents[2]
CONDITIONS = {error.__name__: int(status) for error, status in STATUS_CODES.items()} | {
    condition: int(status) for status, condition in FURTHER_CONDITIONS.items()
}


@pytest.fixture
def served(api: httpx.Client, built_guide: Path, monkeypatch: pytest.MonkeyPatch) -> httpx.Client:
    monkeypatch.setattr(guide, "SITE", built_guide)
    return api


class Page(HTMLParser):
    """What a page refers to, and where one can point to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        else:
            self.fetched += [values[name] for name in ("src", "href") if name in values]


def pages(site: Path) -> dict[str, Page]:
    """Return the pages by their address."""
    return {
        f"/guide/{path.parent.relative_to(site)}/".replace("/./", "/"): Page(
            path.read_text(encoding="utf-8")
        )
        for path in site.rglob("*.html")
    }


def test_all_that_a_page_needs_is_in_the_site(built_guide: Path) -> None:
    found = pages(built_guide)
    assert len(found) > 20
    for address, page in found.items():
        for asset in page.fetched:
            target = urljoin(address, asset)
            where = f"{address}: {asset}"
            assert target.startswith("/guide/"), where
            assert target in found or (built_guide / target.removeprefix("/guide/")).is_file(), (
                where
            )
    for path in built_guide.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", path.read_text("utf-8")), path


def test_each_link_leads_to_its_place(built_guide: Path) -> None:
    found = pages(built_guide)
    for address, page in found.items():
        for link in page.links:
            target, fragment = urldefrag(urljoin(address, link))
            if target.startswith("https://"):
                continue
            where = f"{address}: {link}"
            if target in found:
                assert not fragment or fragment in found[target].ids, where
            else:
                assert (built_guide / target.removeprefix("/guide/")).is_file(), where


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_type_of_each_problem_leads_to_its_paragraph(
    condition: str, served: httpx.Client
) -> None:
    address, fragment = urldefrag(problem_type(condition))
    answer = served.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert f'<h3 id="{fragment}">' in answer.text


def test_each_paragraph_is_that_of_a_type_with_its_status() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    found = {
        title: int(status)
        for title, status in re.findall(r"^### (.*)\n\nStatus (\d+)\.", text, re.M)
    }
    assert found == {problem_title(name): status for name, status in CONDITIONS.items()}
    assert len(re.findall("^### ", text, re.M)) == len(found)


def test_a_type_as_it_is_sent_leads_there(served: httpx.Client) -> None:
    found = problem(served.get("/datasets/none"), 404)
    assert found["type"] == f"{TROUBLESHOOTING}#dataset-not-found"
    answer = served.get(urljoin(str(served.base_url), found["type"]))
    assert "Dataset not found" in answer.text


def test_pages_may_fetch_from_this_service_alone(served: httpx.Client) -> None:
    answer = served.get("/guide/")
    assert answer.headers["content-security-policy"] == guide.POLICY
    assert "default-src 'none'" in guide.POLICY
    assert "http" not in guide.POLICY


def test_a_page_that_has_not_changed_is_not_sent_again(served: httpx.Client) -> None:
    first = served.get("/guide/concepts/")
    again = served.get("/guide/concepts/", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)


def test_addresses_without_a_slash_lead_to_the_page(served: httpx.Client) -> None:
    for address in ("/guide", "/guide/concepts"):
        answer = served.get(address, follow_redirects=True)
        assert answer.status_code == 200
        assert answer.url.path == f"{address}/"


@pytest.mark.parametrize(
    "path",
    ["nothing", "..%2Fmain.py", "%2e%2e/%2e%2e/pyproject.toml", "%00", "/etc/passwd", "a" * 300],
)
def test_nothing_else_is_served(path: str, served: httpx.Client) -> None:
    problem(served.get(f"/guide/{path}"), 404)


def test_where_it_is_not_built_a_page_says_how(
    api: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guide, "SITE", tmp_path / "guide")
    answer = api.get("/guide/troubleshooting/")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "make docs" in answer.text


def test_the_reference_has_every_operation_and_field() -> None:
    document = json.loads((ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8"))
    text = reference(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert f"### `{method.upper()} {path}` {{ #{operation['operationId']} }}" in text
            for parameter in operation.get("parameters", ()):
                assert f"| `{parameter['name']}` | {parameter['in']} |" in text
    for name, schema in document["components"]["schemas"].items():
        _, _, section = text.partition(f"### {name} {{ #schema-{name.lower()} }}\n")
        section = section.partition("\n### ")[0]
        for field in schema.get("properties", ()):
            assert f"| `{field}` |" in section, f"{name}.{field}"


def test_the_reference_says_types_bounds_and_defaults() -> None:
    fields = {
        "k": {"type": "integer", "minimum": 1, "maximum": 2000, "default": 5, "description": "a|b"},
        "h": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]},
        "rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
        "way": {"enum": ["up", "down"], "type": "string"},
    }
    document = {
        "info": {"version": "1"},
        "tags": [],
        "paths": {},
        "components": {
            "schemas": {"Fit": {"properties": fields, "required": ["h"], "description": "A fit."}}
        },
    }
    lines = reference(document).splitlines()
    assert "| `k` | whole number, ≥ 1, ≤ 2,000 | `5` | a\\|b |" in lines
    assert "| `h` | number, > 0 or null | required |  |" in lines
    assert "| `rows` | list of [Row](#schema-row) |  |  |" in lines
    assert '| `way` | `"up"`, `"down"` |  |  |' in lines


def test_formulas_become_mathml(built_guide: Path) -> None:
    inline = formulas.on_page_content(r'<p><span class="arithmatex">\(a &lt; b\)</span></p>')
    assert inline.startswith(
        '<p><math xmlns="http://www.w3.org/1998/Math/MathML" display="inline">'
    )
    assert "&#x0003C;" in inline
    page = (built_guide / "methods" / "kriging" / "index.html").read_text(encoding="utf-8")
    assert page.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') == 2
    assert "arithmatex" not in page


def test_the_copy_button_copies_commands_alone() -> None:
    block = "$ curl -d '\n{&quot;a&quot;: 1}'\n{&quot;b&quot;:2}\n$ nearfit list\n"
    marked = block.replace("$ ", '<span class="gp">$ </span>')
    rest = f"<pre><span></span><code>{marked}</code></pre></div>"
    got = commands.on_page_content(f'<div class="highlight">{rest}')
    copied = "curl -d &#x27;\n{&quot;a&quot;: 1}&#x27;\nnearfit list"
    assert got == f'<div class="highlight" data-copy="{copied}">{rest}'


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        ("[Kriging](methods/kriging.md)", "[Kriging](methods/kriging.md)"),
        ("[here](#there)", "[here](#there)"),
        ("[Arrow](https://arrow.apache.org/)", "[Arrow](https://arrow.apache.org/)"),
        ("[the files](../benchmarks/results/)", "the files (`benchmarks/results`)"),
        ("[k1.json](../benchmarks/results/k1.json)", "`benchmarks/results/k1.json`"),
    ],
)
def test_links_to_what_has_no_page_become_paths(link: str, becomes: str) -> None:
    assert without_outside(link, "benchmarks.md") == becomes
