"""Any text is a schedule or other parameters, which read back as they are written, or one line refuses it."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiers import examples

from paumer.strategies.contract import CHAIN
from paumer.strategies.notation import Schedule, Thresholds
from paumer.strategies.registry import REGISTRY, operating_point
from paumer.system.errors import PaumerError

CASES = examples(300)
EXAMPLES = sorted({text for entry in REGISTRY.values() for text in entry.examples})
PIECES = [
    *"0123456789:@.+->,e ",
    "exit:",
    "scale:",
    "share:",
    " keep ",
    " rejoin ",
    "dense",
    "nan",
    "inf",
    "٣",
    "²",
    "\n",
    "\x00",
]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A notation with pieces of others put in, taken out or repeated."""
    text = draw(st.sampled_from(EXAMPLES))
    for _ in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 2))
        text = (
            text[:start]
            + draw(st.sampled_from(["", *PIECES])) * draw(st.sampled_from([1, 1, 1, 5000]))
            + text[start + length :]
        )
    return text


TEXTS = damaged() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=30)


def check_refusal(error: PaumerError) -> None:
    line = str(error)
    assert line
    assert "\n" not in line
    assert line.isprintable()


@given(TEXTS)
@settings(max_examples=CASES)
@example("1-9999:0.0001")
@example("1-9999@0.5")
@example("9" * 5000 + ":0.4")
@example("3:0." + "9" * 5000)
def test_every_text_is_a_schedule_or_refused(text: str) -> None:
    for parse in (Schedule, Thresholds.parse):
        try:
            read = parse(text)
        except PaumerError as error:
            check_refusal(error)
            continue
        assert parse(str(read)) == read
        assert list(read.blocks) == sorted(set(read.blocks))
        assert re.fullmatch(r"[0-9:@.+-]+|dense", str(read))


@given(st.sampled_from([*REGISTRY, "merge>pause", "local-merge>pause", "resize>token-exit"]), TEXTS)
@settings(max_examples=CASES)
@example("early-exit", "exit:" + "9" * 5000)
@example("token-exit", "3:0.4 keep " + "9" * 5000)
@example("resize", "scale:nan")
def test_every_text_is_an_operating_point_or_refused(strategy: str, text: str) -> None:
    schedule = text if CHAIN not in strategy else f"1:0.1{CHAIN}{text}"
    try:
        point = operating_point(strategy, "", schedule)
    except PaumerError as error:
        check_refusal(error)
        return
    assert operating_point(strategy, point.criterion, point.schedule) == point
    assert all(block >= 0 for part in point.parts for block in part.parameters.blocks)
