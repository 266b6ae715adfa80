import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from markupsafe import escape
from synthetic import FAMILIES
from tiers import first

from paumer.reporting.frames import SMALLER
from paumer.reporting.page.page import write_report
from paumer.reporting.page.provenance import data_sheet, environment_sheet, runs_sheet, settings_groups
from paumer.reporting.page.rendering import breakable
from paumer.reporting.sheets import Sheet, joined, narrowed
from paumer.reporting.tables.headline import findings
from paumer.reporting.tables.methods import CLAIM, read_claims
from paumer.reporting.tables.noise import noise_warnings
from paumer.reporting.tables.speed import write_speed
from paumer.reporting.timings import in_first_setting, read_throughput
from paumer.strategies.registry import REGISTRY
from paumer.system.errors import PaumerError
from paumer.system.files import ExperimentFiles, read_json, write_json

SECTIONS = [
    *(
        "headline",
        "equal",
        "about",
        "explorer",
        "methods",
        "maps",
        "classes",
        "semantics",
        "criteria",
        "speed",
        "bounds",
    ),
    *("published", "table", "training", "provenance", "files"),
]
PUBLISHED = Path(__file__).parents[2] / "results/reference/published.csv"
VOID = {"meta", "img", "link", "br", "hr", "input", "wbr"}


