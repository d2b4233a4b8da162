"""Every card is whole in itself, and none costs anything to look at."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cervbench.data.cards import cervbench_datasets
from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.source import Archive, Source
from cervbench.data.error import DataError

CARDS = cervbench_datasets()
PUBLISHED_TOTALS = {
    "herlev": 917,
    "sipakmed": 4049,
    "lbc": 963,
    "lbc-2": 963,
    "hicervix": 40229,
    "cric": 11534,
    "cric-3": 11534,
    "herlev-3": 917,
    "hicervix-4": 40229,
}


@pytest.fixture(params=CARDS.values(), ids=CARDS.keys())
def card(request):
    return request.param


def test_a_card_is_offered_under_its_own_name():
    assert all(name == card.name for name, card in CARDS.items())


def test_expected_counts_are_given_for_every_class_and_add_up_to_the_published_total(card):
    assert tuple(card.expected) == card.classes
    if card.name in PUBLISHED_TOTALS:
        assert sum(card.expected.values()) == PUBLISHED_TOTALS[card.name]


def test_some_classes_are_abnormal_and_some_are_not(card):
    assert set() < card.abnormal < set(card.classes)


def test_where_classes_are_ordinal_no_abnormal_class_ranks_as_low_as_a_normal_one(card):
    if card.severity is not None:
        normal = max(card.severity[name] for name in card.classes if name not in card.abnormal)
        assert all(card.severity[name] > normal for name in card.abnormal)
        assert set(card.severity) == set(card.classes)


def test_a_card_says_where_its_files_come_from(card):
    assert card.source.archives or card.source.by_hand
    assert card.citation
    assert card.licence
    assert card.group


def test_herlev_abnormal_classes_are_the_last_four_and_its_normals_share_a_rank():
    herlev = CARDS["herlev"]
    assert herlev.abnormal == set(herlev.classes[3:])
    assert [herlev.severity[name] for name in herlev.classes] == [0, 0, 0, 1, 2, 3, 4]


def test_merging_keeps_images_and_adds_up_counts_ranks_and_abnormality():
    cells = [Item("1", "b", "g", Path("1")), Item("2", None, "g", Path("2"))]
    card = Card(
        "d", "D", ("a", "b", "c"), lambda folder: cells, "", "", Source(""), "", frozenset({"b", "c"}),
        {"a": 0, "b": 1, "c": 2}, expected={"a": 5, "b": 3, "c": 2},
    )  # fmt: skip
    merged = card.merged("d-2", "D, two classes", {"normal": ("a",), "abnormal": ("b", "c")})
    assert merged.classes == ("normal", "abnormal")
    assert [item.label for item in merged.items(None)] == ["abnormal", None]
    assert merged.expected == {"normal": 5, "abnormal": 5}
    assert merged.severity == {"normal": 0, "abnormal": 2}
    assert merged.abnormal == {"abnormal"}
    assert merged.folder == "d"


@pytest.mark.parametrize(
    ("merge", "wrong"),
    [
        ({"all": ("NILM", "ASC-US", "LSIL", "ASC-H", "HSIL")}, "SCC"),
        ({"all": ("NILM", "ASC-US", "LSIL", "ASC-H", "HSIL", "SCC"), "more": ("HSIL",)}, "HSIL"),
        ({"all": ("NILM", "ASC-US", "LSIL", "ASC-H", "HSIL", "SCC", "NONE")}, "NONE"),
    ],
)
def test_a_merge_that_is_not_of_each_class_once_is_refused(merge, wrong):
    """Regression: a class merged twice was counted twice, and an unknown one was a KeyError."""
    with pytest.raises(DataError, match=f"each class of cric into one; look at {wrong},"):
        CARDS["cric"].merged("x", "X", merge)


def test_importing_the_cards_imports_nothing_heavy():
    heavy = "torch", "numpy", "pandas", "pyarrow", "sklearn", "PIL", "rich"
    code = f"import sys, cervbench.data.cards; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_microbes_are_not_abnormal_cells_and_lesions_of_hicervix_are():
    card = CARDS["hicervix"]
    assert card.abnormal.isdisjoint({"FUNGI", "ACTINO", "TRI", "HSV", "CC", "Normal", "Atrophy"})
    assert {"HSIL", "LSIL", "SCC", "ASC-US"} <= card.abnormal


def test_crics_lesions_rank_as_bethesda_has_them():
    severity = CARDS["cric"].severity
    assert sorted(severity, key=severity.get) == ["NILM", "ASC-US", "LSIL", "ASC-H", "HSIL", "SCC"]


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        ({"classes": ()}, "it has no classes; name at least one"),
        ({"classes": ("low", "high", "low")}, "`classes` names low more than once"),
        ({"abnormal": frozenset({"hihg"})}, "`abnormal` names 'hihg', .* did you mean 'high'"),
        ({"expected": {"low": 3, "higher": 3}}, "`expected` names 'higher'"),
        ({"severity": {"low": 0}}, "`severity` ranks all classes or none, and lacks high"),
        ({"hierarchy": {"none": ("cells",)}}, "`hierarchy` names 'none'"),
        ({"expected": {"low": 3}}, "`expected` counts all classes or none, and lacks high"),
        ({"abnormal": {"low", "high"}}, "`abnormal` names every class"),
        ({"severity": {"low": "least", "high": 1}}, "`severity` is {.*'least'.*}, where a dict .* whole num"),
        ({"severity": {"low": 0.5, "high": 1}}, "where a dict of class names to whole numbers is due"),
        ({"classes": ("low", "")}, r"`classes` is \('low', ''\), where a tuple of names, none of them empty"),
        ({"classes": ("low", "high ")}, "or with blanks around it, is due"),
        ({"classes": "ab"}, "`classes` is 'ab', where a tuple"),
        ({"abnormal": "high"}, "`abnormal` is 'high', where a set of class names is due"),
        ({"ignored": "*.png"}, r"`ignored` is '\*.png', where a tuple of patterns is due"),
        ({"source": "https://example.org"}, "`source` is a str, where a Source is due"),
        ({"groups_known": "no"}, "`groups_known` is 'no', where True or False is due"),
        ({"revision": "2"}, "`revision` is '2', where a whole number is due"),
        ({"hierarchy": {"low": "cells", "high": "cells"}}, "to tuples of names is due"),
        ({"items": [], "read": None}, r"`items` is \[\], where a function of a folder is due"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused_where_it_is_written(slip, told):
    """Regression: a severity of words was an error of pydantic's, and it came after the training."""
    sound = Card("two", "Two", ("low", "high"), lambda folder: [], "", "", Source(""), "")
    with pytest.raises(DataError, match=told):
        replace(sound, **slip)


