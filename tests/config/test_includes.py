"""A policy in several files reads as one, and each problem says in which of them it is."""

from datetime import date
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.config.includes import MAX_FILES
from gateway.config.loading import Loaded, load, read
from gateway.config.problems import Problem

TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
MAIN = """\
version: 1
include: [backends.yaml, teams/routes.yaml]
routes:
  - name: first
    match: {model: [a]}
    models: [llama-3.3-70b-instruct]
"""
BACKENDS = """\
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    models: {llama-3.3-70b-instruct: {}}
models:
  acme: {base: llama-3.1-8b-instruct}
callers:
  team: {key: file:KEY}
"""
ROUTES = """\
routes:
  - name: second
    match: {model: [b]}
    models: [llama-3.3-70b-instruct]
  - name: third
    match: {model: [c]}
    models: [llama-3.3-70b-instruct]
"""


def written(folder: Path, files: dict[str, str]) -> Path:
    """The files of a policy; returns the first."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / next(iter(files))


def loaded(folder: Path, **changes: str) -> Loaded:
    """Three files, some of them changed, as a policy."""
    (folder / "key").write_text("key-canary-0123456789")
    files = {"main.yaml": MAIN, "backends.yaml": BACKENDS, "teams/routes.yaml": ROUTES}
    files |= {name.replace("__", "/") + ".yaml": text for name, text in changes.items()}
    files = {name: text.replace("KEY", str(folder / "key")) for name, text in files.items()}
    return load(written(folder, files), {}, CATALOGUE, TODAY)


def only(found: Loaded) -> Problem:
    """The one problem."""
    assert len(found.problems) == 1, found.problems
    return found.problems[0]


def test_sections_of_all_files_are_one_policy_and_routes_keep_their_order(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.problems == ()
    assert found.policy is not None
    assert [route.name for route in found.policy.routes] == ["first", "second", "third"]
    assert set(found.policy.backends) == {"gpu"}
    assert set(found.policy.models) == {"acme", "llama-3.3-70b-instruct"}
    caller = found.policy.caller("key-canary-0123456789")
    assert caller is not None
    assert caller.name == "team"


def test_every_file_is_named_so_that_it_can_be_watched(tmp_path: Path) -> None:
    files = ("main.yaml", "backends.yaml", "teams/routes.yaml")
    assert loaded(tmp_path).files == tuple(tmp_path / name for name in files)


def test_a_policy_in_one_file_names_that_file(tmp_path: Path) -> None:
    path = written(tmp_path, {"p.yaml": f"version: 1\n{BACKENDS.partition('callers')[0]}"})
    assert load(path, {}, CATALOGUE, TODAY).files == (path,)


def test_the_generation_is_of_all_files(tmp_path: Path) -> None:
    generations = set()
    for changes in ({}, {"backends": f"{BACKENDS}# more\n"}, {"teams__routes": f"{ROUTES}\n"}, {"main": f"{MAIN}\n"}):
        policy = loaded(tmp_path, **changes).policy
        assert policy is not None
        generations.add(policy.generation)
    assert len(generations) == 4


def test_a_problem_of_shape_is_told_in_its_own_file(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, teams__routes=f"{ROUTES}    optimize: speed\n"))
    assert (found.file, found.line, found.column) == (str(tmp_path / "teams/routes.yaml"), 8, 15)
    assert found.message.startswith("routes[1].optimize wants")
    assert found.excerpt.startswith("    optimize: speed\n")


def test_a_problem_of_meaning_is_told_in_its_own_file(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, teams__routes=f"{ROUTES}    prefer: laptop\n"))
    assert (found.code, found.file, found.line) == ("LG055", str(tmp_path / "teams/routes.yaml"), 8)


def test_a_problem_of_the_text_is_told_in_its_own_file(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, teams__routes="routes: [\n"))
    assert (found.code, found.file) == ("LG001", str(tmp_path / "teams/routes.yaml"))


def test_a_problem_of_the_first_file_is_not_told_in_another(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, main=f"{MAIN}    prefer: laptop\n"))
    assert (found.file, found.line) == (str(tmp_path / "main.yaml"), 7)


def test_secrets_of_an_included_file_are_not_shown(tmp_path: Path) -> None:
    found = loaded(tmp_path, backends=BACKENDS.replace("file:KEY", "sk-canary-0123456789, rotues: [a]"))
    assert found.problems
    assert "canary" not in str(found.problems)


@pytest.mark.parametrize(
    ("section", "first"),
    [
        ("backends: {gpu: {provider: groq, models: {}}}", "line 2 of {}/backends.yaml"),
        ("models: {acme: {}}", "line 7 of {}/backends.yaml"),
        ("callers: {team: {key: abcdefghijklmnopqrst}}", "line 9 of {}/backends.yaml"),
    ],
)
def test_a_name_in_two_files_is_told_with_both_places(tmp_path: Path, section: str, first: str) -> None:
    found = only(loaded(tmp_path, teams__routes=f"{section}\n{ROUTES}"))
    assert (found.code, found.file, found.line) == ("LG006", str(tmp_path / "teams/routes.yaml"), 1)
    assert f"first in {first.format(tmp_path)}" in found.message


def test_a_route_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, teams__routes=ROUTES.replace("third", "first")))
    assert (found.code, found.line) == ("LG053", 5)
    assert f"in line 4 of {tmp_path / 'main.yaml'} already" in found.message


def test_defaults_are_in_one_place(tmp_path: Path) -> None:
    found = loaded(tmp_path, main=f"{MAIN}defaults: {{}}\n", teams__routes=f"defaults: {{}}\n{ROUTES}")
    assert only(found).code == "LG006"
    assert only(found).message.startswith("`defaults` is twice in the policy")


def test_defaults_may_be_in_an_included_file(tmp_path: Path) -> None:
    policy = loaded(tmp_path, teams__routes=f"defaults: {{retry: {{attempts: 7}}}}\n{ROUTES}").policy
    assert policy is not None
    assert {route.attempts for route in policy.routes} == {7}


def test_a_circle_is_an_error_with_its_way(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, backends=f"include: [teams/routes.yaml]\n{BACKENDS}", teams__routes="include: ../main.yaml\n"
    )
    assert found.policy is None
    circle = next(problem for problem in found.problems if "in a circle:" in problem.message)
    assert (circle.code, circle.file) == ("LG028", str(tmp_path / "teams/routes.yaml"))
    assert "main.yaml -> backends.yaml -> routes.yaml -> main.yaml" in circle.message


def test_a_file_that_includes_itself_is_a_circle(tmp_path: Path) -> None:
    assert only(loaded(tmp_path, backends=f"include: [./backends.yaml]\n{BACKENDS}")).code == "LG028"


def test_a_file_included_twice_is_told_once_with_both_places(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, backends=f"include: [teams/routes.yaml]\n{BACKENDS}"))
    assert (found.code, found.file, found.line) == ("LG028", str(tmp_path / "main.yaml"), 2)
    assert f"first in line 1 of {tmp_path / 'backends.yaml'}" in found.message


def test_a_missing_file_is_one_error_and_is_watched(tmp_path: Path) -> None:
    found = loaded(tmp_path, main=MAIN.replace("[backends.yaml", "[none.yaml, backends.yaml"))
    assert only(found).code == "LG024"
    assert tmp_path / "none.yaml" in found.files


def test_what_a_missing_file_may_hold_is_not_missed(tmp_path: Path) -> None:
    text = f"{MAIN}    prefer: elsewhere\n".replace("[backends.yaml", "[none.yaml, backends.yaml")
    assert only(loaded(tmp_path, main=text)).code == "LG024"


def test_too_many_files_are_an_error(tmp_path: Path) -> None:
    names = [f"{index}.yaml" for index in range(MAX_FILES)]
    files = {"main.yaml": MAIN.replace("backends.yaml, teams/routes.yaml", ", ".join(names))}
    files |= dict.fromkeys(names, "models: {}\n") | {"0.yaml": BACKENDS.partition("callers")[0]}
    found = load(written(tmp_path, files), {}, CATALOGUE, TODAY)
    assert only(found).code == "LG004"
    assert "more than 32 files" in only(found).message


def test_all_files_together_are_no_larger_than_one_may_be(tmp_path: Path) -> None:
    filler = "# " + "x" * (600 << 10) + "\n"
    found = loaded(tmp_path, backends=filler + BACKENDS, teams__routes=filler + ROUTES)
    assert only(found).code == "LG004"
    assert "1048576 bytes in all" in only(found).message


def test_an_included_file_is_a_mapping(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, teams__routes="- name: second\n"))
    assert (found.code, found.file) == ("LG012", str(tmp_path / "teams/routes.yaml"))


def test_an_included_file_has_no_version_of_its_own(tmp_path: Path) -> None:
    assert loaded(tmp_path, teams__routes=f"version: 1\n{ROUTES}").problems == ()
    assert only(loaded(tmp_path, teams__routes=f"version: 2\n{ROUTES}")).code == "LG014"


def test_a_section_of_another_kind_is_told_in_its_file(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, teams__routes="routes: {name: second}\n"))
    assert (found.code, found.file) == ("LG012", str(tmp_path / "teams/routes.yaml"))


def test_an_unknown_section_is_told_in_its_file(tmp_path: Path) -> None:
    found = only(loaded(tmp_path, teams__routes=f"{ROUTES}rotues: []\n"))
    assert (found.code, found.file, found.line) == ("LG010", str(tmp_path / "teams/routes.yaml"), 8)


def test_a_backend_of_an_included_file_is_switched_off_when_its_variable_is_unset(tmp_path: Path) -> None:
    more = "  out: {provider: fireworks, api_key: '${NONE}', models: {llama-3.3-70b-instruct: {}}}\n"
    found = only(loaded(tmp_path, backends=BACKENDS.replace("models:\n  acme", f"{more}models:\n  acme")))
    assert (found.code, found.file) == ("LG025", str(tmp_path / "backends.yaml"))


def test_a_draft_reads_no_other_file_and_says_so(tmp_path: Path) -> None:
    text = MAIN.replace("routes:", f"{BACKENDS.partition('callers')[0]}routes:") + "    prefer: elsewhere\n"
    found = read(text.encode(), str(tmp_path / "p.yaml"), {}, CATALOGUE, TODAY, expand=False)
    assert (only(found).code, only(found).severity) == ("LG027", "info")
    assert found.policy is not None
    assert found.files == (tmp_path / "p.yaml",)
