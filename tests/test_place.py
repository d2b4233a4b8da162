"""Folders that the environment names."""

from pathlib import Path

import pytest
import torch

from cervbench.place import Place, PlaceError, cache_root, checkpoint_seconds, cores, data_root


def folders() -> tuple[Path, Path, float]:
    return cache_root(), data_root(), checkpoint_seconds()


VARIABLES = ("XDG_CACHE_HOME", "CERVBENCH_CACHE", "CERVBENCH_DATA", "CERVBENCH_CHECKPOINT_SECONDS")


@pytest.mark.parametrize("empty", VARIABLES)
def test_a_variable_that_is_empty_is_as_one_that_is_not_set(
    monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    """Regression: the cache, gigabytes of packs and encoders, was the folder that one stood in."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", "/home/her")
    unset = (Path("/home/her/.cache/cervbench"), Path("data"), 30.0)
    assert folders() == unset
    monkeypatch.setenv(empty, "")
    assert folders() == unset


def test_a_cache_that_is_named_goes_before_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CERVBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert cache_root() == Path("/fast/cervbench")
    monkeypatch.setenv("CERVBENCH_CACHE", "/large")
    assert cache_root() == Path("/large")


def test_a_user_without_a_home_is_told_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: in a container, all ended in a RuntimeError, `doctor` included."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(PlaceError, match=r"home directory\. Say with CERVBENCH_CACHE where"):
        cache_root()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        ("nan", "say 0 or more"),
        ("-1", "say 0 or more"),
        ("often", "CERVBENCH_CHECKPOINT_SECONDS is 'often', and has to be a number"),
    ],
)
def test_a_time_between_checkpoints_with_which_none_would_be_saved_is_refused(
    seconds: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERVBENCH_CHECKPOINT_SECONDS", seconds)
    with pytest.raises(PlaceError, match=told):
        Place()


def test_a_tilde_is_the_home_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: results went to a folder called `~`."""
    monkeypatch.setenv("HOME", "/home/her")
    monkeypatch.setenv("CERVBENCH_CACHE", "~/packs")
    place = Place(out="~/mine", data_root="~/images")
    folders = [Path("/home/her") / name for name in ("mine", "images", "packs")]
    assert [place.out, place.data_root, place.cache] == folders


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:one", "CPU", ""])
def test_a_device_of_no_such_kind_is_refused_at_once(device: str) -> None:
    with pytest.raises(PlaceError, match=rf"device is '{device}'; say auto, cpu, cuda or"):
        Place(device=device)


def test_a_device_may_be_torchs() -> None:
    assert Place(device=torch.device("cuda", 1)) == Place(device="cuda:1")  # type: ignore[arg-type]


def test_less_than_one_thread_is_refused() -> None:
    """Regression: torch said so, after a dataset had been packed."""
    with pytest.raises(PlaceError, match="threads is 0; say 1 or more, or None to leave it to torch"):
        Place(threads=0)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 8), ("", 8), (None, 8)],
)
def test_a_container_that_may_use_few_of_many_cores_has_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, expected: int
) -> None:
    """Regression: only affinity was asked, and two cores' worth of 64 was told to be 64."""
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr("cervbench.place.CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores() == expected


def test_cores_are_told_where_the_system_has_neither_affinity_nor_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cervbench.place.CPU_QUOTA", tmp_path / "none")
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert cores() == 6