class Page(HTMLParser):
    """Collects tags, and checks that they close in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="session")
def text(reported):
    return reported.page.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(text):
    return Page(text)


def attributes(page, tag):
    return [values for name, values in page.tags if name == tag]


def test_page_is_well_formed(page):
    assert page.open == []


def test_page_needs_nothing_else(text, page):
    assert not attributes(page, "link")
    assert not attributes(page, "iframe")
    for tag, values in page.tags:
        for name in ("src", "srcset", "data", "poster"):
            assert values.get(name, "data:image/").startswith("data:image/")
        assert tag != "a" or not re.match(r"[a-z]+:|//", values["href"])
        assert not any(name.startswith("on") for name in values)
    assert not re.search(r"@import|url\(", text.split("</style>")[0])
    policy = next(values["content"] for values in attributes(page, "meta") if "http-equiv" in values)
    assert policy.startswith("default-src 'none';")
    assert "eval" not in policy


def test_links_to_files_lead_there(page, reported):
    links = [values["href"] for values in attributes(page, "a") if not values["href"].startswith("#")]
    assert {"tables/main.csv", "figures/training.csv", "throughput.csv", "data.json"} <= set(links)
    assert all((reported.page.parent / unquote(link)).exists() for link in links)


def test_every_section_is_there_and_reachable(page):
    assert [values["id"] for values in attributes(page, "section")] == SECTIONS
    inside = [values["href"] for values in attributes(page, "a") if values["href"].startswith("#")]
    assert inside == [f"#{name}" for name in SECTIONS]


def test_page_opens_with_the_overview_and_what_it_says(text, page, main):
    opening = text.split("<body>")[1].split("</header>")[0]
    for backbone, sentences in findings(main).items():
        assert f"<strong>{backbone}:</strong> {escape(sentences[0])}</p>" in opening
        assert all(str(escape(sentence)) in opening for sentence in sentences)
    assert '<figure id="overview">' in opening
    assert attributes(page, "img")[0]["src"].startswith("data:image/svg+xml")


def test_headline_is_shown_as_it_is_written(text, reported):
    table = pd.read_csv(reported.tables / "headline.csv", keep_default_na=False)
    body = text.split("<caption>Methods, from the smallest drop on</caption>")[1].split("</table>")[0]
    cells = [
        unescape(cell).replace("<wbr>", "").replace("\N{NO-BREAK SPACE}", " ")
        for cell in re.findall(r"<td[^>]*>(.*?)</td>", body)
    ]
    assert cells == table.to_numpy().ravel().tolist()


def test_every_image_has_a_text(page):
    images = attributes(page, "img")
    assert len(images) == 15  # the overview, eight figures, five of semantics, and the pause maps
    assert all(len(values["alt"]) > 20 for values in images)


@pytest.mark.parametrize("name", ["main", "methods", "speed", "criteria"])
def test_long_tables_have_every_row(text, reported, name):
    rows = len(pd.read_csv(reported.tables / f"{name}.csv"))
    assert (
        text.split(f'<table id="{name}-table">')[1].split("</table>")[0].count("<tr>") == rows + 1
    )  # and the headings


def test_page_names_noise_results_verdicts_and_skipped_timings(text):
    assert "tiny, 96 x 192 pixels, batch 8 (float32, eager, logits; fixed cost)" in text
    for shown in ("3:0.2+6:0.2", "out of memory", "88.25", "abc1234", "10.3 (7.17 to 12.3)", ">skipped</td>"):
        assert shown in text
    assert "<summary>Between random and oracle: 12 of 12 rows.</summary>" in text
    assert "Figures published for the same dataset or network" in text


def test_page_explains_the_strategies_that_occur(text):
    occurring = {family.strategy for family in FAMILIES} & set(REGISTRY)
    assert len(occurring) > 6
    for name, description in [*((name, REGISTRY[name].description) for name in occurring), SMALLER]:
        assert text.count(f"<li><code>{name}</code>: {escape(description)}</li>") == 1
    assert "merge&gt;pause</code>:" not in text  # a composition is explained by its parts


def test_warnings_are_one_line_that_opens(text, reported):
    everywhere = noise_warnings(read_throughput(reported.measured.throughput))
    shown = noise_warnings(in_first_setting(read_throughput(reported.measured.throughput)))
    assert len(everywhere) > len(shown) == 4
    count = f"{len(everywhere)} warnings about the noise of timings, 4 about those in the tables and figures"
    warned = text.split(f"<summary>{count}</summary>")[1].split("</details>")[0]
    assert re.findall("<li>(.*?)</li>", warned)[:4] == [str(escape(warning)) for warning in shown]
    for warning in everywhere:
        assert text.count(str(escape(warning))) == warned.count(str(escape(warning))) == 1


def test_a_quiet_machine_leaves_no_warning(measured, edit, reported, run_tables, tmp_path):
    edit(measured.throughput, lambda table: table[(table["batch"] == "1") & (table["recipe"] != "paumer")])
    quiet = [path for path in measured.accuracy if path.parts[-3] != "paumer"]
    tables = tmp_path / "tables"
    run_tables(replace(measured, accuracy=quiet), tables)
    write_speed(measured.flops, measured.throughput, tables)
    changes = {"tables": tables, "main": tables / "main.csv", "throughput": measured.throughput}
    assert "about the noise of timings" not in write(reported, tmp_path, **changes)


def test_cells_break_where_names_are_joined():
    assert breakable("merge>pause/x 1:0.2+3:0.4") == "merge&gt;<wbr>pause/<wbr>x 1:0.2+<wbr>3:0.4"
    assert breakable("1.2 ± 0.1, 1.5 [1.4, 1.6]") == "1.2 ±\N{NO-BREAK SPACE}0.1, 1.5 [1.4,\N{NO-BREAK SPACE}1.6]"
    assert breakable("<b>") == "&lt;b&gt;"


def test_neighbouring_columns_are_joined():
    sheet = Sheet(["a", "recipe", "criterion", "b"], [["1", "paumer", "entropy", "2"], ["3", "", "random", "4"]])
    made = joined(sheet, "method", ["recipe", "criterion"], "/")
    assert made.headings == ["a", "method", "b"]
    assert made.rows == [["1", "paumer/entropy", "2"], ["3", "random", "4"]]
    assert joined(sheet, "method", ["recipe", "strategy"], "/") is sheet


def test_columns_that_say_the_same_in_every_row_are_a_note():
    sheet = Sheet(["backbone", "criterion", "drop"], [["tiny", "", "1"], ["tiny", "", "2"]], ["a note"])
    made = narrowed(sheet)
    assert (made.headings, made.rows) == (["drop"], [["1"], ["2"]])
    assert made.notes == ["In all rows: backbone tiny.", "a note"]
    assert narrowed(replace(sheet, rows=sheet.rows[:1])).headings == sheet.headings


def test_page_names_what_timed_and_what_trained(text):
    trained = text.split("<caption>Environment of the training runs</caption>")[1].split("</table>")[0]
    timed = text.split("<caption>Environment of the timings</caption>")[1].split("</table>")[0]
    assert "0.1.0 abc1234" in trained
    assert "def5678" not in trained
    for found in ("0.1.0 def5678", "clocks before", "2300 MHz", "2100 MHz"):
        assert found in timed


def test_missing_machine_is_named(reported, tmp_path):
    with pytest.raises(PaumerError, match=r"nowhere\.json: no such file"):
        write(reported, tmp_path, machine=tmp_path / "nowhere.json")


def test_page_is_small(reported):
    assert reported.page.stat().st_size < 5e6


def test_names_are_escaped(reported, tmp_path):
    (tmp_path / "<script>").mkdir()
    assert "<title>Patch pausing: &lt;script&gt;</title>" in write(reported, tmp_path / "<script>")


def test_missing_figure_is_named(reported, tmp_path):
    shutil.copy(reported.figures / "training.csv", tmp_path)
    with pytest.raises(PaumerError, match=r"overview\.svg"):
        write(reported, tmp_path, figures=tmp_path)


def test_old_runs_without_details_still_report(reported, tmp_path):
    write_json(tmp_path / "run.json", {"backbone": "tiny"})
    write_json(tmp_path / "data.json", {})
    write(reported, tmp_path, runs=[tmp_path / "run.json"], manifest=tmp_path / "data.json")
    assert "tiny" in runs_sheet([{"backbone": "tiny"}]).rows[0]


@pytest.mark.parametrize("strategies", first([["dense", "pause"], ["dense"], ["dense", "early-exit"]]))
def test_small_experiments_report_too(measured, edit, run_reporting, strategies):
    """One backbone, one seed, one batch, and only some strategies."""
    few = [path for path in measured.accuracy if path.parts[-4] == "tiny" and path.parent.name == "seed0"]
    for path in few:
        edit(path, lambda table: table[table["strategy"].isin(strategies)])
    for path in (measured.flops, measured.throughput, measured.bounds):
        edit(path, lambda table: table[table["backbone"] == "tiny"])
    edit(measured.throughput, lambda table: table[table["batch"] == "1"])
    small = run_reporting(replace(measured, accuracy=few, training=[], runs=measured.runs[:1], semantics=[]))
    text = small.page.read_text(encoding="utf-8")
    Page(text)
    assert "No network was trained for pausing" in text
    assert ("Methods at equal speed" in text) == ("pause" in strategies)


def write(reported, folder, runs=None, **changes):
    """The report of the synthetic experiment with some other files, in another folder."""
    files = ExperimentFiles(reported.measured.folder)
    vars(files).update(changes, folder=folder)
    write_report(files, reported.measured.runs if runs is None else runs)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_differing_environments_are_both_shown(reported):
    runs = [read_json(path) for path in reported.measured.runs]
    assert ["threads", "1 | 2"] in environment_sheet(runs).rows


def test_runs_on_several_machines_are_called_so(reported):
    runs = [read_json(path) for path in reported.measured.runs]
    assert not environment_sheet(runs[:1]).notes
    for run, host in zip(runs, ("node1", "node2", *["node1"] * len(runs)), strict=False):
        run["environment"]["host"] = host
    sheet = environment_sheet(runs)
    assert ["host", "node1 | node2"] in sheet.rows
    assert any("trained on different machines" in note and "host" in note for note in sheet.notes)


def test_runs_that_share_settings_are_grouped(reported):
    groups = settings_groups([read_json(path) for path in reported.measured.runs])
    assert len(groups) == 4  # one per recipe
    assert "tiny/paumer/0" in groups[2][0]


def test_data_sheet_says_what_stage_data_noted(tmp_path):
    note = "split val: no pixel is of class '<b>'"
    write_json(tmp_path / "data.json", {"dataset": "folder", "classes": ["<b>", "c"], "notes": [note]})
    assert data_sheet(tmp_path / "data.json").notes == [note]


def test_data_sheet_leaves_the_folder_out(tmp_path):
    write_json(
        tmp_path / "data.json", {"dataset": "scenes", "folder": "/somewhere", "classes": ["a", "b"], "sha256": "x"}
    )
    assert data_sheet(tmp_path / "data.json").rows == [["dataset", "scenes"], ["classes", "2: a, b"], ["sha256", "x"]]


@pytest.mark.skipif(not PUBLISHED.exists(), reason="published figures are not in this checkout")
def test_headline_asks_for_what_was_published():
    claims = read_claims(PUBLISHED)
    best = min(claims, key=lambda claim: claim.drop)
    assert (best.dataset, best.drop, best.speedup) == (CLAIM.dataset.lower(), CLAIM.drop, CLAIM.speedup)


def test_published_without_the_claim_is_refused(tmp_path):
    columns = ["source", "method", "dataset", "miou_change", "speedup", "timing_note"]
    pd.DataFrame(columns=columns).to_csv(tmp_path / "published.csv", index=False)
    with pytest.raises(PaumerError, match="no row of method paumer"):
        read_claims(tmp_path / "published.csv")
