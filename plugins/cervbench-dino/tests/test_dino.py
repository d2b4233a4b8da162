import math
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision.transforms.v2.functional as tv
from cervbench_dino import Config
from cervbench_dino import method as method_module
from cervbench_dino.crops import Local, policy_of_area, vector_of
from cervbench_dino.method import (
    DINO,
    cross_entropy,
    kept_of_centre,
    prototypes_used,
    sharpened,
)
from cervbench_dino.network import Head, cosine
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from torch import Tensor, nn

from cervbench.plugin import Encoder, Normalise, Progress, Pyramid, SettingsError, named_policy
from cervbench.plugin.checks import followed

HALF = Normalise((0.5,) * 3, (0.5,) * 3)
SMALL = {"hidden": 32, "bottleneck": 16, "prototypes": 24}


def vit(**arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.models.VisionTransformer(
        img_size=64, patch_size=8, embed_dim=64, depth=2, num_heads=2, num_classes=0, **arguments
    )


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=0)


def dino(backbone: nn.Module, **settings: Any) -> DINO:
    return DINO(Config(**{**SMALL, **settings}), Encoder(backbone, HALF))


def views(local: int = 4) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(4, 3, side, side) for side in [64, 64, *[32] * local]]


def test_the_loss_worked_by_hand() -> None:
    """Two views for both, one more for the student, one image, two prototypes; the teacher is sure.

    The teacher says the first of one view and the second of the other. The student gives odds of 3 to 1
    for the first prototype whatever it sees; of pairs of different views there are 2 · 3 - 2.
    """
    answers = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    learnt = 0.5 * torch.tensor([math.log(3), 0.0]).expand(3, 1, 2)
    said_first, said_second = -math.log(3 / 4), -math.log(1 / 4)
    expected = (2 * said_first + 2 * said_second) / 4
    assert cross_entropy(answers, learnt, 0.5).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("local", [0, 4])
@pytest.mark.parametrize("temperature", [0.04, 0.07])
def test_the_loss_is_lightlys(local: int, temperature: float) -> None:
    torch.manual_seed(0)
    theirs = DINOLoss(24, teacher_temp=temperature)
    theirs.center = torch.randn(1, 1, 24) / 10
    taught, learnt = torch.randn(2, 8, 24) / 5, torch.randn(2 + local, 8, 24)
    ours = cross_entropy(sharpened(taught, theirs.center, temperature), learnt, 0.1)
    assert ours.item() == pytest.approx(theirs(list(taught), list(learnt)).item(), abs=1e-5)


