"""What the documentation says is so: code runs, signatures are those of the code, links lead somewhere."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from inspect import getdoc, isclass, isfunction, signature, unwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click import Command, Context, Group
from markdown_it import MarkdownIt
from PIL import Image
from safetensors.torch import save_file

import cervbench
import cervbench.plugin as api
from cervbench.checks.examined import CPU
from cervbench.cli import COMMANDS, main
from cervbench.data.dataset import open_dataset
from cervbench.data.parts import Parts, opaque
from cervbench.harness import pretrained
from cervbench.place import Place
from cervbench.plan import plan
from cervbench.plugin import BackboneOffer, EvaluationOffer, Method, Normalise, Offer, Pyramid, plain_policy
from cervbench.plugin.checks import checks_of
from cervbench.plugin.contract import SPECS
from cervbench.plugin.installed import PLUGINS_VARIABLE
from cervbench.plugin.manager import Plugins, plugins
from cervbench.plugin.method import CONTRACT
from cervbench.plugin.scaffold import new_package
from cervbench.protocol.folds import frozen
from cervbench.protocol.protocol import load
from cervbench.study import Request
from cervbench.watching import unwatched

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text("utf-8")


def python_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE)


def module_of(code: str, name: str) -> ModuleType:
    module = ModuleType(name)
    exec(compile(code, f"{name}.py", "exec"), module.__dict__)
    return module


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def signatures() -> dict[str, str]:
    """Each hook as the documentation writes it: annotations without the quotes that the code needs."""
    return {hook: f"{hook}{signature(spec)}".replace("'", "") for hook, spec in SPECS.items()}


def test_every_hook_is_documented_with_its_signature_and_its_sentence() -> None:
    sections = dict(re.findall(r"^### `(.+)`\n\n((?:.+\n)+)", text_of("hooks.md"), re.MULTILINE))
    assert set(sections) == set(signatures().values())
    for hook, written in signatures().items():
        sentence = getdoc(SPECS[hook])
        assert sentence is not None
        assert " ".join(sections[written].split()).startswith(sentence)


@pytest.mark.parametrize("offer", [Offer, EvaluationOffer, BackboneOffer])
def test_every_field_of_an_offer_is_documented(offer: Any) -> None:
    [table] = re.findall(
        rf"^\| `{offer.__name__}` \| \|\n\|.*\n((?:\|.*\n)+)", text_of("hooks.md"), re.MULTILINE
    )
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert documented == [field.name for field in fields(offer)]


def test_every_name_of_the_method_contract_is_documented_with_its_arguments() -> None:
    for name in CONTRACT:
        arguments = ", ".join(list(signature(getattr(Method, name)).parameters)[1:])
        assert f"| `{name}({arguments})` |" in text_of("writing-a-method.md")


BY_HAND = {"Columns", "ViewPolicy", "hookimpl"}
"""Names whose object cannot say what it is."""


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_that_authors_may_use_is_documented_as_it_says_itself(name: str) -> None:
    offered = getattr(api, name)
    takes_its_own = isfunction(unwrap(offered)) or (
        isclass(offered) and "__init__" in vars(offered) and not getattr(offered, "_is_protocol", False)
    )
    called = f"{name}({', '.join(signature(offered).parameters)})" if takes_its_own else name
    said = (getdoc(offered) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    line = f"| `{name}` | " if name in BY_HAND else f"| `{called}` | {said} |"
    assert f"\n{line}" in text_of("hooks.md")


@pytest.mark.parametrize("name", ["herlev", "cric"])
def test_strangers_can_tell_which_labels_were_seen(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Regression: they were said to follow the frozen order within a part, which gives other labels."""
    monkeypatch.chdir(ROOT)
    [code] = python_of("protocol.md")
    stranger = module_of(code, "stranger")
    assert "149" in capsys.readouterr().out
    manifest, labels = frozen(name), load("quick").labels
    table = pd.read_csv(ROOT / f"cervbench/protocol/frozen/{name}.csv", dtype={"image": str})
    for fold, ratio, draw in [(0, 1, 0), (1, 5, 1), (2, 10, 2), (3, 25, 3), (4, 50, 4), (2, 100, 0)]:
        train, val = manifest.permitted(manifest.fold(fold), ratio, draw, labels)
        for part, rows in {"train": train, "val": val}.items():
            if part == "train" or ratio >= 10:
                expected = sorted(manifest.images[row] for row in rows)
                assert stranger.seen(table, fold, ratio, draw, part) == expected


