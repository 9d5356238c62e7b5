"""What README, image, pins and checks promise is what the code does."""

import os
import re
import subprocess
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest

from commands.registry import COMMANDS
from config import VARIABLES

ROOT = Path(__file__).parents[2]


def text_of(name: str) -> str:
    """A file of the repository."""
    return (ROOT / name).read_text("utf-8")


def one_liners() -> list[str]:
    """The commands that the README begins with."""
    beginning = text_of("README.md").partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*)\n```$", beginning, re.MULTILINE)


def test_the_readme_begins_with_one_line_to_run_and_one_to_test() -> None:
    run, tests = one_liners()

    assert run.endswith("flask --app app demo")
    assert tests.endswith("-m pytest")


def test_the_checks_run_the_tests_as_the_readme_says() -> None:
    _, tests = one_liners()

    assert tests in [line.strip() for line in text_of(".ci/run").splitlines()]


def test_the_checks_can_be_run() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)


def test_the_readme_explains_every_setting_as_the_code_reads_it() -> None:
    section = text_of("README.md").partition("\n## Configuration\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.+)`)? ?\| (.+) \|$", section, re.MULTILINE)

    assert rows == [(v.name, v.default, v.help) for v in VARIABLES]


@pytest.mark.parametrize("command", [str(command.name) for command in COMMANDS])
def test_the_readme_explains_every_command(command: str) -> None:
    assert re.search(rf"flask --app app {command}\b", text_of("README.md"))


@pytest.mark.parametrize(
    "paper", ["README.md", "CHANGELOG.md", "docs/decisions.md", "docs/security.md"]
)
def test_no_link_leads_nowhere(paper: str) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", text_of(paper))

    assert [t for t in targets if not (ROOT / paper).parent.joinpath(t).exists()] == []


# --- The image


def copied() -> list[str]:
    """What the Dockerfile takes from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", text_of("Dockerfile"), re.MULTILINE)
    return [source for line in lines for source in line.split()]


def test_everything_the_image_copies_is_there() -> None:
    ignored = text_of(".dockerignore").split()

    for source in copied():
        assert (ROOT / source).exists(), source
        assert not any(fnmatch(source.rstrip("/"), pattern) for pattern in ignored), source


def test_the_image_holds_every_module_that_the_service_and_its_commands_need() -> None:
    modules = {path.name for path in ROOT.glob("*.py")}
    packages = {"tracking/", "webhooks/", "tests/__init__.py", "tests/standins/"}

    assert modules | packages <= set(copied())


def test_the_image_runs_as_nobody_in_particular_and_keeps_its_data_in_a_volume() -> None:
    dockerfile = text_of("Dockerfile")

    assert re.search(r"^USER [1-9]\d*$", dockerfile, re.MULTILINE)
    assert re.search(r"^VOLUME /data$", dockerfile, re.MULTILINE)
    assert "DATABASE_URL=sqlite:////data/tracking.db" in dockerfile


def test_no_secret_gets_into_the_image() -> None:
    assert {".env", ".git", "data"} <= set(text_of(".dockerignore").split())


# --- What it runs on


def requirements(name: str) -> list[str]:
    """The lines of a requirements file that name a package."""
    lines = text_of(name).splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_version_is_pinned_to_the_one_that_is_tested(name: str) -> None:
    for line in requirements(name):
        package, _, version = line.partition("==")

        assert version == metadata.version(package.partition("[")[0]), line


def test_everything_a_pinned_package_needs_is_pinned_too() -> None:
    pinned = {_plain(line.partition("==")[0].partition("[")[0]) for line in all_requirements()}
    needed = {
        _plain(re.split(r"[^\w.-]", need, maxsplit=1)[0])
        for package in pinned
        for need in metadata.requires(package) or ()
        if ";" not in need
    }

    assert needed <= pinned


def _locked(name: str) -> dict[str, tuple[str, int]]:
    """Every package of a lock, with its version and how many of its files are known by hash."""
    # What only another system needs has that as its condition, and no pin.
    parts = [
        part
        for part in re.split(r"^(?=\w)", text_of(name), flags=re.MULTILINE)[1:]
        if " ; " not in part
    ]
    found = [(part.split()[0].partition("=="), part.count("--hash=sha256:")) for part in parts]
    return {_plain(package): (version, hashes) for (package, _, version), hashes in found}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_the_lock_holds_what_is_pinned_and_nothing_else(name: str) -> None:
    lines = requirements(f"{name}.txt")
    if name != "requirements":
        lines = all_requirements()
    pins = [line.partition("==") for line in lines]

    locked = {package: version for package, (version, _) in _locked(f"{name}.lock").items()}
    assert locked == {_plain(package.partition("[")[0]): version for package, _, version in pins}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_file_of_a_locked_package_is_known_by_its_hash(name: str) -> None:
    assert [package for package, (_, hashes) in _locked(name).items() if not hashes] == []


@pytest.mark.parametrize("name", ["README.md", ".ci/run", "Dockerfile"])
def test_packages_are_installed_by_their_hashes_only(name: str) -> None:
    installs = re.findall(
        r"pip install (?:\S+ )*?-r (?:requirements\S*)", text_of(name).replace("\\\n", "")
    )

    assert installs
    assert [command for command in installs if "--require-hashes" not in command] == []


def all_requirements() -> list[str]:
    """Both files together."""
    return requirements("requirements.txt") + requirements("requirements-dev.txt")


def _plain(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