def of(*items):
    """A card that lists these, and a merged one of the same."""
    card = Card("two", "Two", ("low", "high"), lambda folder: items, "", "", Source(""), "")
    return card, card.merged("two-2", "Two", {"low": ("low",), "other": ("high",)})


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        ({"group": "P1 "}, "id 'a': its group 'P1 ' has blanks around it"),
        ({"id": " a"}, "id ' a': its id ' a' has blanks around it"),
        ({"group": ""}, "'a.png', id 'a': its group is empty"),
        ({"id": ""}, "'a.png', id '': its id is empty"),
        ({"id": 7}, "`items` of its card, place 0, id 7: `id` is 7, where a str is due"),
        ({"group": None}, "place 0, id 'a': `group` is None, where a str is due"),
        ({"label": float("nan")}, "place 0, id 'a': `label` is nan, where a str or None is due"),
        ({"split": 1}, "place 0, id 'a': `split` is 1, where a str or None is due"),
        ({"path": "a.png"}, "place 0, id 'a': `path` is 'a.png', where a pathlib.Path is due"),
    ],
)
def test_names_that_are_none_or_look_alike_are_refused(slip, told, tmp_path):
    """Regression: `P1` and `P1 ` were two groups, on two sides of a fold."""
    sound = Item("a", "low", "P1", Path("a.png"))
    for card in of(replace(sound, **slip)):
        with pytest.raises(DataError, match=told):
            card.listed(tmp_path)