def test_the_loss_is_in_float32_where_the_networks_are_in_bf16() -> None:
    """Regression: the sum over prototypes was rounded to bf16."""
    torch.manual_seed(0)
    taught, learnt = torch.randn(2, 8, 24) / 5, torch.randn(6, 8, 24)
    exact = cross_entropy(sharpened(taught, torch.zeros(24), 0.04), learnt, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = cross_entropy(sharpened(taught, torch.zeros(24), 0.04), learnt, 0.1)
    assert mixed.item() == pytest.approx(exact.item(), abs=1e-5)


@pytest.mark.parametrize("backbone", [vit, cnn])
def test_loss_and_centre_of_a_step_are_lightlys(backbone: Any) -> None:
    """The teacher is another network by now, the centre not 0, and neither temperature what it began as.

    Crops of one size pass in one batch, as batch norm sees.
    """
    temperatures = {"cold_temperature": 0.04, "warm_temperature": 0.08, "student_temperature": 0.2}
    method = dino(backbone(), **temperatures, warm_up=1)
    for parameter in method.teacher.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    theirs = DINOLoss(24, student_temp=0.2)
    theirs.center = torch.randn(1, 1, 24) / 10
    method.centre.copy_(theirs.center.flatten())
    method.share.fill_(0.5)
    seen, never = views(), torch.tensor(False)
    whole, parts = torch.cat(seen[:2]), torch.cat(seen[2:])
    with torch.no_grad():
        taught = method.teacher.network([whole], never).chunk(2)
        vectors = [vector_of(method.encoder, crops) for crops in (whole, parts)]
        learnt = method.head(torch.cat(vectors), never).chunk(len(seen))
    expected = theirs(list(taught), list(learnt), 0.06).item()
    assert method.loss(seen)[0].item() == pytest.approx(expected, abs=1e-5)
    method.after_step(Progress(1, 100_000))
    torch.testing.assert_close(method.centre, theirs.center.flatten())


def test_the_centre_is_that_of_all_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    here = dino(vit())
    elsewhere = torch.randn(1, 24)
    monkeypatch.setattr(method_module, "gather", lambda rows: torch.cat([rows, elsewhere]))
    here.loss(views())
    both = here.batch_centre.clone()
    monkeypatch.undo()
    here.loss(views())
    torch.testing.assert_close(both, (here.batch_centre + elsewhere[0]) / 2)


def test_all_of_the_teacher_follows_and_keeps_ever_more() -> None:
    """Half way along half a cosine, what is not kept is half of what it was."""
    method = dino(vit(), keep=0.75, memory=1)
    leader = nn.ModuleList([method.encoder, method.head])
    gone = followed(method.teacher, leader, lambda: method.after_step(Progress(50, 100)))
    assert gone == pytest.approx(0.125, abs=1e-5)


def test_in_a_short_stage_the_centre_forgets_quicker_by_the_teachers_factor() -> None:
    """In 1,000 steps the teacher forgets 1 % in a step where 0.4 % was set, and the centre 25 % for 10 %."""
    method = dino(vit())
    method.centre.fill_(1.0)
    method.batch_centre.fill_(3.0)
    method.after_step(Progress(1, 1000))
    torch.testing.assert_close(method.centre, torch.full((24,), 1.5))


def test_it_is_shown_two_large_crops_and_small_ones_of_what_is_small() -> None:
    """A gradient across and down tells how much of the image a crop shows."""
    across = np.linspace(0, 255, 96).astype(np.uint8)
    image = np.zeros((200, 96, 96, 3), np.uint8)
    image[..., 0], image[..., 1] = across[None, :], across[:, None]
    pixels, rows, rng = Pyramid(image, 64), torch.arange(200), np.random.default_rng(0)
    method = dino(vit(), policy="A")
    areas = []
    for number, view in enumerate(method.views()):
        shown = view.apply(pixels, rows, view.draw(rng, 200), HALF)
        assert shown.shape[-1] == (64 if number < 2 else 32)
        width, height = (shown[:, channel].flatten(1) for channel in (0, 1))
        spans = [(axis.amax(1) - axis.amin(1)) / 2 for axis in (width, height)]
        areas.append(spans[0] * spans[1])
    assert len(areas) == 6
    for large in areas[:2]:
        assert large.min() > 0.3
        assert large.max() > 0.9
    for small in areas[2:]:
        assert small.max() < 0.45
        assert small.min() < 0.1


def test_the_head_begins_as_lightlys() -> None:
    """Regression: prototypes began 28 times as long, and AdamW, whose steps have one length, hardly turned
    them. Spreads of some thousands of draws are compared, and the widest of the prototypes."""
    torch.manual_seed(0)
    ours, theirs = Head(64, 128, 256, 512), DINOProjectionHead(64, 128, 256, 512)
    linear = [[part for part in head.layers if isinstance(part, nn.Linear)] for head in (ours, theirs)]
    for one, other in zip(*linear, strict=True):
        assert one.weight.std().item() == pytest.approx(other.weight.std().item(), rel=0.05)
        assert not one.bias.any()
        assert not other.bias.any()
    last = theirs.last_layer
    began = last.weight_v if hasattr(last, "weight_v") else last.parametrizations.weight.original1
    assert ours.prototypes.std().item() == pytest.approx(began.std().item(), rel=0.02)
    assert ours.prototypes.abs().max().item() == pytest.approx(began.abs().max().item(), rel=0.01)


def test_the_head_is_lightlys() -> None:
    torch.manual_seed(0)
    ours = Head(40, 32, 16, 24)
    theirs = DINOProjectionHead(40, 32, 16, 24)
    theirs.layers.load_state_dict(ours.layers.state_dict())
    theirs.last_layer.weight_v.data.copy_(ours.prototypes.data)
    vectors = torch.randn(8, 40)
    torch.testing.assert_close(ours(vectors, torch.tensor(False)), theirs(vectors))


@pytest.mark.parametrize(
    "arguments",
    [{}, {"class_token": False, "global_pool": "avg"}, {"reg_tokens": 2}, {"no_embed_class": True}],
    ids=str,
)
def test_a_vits_vector_of_a_smaller_crop_is_timms(arguments: dict[str, Any]) -> None:
    ours, theirs = vit(**arguments), vit(**arguments, dynamic_img_size=True)
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        for side in (32, 64):
            images = torch.randn(2, 3, side, side)
            expected = Encoder(theirs, HALF)(images)
            torch.testing.assert_close(vector_of(Encoder(ours, HALF), images), expected)


@pytest.mark.parametrize("backbone", [vit, cnn])
def test_everything_of_the_student_learns_and_nothing_of_the_teacher(backbone: Any) -> None:
    method = dino(backbone(), frozen=0)
    method.loss(views())[0].backward()
    untaught = {name for name, p in method.named_parameters() if p.grad is None}
    teacher = {name for name, _ in method.named_parameters() if name.startswith("teacher")}
    assert untaught == teacher
    trained = {id(p) for group in method.param_groups() for p in group["params"]}
    assert not trained & {id(p) for p in method.teacher.parameters()}


def test_prototypes_stay_put_for_the_first_share_of_the_steps() -> None:
    method = dino(vit(), frozen=0.1)
    for done, moves in ((0, False), (9, False), (10, True)):
        method.share.fill_(done / 100)
        method.zero_grad()
        method.loss(views())[0].backward()
        assert method.head.prototypes.grad is not None
        assert bool(method.head.prototypes.grad.any()) is moves


def test_as_a_stage_goes_on_prototypes_thaw_and_the_teacher_warms() -> None:
    method = dino(vit(), frozen=0.1, cold_temperature=0.04, warm_temperature=0.08, warm_up=1)
    method.after_step(Progress(50, 100))
    assert method.teacher_temperature.item() == pytest.approx(0.06)
    method.loss(views())[0].backward()
    assert method.head.prototypes.grad is not None
    assert bool(method.head.prototypes.grad.any())


def test_the_teacher_warms_up_in_a_straight_line() -> None:
    method = dino(vit(), cold_temperature=0.04, warm_temperature=0.08, warm_up=0.5)
    for share, expected in ((0, 0.04), (0.25, 0.06), (0.5, 0.08), (1, 0.08)):
        method.share.fill_(share)
        assert method.teacher_temperature.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("steps", "teacher", "centre"),
    [
        (100_000, 0.996, 0.9),  # a long stage: the paper's
        (2_500, 0.996, 0.9),
        (1_000, 0.99, 0.75),  # a tenth of it is remembered; both forget two and a half times as much
        (200, 0.95, 0.0),  # the centre is the batch's own
        (5, 0.0, 0.0),
    ],
)
def test_what_teacher_and_centre_keep_is_set_by_the_number_of_steps(
    steps: int, teacher: float, centre: float
) -> None:
    first = dino(vit()).teacher.kept_at_first(steps)
    assert first == pytest.approx(teacher)
    assert kept_of_centre(0.9, 0.996, first) == pytest.approx(centre, abs=1e-9)


