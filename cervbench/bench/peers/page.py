"""The page of the comparison with other libraries, which is made from its measurements alone."""

from collections.abc import Sequence
from pathlib import Path

from cervbench.atomic import write_text
from cervbench.bench.measurement import merged, one_at_a_time, read, write
from cervbench.bench.peers.findings import OURS, Contestant, PeerComparison, claims
from cervbench.markup.escaping import markdown
from cervbench.markup.text import grid

MARK = "<!-- Written by `cervbench bench peers` from peers.json beside it: edits are lost. -->"
MEASURED, PAGE = "peers.json", "peers.md"

_ABOUT = """# Beside other libraries

SimCLR's views and SimCLR's training through lightly, kornia, torchvision v2 and cervbench: timm's resnet18,
one batch size, one image size, the same images. All take turns in one run; figures are medians over rounds,
ratios are medians of the rounds' own. Each library runs by its documented recipe at the best of its settings
that were tried.

- **lightly** reads JPEG files with its `LightlyDataset`, makes views with its `SimCLRTransform`, loads them
  with torch's `DataLoader` and worker processes, and trains with its projection head, its `NTXentLoss` and
  SGD. Its documented recipe computes in fp32; bf16 with channels last is what a user can add to it, and
  on a GPU torch gives it TF32, which runs of ours go without.
- **kornia** and **torchvision v2** make views of stored images in the memory of the device, in batch where
  they can, and train that same model of lightly's, in bf16 where the device has it. kornia is also given
  images stored at 1.5 times the training size, which are less sharp and quicker to crop.
- **cervbench** runs as `cervbench run` does after its first epochs, in which images are made at the sizes
  that views ask for, and kept (docs/speed.md says what these epochs cost); its ceiling is the same loop on
  one batch on the device already. lightly's recipe keeps nothing, so its first epochs are as its others.
- Views/s: N images of two views are 2 N. Reading and decoding are in lightly's end-to-end figure, since its
  recipe does them at each step, and not in its figure for views alone."""


def publish(out: Path, fresh: Sequence[PeerComparison] = ()) -> list[Path]:
    """Merge comparisons with those in a folder, and write all of them with their page."""
    with one_at_a_time(out / MEASURED):
        measured = merged(read(out / MEASURED, PeerComparison), fresh)
        write(out / MEASURED, measured)
        write_text(out / PAGE, page(measured))
    return [out / PAGE, out / MEASURED]


def page(measured: Sequence[PeerComparison]) -> str:
    return "\n\n".join([MARK, _ABOUT, *(part for one in measured for part in _section(one))]) + "\n"


def _section(one: PeerComparison) -> list[str]:
    where = one.where
    names = ("cervbench", "torch", "torchvision", "timm", "kornia", "lightly", "pillow")
    versions = ", ".join(f"{name} {where.versions[name]}" for name in names if name in where.versions)
    conditions = (
        f"host {where.host}; {where.precision}, {where.threads} threads; {one.rounds} rounds; "
        f"images of {one.dataset}, {one.stored} px stored; {versions}"
    )
    known = [
        [markdown(what), f"≥ {at_least:g}", f"{measured:.2f}", "yes" if measured >= at_least else "**no**"]
        for what, at_least, measured in claims(one)
    ]
    tried = [[markdown(name), f"{rate:,.0f}"] for name, rate in one.tried.items()]
    made = [f"- {markdown(name)}: {markdown(said)}" for name, said in one.augmentations.items()]
    return [
        f"## {markdown(where.device)}, {one.size} px, batch {one.batch}",
        f"<sub>{markdown(conditions)}</sub>",
        "**What was to be shown** (of two processor cores and Herlev, at 64 px and batch 128)",
        grid(["ours", "wanted", "measured", "holds"], known),
        "**Training, end to end**",
        _rates(one.training),
        "**Views alone**, of 256 images at a time",
        _rates(one.views),
        "**lightly's recipe in each setting that was tried**, one turn each",
        grid(["setting", "views/s"], tried),
        "**What each library's views hold**",
        "\n".join(made),
    ]


def _rates(contestants: Sequence[Contestant]) -> str:
    fastest_first = sorted(contestants, key=lambda one: -one.views_per_second)
    rows = [
        [
            markdown(one.name),
            f"{one.views_per_second:,.0f}",
            "" if one.name == OURS else f"{one.ours_over_it:.2f}",
        ]
        for one in fastest_first
    ]
    return grid(["", "views/s", "ours, times as fast"], rows)
