"""README, docs, Makefile, image, pins and checks promise what the code does."""

import os
import re
import shutil
import subprocess
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from api.openapi import DESCRIPTION
from bench.results import BENCHMARKS
from commands.registry import COMMANDS
from config import VARIABLES
from tracking.clients.outcome import Accepted, Answered
from tracking.destinations import Destination
from tracking.domain.pinterest_traffic import MEDIA
from tracking.operate.alerts.rules import RULES

ROOT = Path(__file__).parents[2]


def text_of(name: str) -> str:
    """A file of the repository."""
    return (ROOT / name).read_text("utf-8")


PAGES = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
)
ARCHITECTURE = text_of("docs/architecture.md")
# Bytes, of one and of all: each clone has them for ever.
LARGEST_IMAGE, ALL_IMAGES = 150_000, 800_000


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


def test_the_docs_explain_every_setting_as_the_code_reads_it() -> None:
    page = text_of("docs/configuration.md")
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.+)`)? ?\| (.+) \|$", page, re.MULTILINE)

    assert rows == [(v.name, v.default, v.help) for v in VARIABLES]


@pytest.mark.parametrize("command", [str(command.name) for command in COMMANDS])
def test_the_docs_explain_every_command(command: str) -> None:
    assert re.search(
        rf"^\| `flask --app app {command}\b", text_of("docs/operating.md"), re.MULTILINE
    )


def test_the_docs_explain_every_alert() -> None:
    section = text_of("docs/operating.md").partition("\n### Alerts\n")[2].partition("\n###")[0]
    explained = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)

    assert sorted(re.findall(r"\w+", " ".join(explained))) == sorted(RULES)


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_is_named_is_one_of_its_command(page: str) -> None:
    options = {
        str(command.name): {option for parameter in command.params for option in parameter.opts}
        for command in COMMANDS
    }

    for command, words in re.findall(r"flask --app app ([a-z-]+)([^`\n]*)", text_of(page)):
        assert set(re.findall(r"--[a-z-]+", words)) <= options[command], command


@pytest.mark.parametrize("page", PAGES)
def test_every_address_that_is_named_is_in_the_description(page: str) -> None:
    named = re.findall(r"(?:https://YOUR-HOST|`(?:GET|POST) )(/[\w./{}-]+)", text_of(page))
    described = [re.sub(r"\{\w+\}", "[^/]+", path) for path in DESCRIPTION["paths"]]

    assert [p for p in named if not any(re.fullmatch(path, p) for path in described)] == []


def headings_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: str) -> None:
    for path, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", text_of(page)):
        target = (ROOT / page).parent / path if path else ROOT / page

        assert target.exists(), path
        assert not anchor or anchor in headings_of(target), f"{path}#{anchor}"


def test_every_image_is_shown_and_small() -> None:
    shown = {
        (ROOT / page).parent / path
        for page in PAGES
        for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text_of(page))
    }
    images = set(ROOT.glob("docs/images/*"))

    assert images == shown
    assert [image.name for image in images if image.stat().st_size > LARGEST_IMAGE] == []
    assert sum(image.stat().st_size for image in images) < ALL_IMAGES


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page: str) -> None:
    named = re.findall(r"`((?:[\w.-]+/)*[\w.-]+(?:\.py|/))`", text_of(page))

    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    readme = text_of("README.md")

    assert [page for page in PAGES if page != "README.md" and f"]({page})" not in readme] == []


def test_every_folder_of_the_service_is_in_the_architecture() -> None:
    packages = {path.parent.relative_to(ROOT) for path in ROOT.glob("[a-z]*/__init__.py")}
    packages |= {path.parent.relative_to(ROOT) for path in ROOT.glob("tracking/*/__init__.py")}

    assert [
        f"{path}/" for path in packages - {Path("tracking")} if f"`{path}/`" not in ARCHITECTURE
    ] == []


@pytest.mark.parametrize(
    ("file", "function"),
    re.findall(r"\| `([\w/]+\.py)` \| `(\w+)` \|$", ARCHITECTURE, re.MULTILINE),
)
def test_every_step_through_the_service_is_a_function_of_its_file(file: str, function: str) -> None:
    assert re.search(rf"^ *def {function}\(", text_of(file), re.MULTILINE)


def test_the_destination_that_contributing_shows_works() -> None:
    (shown,) = re.findall(r"^ *```python\n(.*?)^ *```$", text_of("CONTRIBUTING.md"), re.M | re.S)
    module: dict[str, Any] = {"__name__": "log"}

    exec(dedent(shown), module)  # noqa: S102 - the text of our own page
    destination = module["from_settings"](None)

    assert destination.send([b"{}", b"{}"]) == Answered((Accepted(), Accepted()))
    assert {name for name in vars(Destination) if not name.startswith("_")} <= {*dir(destination)}


# --- The Makefile and the hooks


TARGETS = re.findall(r"^([a-z-]+):.* ## ", text_of("Makefile"), re.MULTILINE)


def test_every_target_is_explained() -> None:
    assert TARGETS
    assert re.findall(r"^\.PHONY: (\S+)$", text_of("Makefile"), re.MULTILINE) == TARGETS
    rows = re.findall(r"^\| `make (\S+)` \|", text_of("CONTRIBUTING.md"), re.MULTILINE)
    assert sorted(rows) == sorted(TARGETS)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_what_a_target_runs(target: str) -> None:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_every_program_that_the_makefile_runs_as_a_module_exists() -> None:
    modules = re.findall(r"-m ((?:bench|tests)\.\w+)", text_of("Makefile"))

    for module in modules:
        assert (ROOT / module.replace(".", "/")).with_suffix(".py").exists(), module


def test_every_benchmark_is_among_the_results() -> None:
    programs = {path.stem for path in ROOT.glob("bench/*.py") if is_program(path)}

    assert {benchmark.name for benchmark in BENCHMARKS} == programs - {"results"}


def is_program(path: Path) -> bool:
    """Returns True if a module can be run by itself."""
    return 'if __name__ == "__main__"' in path.read_text("utf-8")


def test_the_hooks_run_tools_that_are_pinned() -> None:
    tools = set(re.findall(r"entry: \.venv/bin/(\w+)", text_of(".pre-commit-config.yaml")))

    assert tools == {"ruff", "mypy"}
    assert tools <= {line.partition("==")[0] for line in requirements("requirements-dev.txt")}


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
    packages = {f"{path.parent.name}/" for path in ROOT.glob("[a-z]*/__init__.py")}

    assert modules | packages - {"tests/", "bench/"} <= set(copied())


def test_the_image_holds_no_tests() -> None:
    assert [source for source in copied() if source.startswith(("tests", "bench"))] == []
    assert "tests" in text_of(".dockerignore").split()


def test_the_image_runs_as_an_ordinary_user_and_keeps_its_data_in_a_volume() -> None:
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


def test_the_media_that_count_as_pinterests_are_those_of_the_docs() -> None:
    section = text_of("docs/reports.md").partition("## Which links count as Pinterest's")[2]
    listed = section.split("\n\n")[2]

    assert set(re.findall(r"`(\w+)`", listed)) == MEDIA - {""}
