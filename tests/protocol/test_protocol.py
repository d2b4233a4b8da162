import hashlib
import tomllib
from importlib.resources import files

import pytest

from cervbench.plugin.settings import SettingsError
from cervbench.protocol.protocol import TIERS, changes_of, load
from cervbench.protocol.randomness import generator, torch_seed
from cervbench.records.record import BudgetOfRun, digest


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_has_a_budget_for_every_evaluation(tier: str) -> None:
    protocol = load(tier)
    assert set(protocol.evaluations) == {"linear", "knn", "finetune"}
    assert protocol.off == ()
    assert protocol.pack.stored_size >= protocol.image_size


def test_the_numbers_of_version_1_are_frozen() -> None:
    """Figures under it were published: where a number has to change, it is another version."""
    numbers = tomllib.loads(files("cervbench.protocol").joinpath("v1.toml").read_text("utf-8"))
    # The norm was code when they were published, and this number.
    assert {numbers["tiers"][tier]["pretext"].pop("clip") for tier in TIERS} == {1.0}
    assert digest(numbers) == "7fccf1e81ba8b086"


def test_an_unknown_tier_is_named() -> None:
    with pytest.raises(SettingsError, match=r"'fast'.*smoke, quick, standard"):
        load("fast")


def test_a_changed_number_is_off_protocol_and_says_which() -> None:
    protocol = load("quick", {"pretext.epochs": 3})
    assert protocol.pretext.epochs == 3
    assert protocol.off == ("pretext.epochs=3",)
    # Regression: 3.0 epochs are the same 3, and were a row beside them.
    assert load("quick", {"pretext.epochs": 3.0}) == protocol
    assert load("quick", {"finetune.weight_decay": 0}) == load("quick", {"finetune.weight_decay": 0.0})
    assert load("quick", {"finetune.steps": float(load("quick").evaluations["finetune"]["steps"])}).off == ()
    # Regression: one run had two ids, by how its numbers were written.
    for same in ([1, 2], (1, 2)):
        assert load("quick", {"linear.grid": same}) == load("quick", {"linear.grid": [1.0, 2.0]})
    for wrong in (1, "yes"):
        with pytest.raises(SettingsError, match="compile is true or false"):
            load("quick", {"pretext.compile": wrong})
    for wrong in ("3", True, None, float("inf")):
        with pytest.raises(SettingsError, match="epochs"):
            load("quick", {"pretext.epochs": wrong})


@pytest.mark.parametrize(
    "key", ["pretext.epoch", "pretext", "nothing", "linear.strength.more", "linear.strength.a.b"]
)
def test_a_number_that_the_protocol_does_not_have_cannot_be_changed(key: str) -> None:
    with pytest.raises(SettingsError, match="no number"):
        load("quick", {key: 3})


def test_what_put_a_protocol_off_can_be_read_from_it() -> None:
    changes = {"pretext.compile": True, "linear.grid": [0.5, 2], "finetune.weight_decay": 1e-3}
    found = changes_of(load("quick", changes).off)
    again = {key.removeprefix("protocol."): value for key, value in found.items()}
    assert again == changes
    assert load("quick", again) == load("quick", changes)


def test_a_draw_is_a_function_of_its_purpose() -> None:
    first = generator(0, "views", 7).random(4)
    assert (generator(0, "views", 7).random(4) == first).all()
    assert (generator(0, "views", 8).random(4) != first).all()
    assert torch_seed(0, "views", 7) == torch_seed(0, "views", 7) != torch_seed(1, "views", 7)


def test_draws_are_the_same_on_every_machine() -> None:
    """The values that the frozen folds and all records hang on."""
    assert generator("folds", 0).integers(0, 1000, 5).tolist() == PINNED


PINNED = [199, 792, 649, 905, 345]


def test_seeds_of_torch_are_the_same_on_every_machine() -> None:
    """The first eight bytes of SHA-256 of the purpose, the lowest first, without the last bit: by hexadecimal
    digits here."""
    digest = hashlib.sha256(b"0/3/init").hexdigest()[:16]
    lowest_first = "".join(reversed([digest[place : place + 2] for place in range(0, 16, 2)]))
    assert torch_seed(0, 3, "init") == int(lowest_first, 16) // 2


def test_clipping_is_a_number_of_the_protocol_that_older_records_do_not_have() -> None:
    """It was code before, at the same norm: what was recorded then stays on protocol."""
    on, off = load("quick"), load("quick", {"pretext.clip": 0})
    assert (on.pretext.clip, off.pretext.clip) == (1.0, 0.0)
    assert "clip" not in BudgetOfRun(**on.pretext.model_dump()).model_dump()
    assert BudgetOfRun(**off.pretext.model_dump()).model_dump()["clip"] == 0
    assert off.off == ("pretext.clip=0.0",)