def test_the_encoder_that_is_left_is_the_teachers() -> None:
    method = dino(vit())
    with torch.no_grad():
        for parameter in method.encoder.parameters():
            parameter.add_(1.0)

    def alike() -> set[bool]:
        pairs = zip(method.student.parameters(), method.teacher.parameters(), strict=True)
        return {torch.equal(student, teacher) for student, teacher in pairs}

    method.after_step(Progress(199, 200))
    assert alike() == {True, False}  # the head has not moved
    method.after_step(Progress(200, 200))
    assert alike() == {True}
    assert all(p.requires_grad for p in method.encoder.parameters())


@pytest.mark.parametrize("name", ["simclr", "A", "D"])
def test_crops_have_the_area_they_are_named_for(name: str) -> None:
    rng = np.random.default_rng(0)
    for low, high in ((0.4, 1.0), (0.05, 0.4)):
        drawn = policy_of_area(name, low, high).draw(rng, 2000)
        area = drawn["0_crop"][:, 2] * drawn["0_crop"][:, 3]
        assert low - 1e-6 < area.min() < low + 0.02
        assert high - 0.02 < area.max() < high + 1e-6
        assert drawn.keys() == named_policy(name).draw(rng, 1).keys()


def test_a_local_view_for_a_vit_is_of_whole_patches() -> None:
    """Regression: 45 of 128 pixels were made, of which patches of 16 leave 13 unseen."""
    policy = policy_of_area("A", 0.05, 0.4)
    pixels = Pyramid(np.zeros((1, 128, 128, 3), np.uint8), 128)
    drawn = policy.draw(np.random.default_rng(1), 1)
    made = Local(policy, 0.35, patch=16).apply(pixels, torch.arange(1), drawn, HALF)
    assert made.shape[-1] == 48


