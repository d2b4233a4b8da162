"""What is demanded of a method's state: to be the same again, after a kill, with other labels, from a
file."""

import copy
from dataclasses import replace

import torch

from cervbench.checks.check import CheckFailed, Skipped
from cervbench.checks.examined import ExaminedMethod, differing
from cervbench.error import first_few
from cervbench.training.pretrain import build_method
from cervbench.training.weight_file import load_weights

KILLED_AT = 5
OTHER_SEED = 1
UNSTEADY = Skipped("two runs of the same seed differ already")


def it_begins_elsewhere_with_another_seed(method: ExaminedMethod) -> None:
    """`build` leaves torch's random numbers where the seed put them: it draws, and does not seed."""
    recipe, after = method.recipe(method.backbone), []
    for seed in (recipe.seed, OTHER_SEED):
        build_method(replace(recipe, seed=seed))
        after.append(torch.get_rng_state())
    if torch.equal(*after):
        raise CheckFailed(
            "after `build` torch draws the same with two seeds, so that first weights do not depend on them",
            "torch is seeded before `build`, from seed and fold: draw from it, and do not seed it",
        )


def it_gives_the_same_bits_again(method: ExaminedMethod) -> None:
    """The same run gives the same weights, bit by bit."""
    if method.unsteady:
        raise CheckFailed(
            f"{first_few(method.unsteady)} differ between two runs of the same seed",
            "draw from torch on the CPU, which is seeded for each step, and from nothing else: no clock, no "
            "`random`, no numpy.random, nothing that an earlier run left behind; in a view, from the `rng` "
            "of its `draw`",
        )


def it_resumes_to_the_same_bits(method: ExaminedMethod) -> str | None:
    """A run that is killed and resumed gives the weights of one that was never disturbed."""
    recipe, folder = method.recipe(method.backbone), method.new_folder()
    method.killed(recipe, folder, KILLED_AT)
    resumed = method.pretrained(recipe, folder=folder)
    if wrong := differing(method.undisturbed.state, resumed.state):
        if method.unsteady:
            return UNSTEADY
        raise CheckFailed(
            f"{first_few(wrong)} differ after a kill in step {KILLED_AT} and a resume",
            "what changes while it trains must be a parameter or a persistent buffer (register_buffer); a "
            "plain attribute does not survive a checkpoint; and a view draws from its `rng` alone",
        )
    return None


def it_learns_the_same_whatever_the_labels(method: ExaminedMethod) -> str | None:
    """With all labels permuted, the encoder is the same, bit by bit."""
    permuted = method.pretrained(method.recipe(method.backbone), permuted=True)
    if wrong := differing(method.undisturbed.state, permuted.state):
        if method.unsteady:
            return UNSTEADY
        raise CheckFailed(
            f"{first_few(wrong)} depend on the labels",
            "a pretext stage learns from the views that `loss` is handed and looks at nothing else",
        )
    return None


def its_state_goes_through_safetensors(method: ExaminedMethod) -> str | None:
    """What is stored and loaded again is the whole method, with the same state and the same loss."""
    made = method.undisturbed
    loaded = build_method(method.recipe(method.backbone))
    load_weights(loaded, made.weights)
    if wrong := differing(made.state, loaded.state_dict()):
        raise CheckFailed(
            f"{first_few(wrong)} are not what was stored", "keep state in parameters and buffers"
        )
    known, found = (method.loss_after(copy.deepcopy(one)) for one in (made.trained.method, loaded))
    if known != found:
        if method.unsteady:
            return UNSTEADY
        raise CheckFailed(
            f"the loss of a batch is {known:.6g}, and {found:.6g} after storing and loading",
            "something that the loss depends on is not stored: make it a parameter or a persistent buffer",
        )
    return None


def its_encoder_is_stored_once(method: ExaminedMethod) -> None:
    """Each tensor of the encoder has only the name that `self.encoder` gives it."""
    built = build_method(method.recipe(method.backbone))
    assert built.encoder is not None
    own = {id(tensor) for tensor in (*built.encoder.parameters(), *built.encoder.buffers())}
    named = [*built.named_parameters(remove_duplicate=False), *built.named_buffers(remove_duplicate=False)]
    twice = [name for name, tensor in named if id(tensor) in own and not name.startswith("encoder.")]
    if twice:
        raise CheckFailed(
            f"{first_few(twice)} are tensors of the encoder under a second name",
            "reach the encoder as self.encoder, which the base class sets; a network that follows it is a "
            "Follower of it",
        )
