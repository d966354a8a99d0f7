"""Presets: which policies hold where the file has none."""

from datetime import timedelta

import pytest

from reaper.config.presets import PRESETS
from reaper.config.rules import build_ruleset
from reaper.core.ruleset import Step
from reaper.policies.idle import IdleRule
from tests.support.configuration import Given


def test_jupyter_reaps_idle_kernels_and_terminals(given: Given) -> None:
    kernels, terminals = build_ruleset(
        given.load(PRESET="jupyter", JUPYTER__BUSY_TIMEOUT="12h", IDLE_TIMEOUT="1h")
    ).policies
    assert (kernels.kind, terminals.kind) == ("jupyter.kernel", "jupyter.terminal")
    assert kernels.rule == IdleRule(timeout=timedelta(hours=1), busy_timeout=timedelta(hours=12))
    assert terminals.rule == IdleRule(timeout=timedelta(hours=1))
    assert kernels.steps == terminals.steps == (Step(action="shutdown"),)


def test_terminals_can_be_kept(given: Given) -> None:
    [kernels] = build_ruleset(given.load(KEEP_TERMINALS="true")).policies
    assert kernels.kind == "jupyter.kernel"


@pytest.mark.parametrize(
    ("metadata", "preset", "warns"),
    [
        (None, "jupyter", False),
        ('{"AppType": "JupyterServer", "DomainId": "d-1"}', "studio", False),
        ('{"ResourceArn": "arn:aws:sagemaker:eu-west-1:1:app/d-1/u/jupyterlab/default"}', "studio", False),
        (
            '{"ResourceArn": "arn:aws:sagemaker:eu-west-1:1:notebook-instance/box", "ResourceName": "box"}',
            "notebook-instance",
            False,
        ),
        ("{}", "jupyter", True),
        ("[]", "jupyter", True),
        ("not json", "jupyter", True),
        ('{"AppType"', "jupyter", True),
    ],
)
def test_auto_picks_by_the_metadata_file(
    given: Given, metadata: str | None, preset: str, warns: bool
) -> None:
    path = given.folder / "metadata.json"
    if metadata is not None:
        path.write_text(metadata, encoding="utf-8")
    settings = given.load(STUDIO__METADATA_FILE=str(path))
    assert settings.preset == "auto"
    assert settings.provenance.preset == preset
    assert bool(settings.provenance.warnings) is warns


def test_auto_does_without_a_metadata_file_that_can_not_be_read(given: Given) -> None:
    settings = given.load(STUDIO__METADATA_FILE=str(given.folder))
    assert settings.provenance.preset == "jupyter"
    assert "can't be read" in settings.provenance.warnings[0]


@pytest.mark.parametrize(("preset", "policies"), [("studio", 3), ("notebook-instance", 3)])
def test_what_needs_sagemaker_says_so(given: Given, preset: str, policies: int) -> None:
    path = given.folder / "metadata.json"
    [(where, message)] = given.errors(PRESET=preset, STUDIO__METADATA_FILE=str(path))
    assert where == "REAPER_PRESET"
    assert f"'{preset}' needs {path}, which is not there" in message
    path.write_text("{}", encoding="utf-8")
    settings = given.load(PRESET=preset, STUDIO__METADATA_FILE=str(path))
    assert len(build_ruleset(settings).policies) == policies


def test_auto_never_picks_what_owns_a_power_switch() -> None:
    """Beside that of the notebook instance that it runs on, which its owner starts again with a click."""
    touched = {
        table["kind"] for name, preset in PRESETS.items() if name != "fleet" for table in preset.tables
    }
    assert touched == {"jupyter.kernel", "jupyter.terminal", "studio.app", "sagemaker.notebook_instance"}
