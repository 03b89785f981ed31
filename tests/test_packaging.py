"""What is handed out: a wheel of timersim alone, and an sdist with all that its tests need."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]

FOLDERS = {"timersim": "timersim", "timersim/fakes": "fakes", "timersim/strategies": "strategies"}
"""Where in the wheel the folders of the repository are."""

BESIDE = [".ci", "docs", "notebooks", "tests"]

LEFT_BY_OTHERS = ["__pycache__", ".ipynb_checkpoints", "*.egg-info", "build", "dist", ".git", ".venv", ".*_cache"]


def files_of(folder: Path) -> list[Path]:
    """Lists the files in a folder, relative to it, without what Python and notebooks leave there."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return [path for path in found if not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)]


def modules() -> set[str]:
    """Returns the files that are to be installed, as they are called in the wheel."""
    return {
        f"{name}/{file}"
        for name, folder in FOLDERS.items()
        for file in files_of(ROOT / folder)
        if not (ROOT / folder / file.parts[0]).is_symlink()
    }


def test_every_package_is_named() -> None:
    """Each folder with modules is in the table by which builds go: one that is forgotten would be missing there."""
    packages = {file.rpartition("/")[0].replace("/", ".") for file in modules()}

    assert sorted(packages) == sorted(SETUPTOOLS["packages"])
    assert {name.replace(".", "/"): folder for name, folder in SETUPTOOLS["package-dir"].items()} == FOLDERS


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_holds_timersim_and_the_sdist_its_tests(tmp_path: Path) -> None:
    """The wheel, made from the sdist, holds the modules and nothing else; the sdist what the tests read, too."""
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_BY_OTHERS))
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", tmp_path / "dist", source],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")

    installed = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in installed if re.match(r"timersim-[^/]+\.dist-info/", name)}
    assert installed - about == modules()
    assert {name.rpartition("/")[2] for name in about} >= {"METADATA", "RECORD", "LICENSE", "entry_points.txt"}

    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    needed = {f"{folder}/{file}" for folder in BESIDE for file in files_of(ROOT / folder)}
    top = {"CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml"}
    assert sorted((needed | top) - packed) == []
    assert [name for name in packed if name.endswith(".pyc")] == []
