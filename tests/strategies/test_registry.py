"""What the configuration may ask for: parameters in their notations, points, and every mistake as one line."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from paumer.strategies.criteria import CONTROLS, INFORMED
from paumer.strategies.early_exit import parse_exit
from paumer.strategies.merge import parse_local_merging, parse_merging
from paumer.strategies.mutual_merge import parse_blocks
from paumer.strategies.notation import Parameters, Thresholds, read_schedule
from paumer.strategies.pause import parse_pause
from paumer.strategies.registry import (
    REGISTRY,
    OperatingPoint,
    check_criterion,
    criteria_of,
    operating_point,
    read_point,
    recipes_of,
)
from paumer.strategies.resize import parse_scale
from paumer.strategies.shared_patches import parse_share
from paumer.strategies.token_exit import parse_token_exit
from paumer.system.errors import PaumerError

Parse = Callable[[str], Parameters]


@pytest.mark.parametrize(
    ("parse", "text", "written"),
    [
        (parse_pause, " 3:0.40 rejoin 07 ", "3:0.4 rejoin 7"),
        (parse_pause, "3@.9+6@0.9 rejoin 8", "3@0.9+6@0.9 rejoin 8"),
        (parse_token_exit, "3:0.4", "3:0.4"),
        (parse_token_exit, "3:0.4 keep 5", "3:0.4"),
        (parse_token_exit, "3:0.4 keep 10", "3:0.4 keep 10"),
        (parse_token_exit, " 3@.95 + 6@0.95 keep 07 ", "3@0.95+6@0.95 keep 7"),
        (parse_exit, "exit:6", "exit:6"),
        (parse_exit, "exit: 06", "exit:6"),
        (parse_scale, "scale:0.75", "scale:0.75"),
        (parse_scale, "scale:.5", "scale:0.5"),
        (parse_scale, "scale:1", "scale:1"),
        (parse_scale, "scale:0.66666", "scale:0.6667"),
        (parse_share, "share:.4", "share:0.4"),
        (parse_blocks, " 2 + 05 ", "2+5"),
        (parse_merging, "1:0.10 unweighted", "1:0.1 unweighted"),
        (parse_local_merging, "1@1.0+6@2 std", "1@1+6@2 std"),
        (parse_merging, "1:0.05+2:0.05+3:0.05", "1-3:0.05"),
        (parse_merging, "1:0.5+2:0.25", "1:0.5+2:0.25"),
        (parse_local_merging, "1:0.75", "1:0.75"),
        (parse_local_merging, "1@0.9+6@0.9", "1@0.9+6@0.9"),
        (read_schedule, "1-9:0.1", "1-9:0.1"),
    ],
)
def test_every_spelling_has_one_format(parse: Parse, text: str, written: str) -> None:
    assert str(parse(text)) == written
    assert parse(written) == parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "culprit"),
    [
        (read_schedule, "dense", "dense"),
        (read_schedule, "", "dense"),
        (read_schedule, "3@0.4", "'3@0.4'"),
        (parse_pause, "3:0.4 rejoin x", "'x'"),
        (parse_pause, "3:0.4 rejoin", "'3:0.4 rejoin'"),
        (parse_pause, "3:0.2+6:0.2 rejoin 7", "use block 8 or a later one"),
        (parse_token_exit, "3:0.4 keep 0", "'0'"),
        (parse_token_exit, "3:0.4 keep -1", "'-1'"),
        (parse_token_exit, "3:0.4 keep x", "'x'"),
        (parse_token_exit, "3:0.4 keep", "'3:0.4 keep'"),
        (parse_token_exit, "3:0.4 hold 5", "'3:0.4 hold 5'"),
        (parse_token_exit, "keep 5", "'keep 5'"),
        (parse_token_exit, "3:0.4+6@0.9", "'3:0.4'"),
        (parse_exit, "exit:0", "'exit:0'"),
        (parse_exit, "exit:-1", "'exit:-1'"),
        (parse_exit, "exit:x", "'exit:x'"),
        (parse_exit, "3:0.4", "'3:0.4'"),
        (parse_scale, "scale:0", "'scale:0'"),
        (parse_scale, "scale:1.1", "'scale:1.1'"),
        (parse_scale, "scale:-0.5", "'scale:-0.5'"),
        (parse_scale, "scale:nan", "'scale:nan'"),
        (parse_scale, "scale:", "'scale:'"),
        (parse_scale, "scale:0.00001", "'scale:0.00001'"),
        (parse_share, "share:0", "'share:0'"),
        (parse_share, "share:x", "'share:x'"),
        (parse_blocks, "5+2", "'5+2'"),
        (parse_merging, "1:0.6 unweighted", "more than half"),
        (parse_local_merging, "1:0.2 std", "'1:0.2'"),
        (parse_blocks, "0+2", "'0+2'"),
        (parse_blocks, "2:0.1", "'2:0.1'"),
        (parse_merging, "1:0.51", "merging 0.51 in block 1 is more than half of the 1"),
        (parse_merging, "1:0.5+2:0.26", "merging 0.26 in block 2 is more than half of the 0.5"),
        (parse_merging, "1-4:0.22", "merging 0.22 in block 4 is more than half of the 0.34"),
        (parse_merging, "1@0.9", "'1@0.9'"),
        (parse_local_merging, "1:0.76", "0.75 of all patches at most"),
        (parse_local_merging, "1:0.3+6:0.4", "merging 0.4 in block 6 is more than half of the 0.7"),
        (parse_local_merging, "1@0.9+6:0.2", "'6:0.2'"),
    ],
)
def test_what_is_no_parameter_is_named_in_one_line(parse: Parse, text: str, culprit: str) -> None:
    with pytest.raises(PaumerError) as caught:
        parse(text)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", REGISTRY)
def test_parameters_beyond_the_last_block_are_refused(name: str) -> None:
    for text in REGISTRY[name].examples:
        parameters = REGISTRY[name].parse(text)
        parameters.check_depth(9)
        if any(parameters.blocks):
            depth = parameters.blocks[-1] - 1
            with pytest.raises(PaumerError, match=f"network of {depth} blocks; use") as caught:
                parameters.check_depth(depth)
            assert "\n" not in str(caught.value)


def test_only_an_exit_may_stand_at_the_last_block() -> None:
    parse_exit("exit:6").check_depth(6)
    for parse, text in [(read_schedule, "6:0.2"), (parse_token_exit, "6:0.2"), (Thresholds.parse, "6@0.9")]:
        with pytest.raises(PaumerError, match="block 6"):
            parse(text).check_depth(6)


@pytest.mark.parametrize(
    ("strategy", "criterion", "schedule", "label"),
    [
        ("pause", "", "03:.40", ("pause", "entropy", "3:0.4")),
        ("pause", "random", "3:0.4", ("pause", "random", "3:0.4")),
        ("token-exit", "", "3:0.4 keep 5", ("token-exit", "confidence", "3:0.4")),
        ("adaptive-exit", "margin", "3@.9", ("adaptive-exit", "margin", "3@0.9")),
        ("merge", "", "1:0.05+2:0.05+3:0.05", ("merge", "", "1-3:0.05")),
        (" merge > pause ", "", " 1-2:0.1 > 4:.4 ", ("merge>pause", "entropy", "1:0.1+2:0.1>4:0.4")),
        ("token-exit>pause", "", "3:0.4>6:0.2", ("token-exit>pause", "confidence", "3:0.4>6:0.2")),
        (
            "resize>merge>pause",
            "",
            "scale:.5>1-4:0.1>6:0.3",
            ("resize>merge>pause", "entropy", "scale:0.5>1-4:0.1>6:0.3"),
        ),
    ],
)
def test_a_point_is_written_one_way(strategy: str, criterion: str, schedule: str, label: tuple[str, str, str]) -> None:
    assert operating_point(strategy, criterion, schedule).label == label
    assert operating_point(*label).label == label


def test_a_criterion_is_of_the_strategy_that_needs_no_name() -> None:
    assert read_point("pause 3:0.4", "pause", "margin") == read_point("3:0.4", "pause", "margin")
    assert read_point("token-exit 3:0.4 keep 10", "pause", "random").criterion == "confidence"
    assert read_point("merge > pause 1-2:0.1 > 3:0.4") == operating_point("merge>pause", "", "1-2:0.1>3:0.4")
    assert read_point("merge > pause 1:0.1>3:0.4", "merge>pause", "random").criterion == "random"
    assert read_point(" dense ", "merge") == OperatingPoint()
    with pytest.raises(PaumerError, match="'sleep' is unknown"):
        read_point("sleep 3:0.4")


@pytest.mark.parametrize(
    ("strategy", "criterion", "schedule", "culprit"),
    [
        ("pose", "", "3:0.4", "'pose'"),
        ("dense", "", "dense", "'dense'"),
        ("floor", "", "3:0.4", "'floor'"),
        ("merge>", "", "1:0.1>", "''"),
        ("merge>pose", "", "1:0.1>3:0.4", "'pose'"),
        ("merge>pause", "", "1:0.1", "1 parts for 2"),
        ("pause", "", "3:0.4>4:0.1", "2 parts for 1"),
        ("pause", "loudness", "3:0.4", "'loudness'"),
        ("merge", "entropy", "1:0.1", "use none"),
        ("early-exit", "entropy", "exit:3", "use none"),
        ("adaptive-exit", "random", "3@0.9", "'random'"),
        ("token-exit>pause", "random", "3:0.4>4:0.1", "'random'"),
        ("token-exit>pause", "oracle", "3:0.4>4:0.1", "'oracle'"),
        ("merge>pause", "", "1:0.6>3:0.4", "more than half"),
    ],
)
def test_what_is_no_point_is_named_in_one_line(strategy: str, criterion: str, schedule: str, culprit: str) -> None:
    with pytest.raises(PaumerError) as caught:
        operating_point(strategy, criterion, schedule)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(PaumerError) as caught:
        operating_point("pose", "", "3:0.4")
    assert all(name in str(caught.value) for name in REGISTRY)
    with pytest.raises(PaumerError) as caught:
        check_criterion("pause", "loudness")
    assert all(name in str(caught.value) for name in (*INFORMED, *CONTROLS))


def test_parts_of_a_composition_share_their_criteria() -> None:
    assert criteria_of("pause") == (*INFORMED, *CONTROLS)
    assert criteria_of("merge") == ()
    assert criteria_of("merge>pause") == (*INFORMED, *CONTROLS)
    assert criteria_of("token-exit>pause") == ("confidence", "entropy", "margin")
    assert check_criterion("merge", "") == ""
    assert check_criterion("token-exit>pause", "") == "confidence"


def test_a_composition_runs_on_the_networks_of_its_last_part() -> None:
    assert recipes_of("merge>pause") == REGISTRY["pause"].recipes
    assert recipes_of("merge > early-exit") == REGISTRY["early-exit"].recipes
    assert recipes_of("resize>merge") == REGISTRY["merge"].recipes


@pytest.mark.parametrize(
    ("strategy", "schedule", "depends"),
    [
        ("pause", "3:0.4", False),
        ("early-exit", "exit:3", False),
        ("adaptive-exit", "3@0.9", True),
        ("token-exit", "3:0.4 keep 2", False),
        ("token-exit", "3@0.9 keep 2", True),
        ("local-merge", "1:0.2", False),
        ("local-merge", "1@0.9", True),
        ("local-merge>pause", "1@0.9>3:0.4", True),
        ("merge>token-exit", "1:0.2>3@0.9", True),
        ("resize>pause", "scale:0.5>3:0.4", False),
    ],
)
def test_thresholds_make_the_cost_depend_on_the_image(strategy: str, schedule: str, depends: bool) -> None:
    assert operating_point(strategy, "", schedule).varies is depends


def test_dense_has_no_parts() -> None:
    assert tuple(OperatingPoint().label) == ("dense", "", "dense")
    assert str(OperatingPoint()) == "dense"
    assert OperatingPoint().head_blocks == ()
    assert not OperatingPoint().varies
    OperatingPoint().check_depth(1)


def test_heads_are_read_at_the_blocks_of_the_parts_that_read_some() -> None:
    assert operating_point("merge>pause", "", "1-2:0.1>3:0.2+6:0.2").head_blocks == (3, 6)
    assert operating_point("token-exit>early-exit", "", "3:0.4>exit:6").head_blocks == (3, 6)
    assert operating_point("local-merge", "", "1:0.2+4:0.1").head_blocks == ()
    assert operating_point("merge>pause", "random", "1-2:0.1>3:0.2").head_blocks == ()


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys, paumer.strategies.registry, paumer.config.runs, paumer.config\nassert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == ""