def test_the_code_of_the_tutorial_is_that_of_the_package_it_begins_with(tmp_path: Path) -> None:
    package = new_package("near-far", tmp_path)
    files = [path.read_text("utf-8") for path in package.rglob("*.py")]
    *quoted, notebook = python_of("writing-a-method.md")
    assert quoted
    for code in (code for code in quoted if "Blanked" not in code):
        assert any(code in file for file in files), code
    assert "plugins().add" in notebook


def test_the_notebook_of_the_tutorial_runs(
    tmp_path: Path, cache_with_cells: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CERVBENCH_CACHE", str(cache_with_cells(tmp_path / "cache")))
    try:
        table = module_of(python_of("writing-a-method.md")[-1], "notebook").table
    finally:
        plugins.cache_clear()
    assert table["method"].tolist() == ["apart"]
    assert table["ratio"].tolist() == [100]


def test_the_vectors_that_the_page_of_records_makes_are_those_of_the_harness(
    tmp_path: Path, place: Place
) -> None:
    asked = Request("supervised", "synthetic", backbone="test_resnet", tier="smoke", folds=(0,))
    [planned] = plan([asked], place, unwatched, plugins())
    parts = Parts.of(planned.dataset, 0, planned.resolved.protocol, CPU)
    trained, _ = pretrained(planned, parts, place, CPU, unwatched)
    card = planned.dataset.card
    items = {opaque(item.id): item for item in card.items(place.data_root)}
    some = parts.test.subset(np.arange(8))
    paths = [tmp_path / f"{id}.png" for id in some.ids]
    for path, id in zip(paths, some.ids, strict=True):
        card.image(items[id]).save(path)
    [code] = [code for code in python_of("records.md") if "def vectors" in code]
    weights = place.pretraining(planned.run.id) / "method.safetensors"
    made = module_of(code, "after").vectors(weights, paths)
    np.testing.assert_allclose(made, trained.features(some), rtol=1e-4, atol=1e-5)
    assert np.ptp(made, axis=0).max() > 1e-3

    _, prepare = cervbench.encoder(weights)
    Image.open(paths[0]).convert("RGBA").resize((40, 30)).rotate(20).save(paths[0])  # its corners are clear
    assert torch.equal(prepare([Image.open(path) for path in paths]), prepare(paths))


def test_weights_that_no_run_has_left_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(cervbench.CervbenchError, match=r"other\.safetensors is not the method\.safetensors"):
        cervbench.encoder(tmp_path / "other.safetensors")


def test_the_view_of_the_tutorial_is_one() -> None:
    [code] = [code for code in python_of("writing-a-method.md") if "class Blanked" in code]
    used = ["Mapping", "Normalise", "Policy", "Pyramid", "Tensor", "dataclass", "np", "on_device", "torch"]
    imports = (
        "from collections.abc import Mapping\nfrom dataclasses import dataclass\nimport numpy as np\n"
        "import torch\nfrom torch import Tensor\n"
        "from cervbench.plugin import Normalise, Policy, Pyramid, on_device\n"
    )
    assert all(re.search(rf"\b{name}\b", code) for name in used)
    blanked = module_of(imports + code, "blanked").Blanked(plain_policy(), side=0.25)
    pyramid = Pyramid(np.full((6, 48, 48, 3), 200, dtype=np.uint8), 32)
    normalise = Normalise((0.0,) * 3, (1.0,) * 3)
    rows, drawn = torch.arange(6), blanked.draw(np.random.default_rng(0), 6)
    views = blanked.apply(pyramid, rows, drawn, normalise)
    assert views.shape == (6, 3, 32, 32)
    assert ((views == 0).float().mean((1, 2, 3)) - 0.25**2).abs().max() < 0.01
    half = {name: values[3:] for name, values in drawn.items()}
    torch.testing.assert_close(blanked.apply(pyramid, rows[3:], half, normalise), views[3:])
    assert len({tuple(corner) for corner in drawn["corner"].tolist()}) == 6


def test_the_card_of_the_tutorial_opens_a_dataset(tmp_path: Path) -> None:
    [code] = python_of("writing-a-dataset.md")
    found = Plugins.of({"two-kinds-package": module_of(code, "two_kinds")})
    assert found.problems == []
    for label, shade in (("benign", 90), ("malignant", 160)):
        folder = tmp_path / "two-kinds" / label
        folder.mkdir(parents=True)
        for number in range(12):
            image = Image.new("RGB", (20, 30), (shade, number, number))
            image.save(folder / f"{label}{number // 2}_{number}.png")
    card = found.datasets.get("two-kinds").offer
    dataset = open_dataset(card, tmp_path, tmp_path / "cache", load("smoke"))
    assert dataset.variant == "two-kinds"
    assert dataset.manifest.folds == 5
    assert len(set(dataset.pack.groups)) == 12


@pytest.mark.parametrize(
    ("page", "module", "subject"),
    [
        ("writing-an-evaluation.md", "centroid.py", "evaluation centroid"),
        ("writing-a-backbone.md", "halving.py", "backbone halving"),
    ],
)
def test_the_package_of_a_tutorial_passes_its_checks(
    page: str, module: str, subject: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: in one file, as it stood there, it imported torch to register, which a check forbids."""
    files = dict(zip(("__init__.py", module), python_of(page), strict=True))
    installed = {
        "my_package-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n",
        "my_package-1.0.dist-info/entry_points.txt": "[cervbench]\nit = my_package\n",
        **{f"my_package/{name}": code for name, code in files.items()},
    }
    for name, text in installed.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for loaded in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(PLUGINS_VARIABLE, "my-package")
    checks = checks_of("my-package", Plugins.discover())
    assert subject in {check.name for check in checks}
    for check in checks:
        check()


def commands(page: Path) -> Iterator[list[str]]:
    """Lines that begin with `cervbench`, alone, after a prompt, or indented."""
    for line in page.read_text("utf-8").splitlines():
        if found := re.match(r"(?:\$ |    )cervbench ((?:[\w-]+ ?)+)", line):
            yield found[1].split()


def test_every_command_of_a_page_exists() -> None:
    told = [(named(page), words) for page in PAGES for words in commands(page)]
    assert told
    for where in told:
        _, words = where
        assert words[0] in COMMANDS, where
        command: Command | None = main.get_command(Context(main), words[0])
        if isinstance(command, Group):
            assert words[1] in command.commands, where


def test_every_link_to_a_file_leads_somewhere() -> None:
    link = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
    links = [(page, to) for page in PAGES for to in link.findall(page.read_text("utf-8"))]
    assert links
    assert [(named(page), to) for page, to in links if not (page.parent / to).exists()] == []


def places_of(page: Path) -> set[str]:
    """What a link to a part of a page can name: its headings, as GitHub writes them, and its own anchors."""
    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


def test_every_link_to_a_part_of_a_page_leads_there() -> None:
    """Regression: a page could send readers to a section that it does not have."""
    link = re.compile(r"\]\(([^)#:\s]*)#([^)\s]+)\)")
    links = [(page, *found) for page in PAGES for found in link.findall(page.read_text("utf-8"))]
    assert len(links) > 20
    known = {page: places_of(page) for page in {(page.parent / to if to else page) for page, to, _ in links}}
    lost = [(named(p), f"{to}#{at}") for p, to, at in links if at not in known[p.parent / to if to else p]]
    assert lost == []


@pytest.mark.parametrize("name", list(plugins().methods))
def test_every_setting_of_a_method_says_what_it_is(name: str) -> None:
    settings = plugins().methods.get(name).offer.config.model_fields
    assert [key for key, field in settings.items() if not field.description] == []


OF_TWO_METHODS = {
    *("−0.2 [−4.7, +4.4]", "−2.6 [−7.1, +2.0]", "−0.6 [−4.4, +3.1]"),  # attentive patch less jigsaw
    *("−3.4 [−6.3, −0.6]", "−4.1 [−6.9, −1.3]", "−3.5 [−6.3, −0.7]", "−2.5 [−5.3, +0.2]"),
    "−1.3 [−4.5, +1.9]",  # AGBT less the control, from 5 to 100 %
    *("−2.6 [−5.4, +0.2]", "−4.2 [−7.4, −1.0]", "−4.2 [−7.3, −1.1]", "−4.1 [−7.0, −1.1]"),
    "−4.5 [−8.1, −1.0]",  # the same by neighbours
    "+5.0 [−0.4, +10.4]",  # SimCLR less simclr-published
    *("+3.3 [−0.9, +7.6]", "−0.3 [−3.9, +3.4]"),  # Barlow Twins without its projector less with it
    *("+5.6 [+1.1, +10.1]", "+5.4 [+1.4, +9.4]"),  # the published pairs and head less SimCLR's, on CRIC
    *("−6.7 [−12.0, −1.4]", "−3.2 [−7.2, +0.7]"),  # AGBT less the control, on CRIC
    *("−7.8 [−10.8, −4.7]", "−6.5 [−10.9, −2.0]"),  # the same by neighbours
    *("+4.2 [+0.4, +8.1]", "+4.9 [+1.6, +8.2]"),  # simclr-published not clipped less clipped, on CRIC
    "−12.4 [−16.2, −8.7]",  # the former less its pairs with SimCLR's optimiser
}
"""Paired differences that stand on no page: `cervbench leaderboard compare` gives them."""


def figures(page: Path) -> set[str]:
    """Those with an interval, wherever a line breaks."""
    text = " ".join(page.read_text("utf-8").replace("*", "").split())
    return set(re.findall(r"[−+]?\d+\.\d \[[−+]?\d+\.\d, [−+]?\d+\.\d\]", text))


WRITTEN = [*PAGES, ROOT / "CHANGELOG.md", *sorted(ROOT.glob("plugins/*/README.md"))]


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_every_table_is_one(page: Path) -> None:
    """Regression: one had been wrapped as if it were a paragraph, and was shown as bars and words."""
    html = MarkdownIt("commonmark").enable("table").render(page.read_text("utf-8"))
    words = re.sub(r"<code.*?</code>", "", html, flags=re.DOTALL)
    assert not re.findall(r"<(?:p|li)>[^<]*\|[ -]", words)


TELLING = [
    ROOT / "README.md",
    ROOT / "docs" / "results.md",
    ROOT / "docs" / "diagnoses.md",
    *sorted(ROOT.glob("docs/methods/*.md")),
]
COMMITTED = [ROOT / "leaderboards" / "herlev.md", *ROOT.glob("leaderboards/diagnoses*/cric*.md")]


@pytest.mark.parametrize("page", TELLING, ids=named)
def test_every_figure_with_an_interval_stands_on_a_committed_page(page: Path) -> None:
    """They are copied by hand: a page made anew leaves none of them behind."""
    assert figures(page) - OF_TWO_METHODS <= set[str]().union(*map(figures, COMMITTED))


def test_no_figure_is_excused_that_no_page_tells() -> None:
    assert set[str]().union(*map(figures, TELLING)) >= OF_TWO_METHODS
