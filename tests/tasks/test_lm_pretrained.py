"""A language model of a local folder: read safely, scored as ours is, and refused in one line where it is not there."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from llcx import gradients, rng
from llcx.tasks.lm import corpus
from llcx.tasks.lm.schema import LM, Grid, Network, Sequences
from llcx.tasks.lm.task import LanguageTask
from tests.tasks.lm_libraries import Library


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    corpus._encoded.cache_clear()
    yield
    corpus._encoded.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).touch()
    return str(tmp_path)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    found = Library()
    real = importlib.import_module
    monkeypatch.setattr(
        importlib, "import_module", lambda name, *more: found if name == "transformers" else real(name, *more)
    )
    return found


def task(folder: str, **data: Any) -> LanguageTask:
    settings = {"source": "text", "n": 3, "context": 12, "n_test": 4, **data}
    return LanguageTask(LM(model=Network(folder=folder), data=Sequences(**settings)), rng.streams(0))


def test_a_given_model_is_a_point_without_a_training(folder: str, library: Library) -> None:
    made = task(folder)
    assert made.trainings() == ()
    (spec,) = made.points()
    point = made.point(spec, None)
    potential, backend, _ = gradients.of_model(point.model, point.data, target=point.target, dtype=torch.float64)
    assert (point.target, point.data.n, len(potential.at)) == ("self", 36, 144)
    assert backend != "seq"
    assert float(potential.full(potential.at.unsqueeze(0))[1].abs().max()) < 1e-12
    assert set(made.analyse([], lambda training, role: None).tables) == {"scores"}


def test_nothing_is_downloaded_and_no_code_of_the_folder_runs(folder: str, library: Library) -> None:
    task(folder).point(task(folder).points()[0], None)
    assert {what for what, _, _ in library.calls} == {"model", "config", "tokenizer"}
    for what, where, keywords in library.calls:
        assert where == folder
        assert keywords["local_files_only"] is True
        assert keywords["trust_remote_code"] is False
        assert keywords.get("use_safetensors", what != "model")


def test_a_model_that_takes_fewer_places_or_tokens_is_refused(folder: str, library: Library) -> None:
    long = task(folder, context=20)
    with pytest.raises(ValueError, match=r"task\.data\.context must be <= 16, what the model .* takes, got 20"):
        long.point(long.points()[0], None)
    many = task(folder, source="bigrams", vocabulary=13)
    with pytest.raises(ValueError, match=r"task\.data\.vocabulary must be <= 12, what the model .* takes, got 13"):
        many.point(many.points()[0], None)


def test_without_the_package_its_extra_is_named(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    made = task(folder)
    with pytest.raises(ValueError, match=r"needs the package transformers.*pip install 'llcx\[transformers\]'"):
        made.point(made.points()[0], None)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "must be a folder with config.json"),
        ("tokenizer.json", "must hold tokenizer.json"),
        ("model.safetensors", r"must hold \*.safetensors"),
    ],
)
def test_a_folder_without_a_file_is_refused(folder: str, library: Library, missing: str, message: str) -> None:
    (Path(folder) / missing).unlink()
    made = task(folder)
    with pytest.raises(ValueError, match=message):
        made.point(made.points()[0], None)


def test_a_model_that_is_given_has_no_axis_of_sizes() -> None:
    with pytest.raises(ValueError, match=r"task\.grid\.layers must be empty with task\.model\.folder, got \[1, 2\]"):
        LM(model=Network(folder="here"), grid=Grid(layers=[1, 2]))


@pytest.mark.slow
def test_a_gpt2_of_the_package_itself_is_measured(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs pip install 'llcx[transformers]'")
    with rng.seeded(rng.streams(0).generator("init")):
        config = transformers.GPT2Config(
            vocab_size=16, n_positions=12, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
        )
        transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    made = task(str(tmp_path), source="bigrams", vocabulary=16)
    point = made.point(made.points()[0], None)
    potential, backend, _ = gradients.of_model(point.model, point.data, target="self", dtype=torch.float64)
    tied = 16 * 8  # the embedding is the unembedding, and counts once
    assert len(potential.at) == tied + 12 * 8 + (8 * 24 + 24 + 8 * 8 + 8 + 8 * 32 + 32 + 32 * 8 + 8 + 4 * 8) + 2 * 8
    assert backend != "seq"
    assert abs(float(potential.value(potential.at.unsqueeze(0)))) < 1e-12