def test_a_group_that_is_spelt_in_two_ways_is_refused(tmp_path):
    """Regression: `é` is one character in one name and two in the other."""
    one, two = Item("a", "low", "Zo\u00e9", Path("a.png")), Item("b", "low", "Zoe\u0301", Path("b.png"))
    for card in of(one, two):
        with pytest.raises(DataError, match=r"the groups 'Zo\\xe9' and 'Zoe\\u0301' read the same"):
            card.listed(tmp_path)


def test_a_label_that_a_merged_card_does_not_know_is_named(tmp_path):
    """Regression: it was a bare KeyError."""
    with pytest.raises(DataError, match=r"a\.png has the class 'none', which the card of two does not know"):
        of(Item("a", "none", "g", Path("a.png")))[1].listed(tmp_path)


@pytest.mark.parametrize("listed", [{"a": 1}, [("a", "low", "g")], ["a"]])
def test_what_is_no_item_is_named_by_its_place(listed, tmp_path):
    for card in of(*listed):
        with pytest.raises(DataError, match=r"`items` of its card lists .* at place 0, where an Item is due"):
            card.listed(tmp_path)


def test_what_fails_in_items_is_blamed_on_the_card_with_its_place(tmp_path):
    """Regression: a traceback through cervbench, and no word of whose card it was."""

    def items(folder):
        yield Item("a", "low", "g", folder / "a.png")
        raise KeyError("label")

    for card in [
        replace(of()[0], items=items),
        replace(of()[0], items=items).merged("m", "M", {"x": ("low",), "y": ("high",)}),
    ]:
        with pytest.raises(
            DataError, match=r"two: `items` of its card failed: KeyError: 'label' \(at .*\.py:\d+"
        ):
            card.listed(tmp_path)


def test_strings_of_numpy_are_plain_ones(tmp_path):
    """Regression: those of pandas made a pack that was "not what was built"."""
    item = Item(np.str_("a"), np.str_("low"), np.str_("g"), Path("a.png"), split=np.str_("test"))
    for card in of(item):
        [found] = card.listed(tmp_path)
        assert repr(found) == repr(Item("a", "low", "g", Path("a.png"), split="test"))


@pytest.mark.parametrize("label", ["low\rgrade", "low\x00", "low\udcff"])
def test_a_name_that_no_table_would_bring_back_is_refused(label, tmp_path):
    """Regression: `verify` told all records of an honest run to be others: a line was broken in two."""
    card = replace(CARDS["herlev"], items=lambda folder: [Item("1", label, "1", folder / "1.png")])
    with pytest.raises(DataError, match=r"its class .* holds a character that cannot be printed"):
        card.listed(tmp_path)


def test_archives_are_a_tuple_of_them():
    with pytest.raises(DataError, match="`archives` of a Source is a Archive, where a tuple is due"):
        Source("https://example.org", archives=Archive("https://example.org/cells.zip"))


def test_a_class_merged_from_normal_and_abnormal_is_one_of_the_two_when_told():
    """Regression: normal images became abnormal in silence."""
    merge = {"few": ("NILM", "ASC-US"), "many": ("LSIL", "ASC-H", "HSIL", "SCC")}
    with pytest.raises(DataError, match="'few' merges ASC-US, abnormal in cric, with NILM, which is not"):
        CARDS["cric"].merged("x", "X", merge)
    assert CARDS["cric"].merged("x", "X", merge, abnormal={"many"}).abnormal == {"many"}
    with pytest.raises(DataError, match="`abnormal` names 'LSIL'"):
        CARDS["cric"].merged("x", "X", merge, abnormal={"LSIL"})


def test_a_class_merged_from_none_is_refused():
    with pytest.raises(DataError, match="'none' is merged from no class of cric"):
        CARDS["cric"].merged("x", "X", {"all": CARDS["cric"].classes, "none": ()})
