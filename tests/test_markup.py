"""How numbers read on every page."""

import pytest
from markdown_it import MarkdownIt

from cervbench.leaderboard.cells import Figure
from cervbench.markup.escaping import markdown, printable
from cervbench.markup.text import duration, figure, grid, number


def test_figures_read_as_per_cent_with_one_decimal() -> None:
    assert figure(Figure(0.412, 0.371, 0.4532)) == "41.2 [37.1, 45.3]"
    assert figure(Figure(0.412, 0.371, 0.4532), bold=True) == "**41.2** [37.1, 45.3]"
    assert figure(Figure(1.0)) == "100.0"
    assert figure(Figure(0.05, -0.021, 0.1)) == "5.0 [−2.1, 10.0]"
    assert figure(Figure(1.456, 1.2, 1.713), per_cent=False) == "1.46 [1.20, 1.71]"
    assert figure(Figure(None)) == "–"


def test_a_table_keeps_an_interval_on_one_line() -> None:
    row = grid(["", "a, b"], [["x", "1.0 [−2.1,\N{SPACE}+3.0]"]]).splitlines()[-1]
    assert row == "| x | 1.0 [−2.1,\N{NO-BREAK SPACE}+3.0] |"
    assert "a, b" in grid(["", "a, b"], [])


@pytest.mark.parametrize(
    "name", ["# a", "- a", "+ a", "1. a", "2) a", "> a", "* a", "a@b.com, c@d", "*a*", "--", "-1"]
)
def test_a_name_at_the_start_of_a_line_is_text(name: str) -> None:
    shown = MarkdownIt("commonmark").render(f"- {markdown(name)}").replace("<!-- -->", "")
    assert shown == f"<ul>\n<li>{name.replace('>', '&gt;')}</li>\n</ul>\n"


def test_an_address_is_no_link_where_bare_addresses_become_links() -> None:
    """GitHub makes a link of what looks like an address, also if its @ is written as an entity."""
    assert markdown("a@b.com") == "a&#64;<!-- -->b.com"
    assert markdown("cric@3f2a") == "cric&#64;3f2a"


def test_a_terminal_shows_what_would_command_it() -> None:
    assert printable("a\n\x1b[8mb\x9b\u202e ä\u202f\ud800") == "a\n\\x1b[8mb\\x9b\\u202e ä\u202f\\ud800"


def test_durations_read_in_the_unit_that_suits_them() -> None:
    assert [duration(3.14), duration(150), duration(5400)] == ["3.1 s", "2.5 min", "1.5 h"]


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [
        (1.25, "1.2", "+1.2"),
        (-4.56, "−4.6", "−4.6"),
        (0.0, "0.0", "+0.0"),
        (-0.0, "0.0", "+0.0"),
        (0.04, "0.0", "+0.0"),
        (-0.04, "0.0", "−0.0"),
    ],
)
def test_zero_is_negative_only_where_the_sign_says_on_which_side_of_it_an_interval_ends(
    value: float, plain: str, signed: str
) -> None:
    assert number(value, 1) == plain
    assert number(value, 1, signed=True) == signed