@pytest.mark.parametrize(("size", "side"), [(128, 64), (64, 32), (48, 32), (24, 24)])
def test_a_local_view_is_half_as_large_but_never_too_small_for_a_deep_cnn(size: int, side: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    view, pixels = Local(policy_of_area("A", 0.05, 0.4), 0.5), Pyramid(stored, size)
    drawn = view.draw(np.random.default_rng(1), 3)
    rows = torch.arange(3)
    made = view.apply(pixels, rows, drawn, HALF)
    assert made.shape == (3, 3, side, side)
    last = {key: array[2:] for key, array in drawn.items()}
    assert torch.equal(made[2:], view.apply(pixels, rows[2:], last, HALF))


def test_a_local_view_is_the_large_view_made_smaller() -> None:
    """Of an image with one grey level on the left and one on the right, both are kept but for the middle."""
    stored = np.full((1, 64, 64, 3), 40, dtype=np.uint8)
    stored[:, :, 32:] = 200
    policy = policy_of_area("A", 0.9999, 1.0)
    still = {"0_crop": np.array([[0, 0, 1, 1]]), "1_flip": np.array([[1, 1]])}
    made = Local(policy, 0.5).apply(Pyramid(stored, 64), torch.arange(1), still, HALF)
    for columns, level in ((slice(0, 14), 40), (slice(18, 32), 200)):
        expected = torch.full((1, 3, 32, 14), level / 127.5 - 1)
        torch.testing.assert_close(made[..., columns], expected)


@pytest.mark.parametrize(
    ("answers", "an_image", "in_use"),
    [
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 1, 3),  # sure, and of each image something else
        ([[1.0, 0.0, 0.0]] * 3, 1, 1),  # collapsed: one answer to everything
        ([[1 / 3] * 3] * 3, 3, 3),  # collapsed: no answer to anything
    ],
)
def test_collapse_shows_in_how_many_prototypes_are_used(
    answers: list[list[float]], an_image: float, in_use: float
) -> None:
    used = prototypes_used(torch.tensor([answers, answers]))
    assert used["prototypes_an_image"].item() == pytest.approx(an_image, abs=1e-5)
    assert used["prototypes_in_use"].item() == pytest.approx(in_use, abs=1e-5)


def test_it_works_on_a_vit_with_small_patches() -> None:
    backbone = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=64, patch_size=8)
    assert torch.isfinite(dino(backbone, local_crops=1).loss(views(1))[0])


def test_a_backbone_of_one_size_is_told_how_to_have_all_crops_of_it() -> None:
    def swin() -> nn.Module:
        return timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, img_size=64, window_size=2)

    with pytest.raises(SettingsError, match="local_size=1"):
        dino(swin())
    assert dino(swin(), local_size=1).config.local_size == 1


def test_cosines_are_in_float32_where_vectors_are_in_bf16() -> None:
    """They are divided by temperatures of a few hundredths."""
    vectors, prototypes = torch.randn(6, 16).bfloat16(), torch.randn(24, 16)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = cosine(vectors, prototypes)
    exact = torch.cosine_similarity(vectors.float()[:, None], prototypes[None], dim=2)
    torch.testing.assert_close(mixed, exact, rtol=0, atol=1e-6)


def test_a_local_view_is_torchvisions_antialiased() -> None:
    """Of noise, of which sampling without it would show other values."""
    stored = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    still = {"0_crop": np.array([[0.0, 0, 1, 1]] * 2), "1_flip": np.array([[1.0, 1]] * 2)}
    local = Local(policy_of_area("A", 0.9999, 1.0), 0.5)
    ours = local.apply(Pyramid(stored, 64), torch.arange(2), still, HALF)
    whole = torch.from_numpy(stored).permute(0, 3, 1, 2) / 127.5 - 1
    torch.testing.assert_close(ours, tv.resize(whole, [32, 32], antialias=True), atol=1e-4, rtol=0)
