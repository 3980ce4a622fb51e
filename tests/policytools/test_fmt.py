"""A formatted policy says the same, with all its comments, and is not formatted any further."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.report import Report
from gateway.config.schema import PolicyFile
from gateway.config.shape import shape
from gateway.policytools.cases import CaseFile
from gateway.policytools.fmt import comments, data, formatted

POLICIES = Path(__file__).parents[2] / "policies"
UNTIDY = """\
# header
defaults:   # eol
    retry: {attempts: 2}
    # about optimize
    optimize: {latency: 0.5,  cost: 0.5}

# routes come
routes:
- models: [llama-3.1-8b-instruct]    # eol of models
  # about the name
  name: a
  require: {max_usd: 0.01, ttft: 2s}
  # foot of a
# above b
- name: b
  models:
  - llama-3.1-8b-instruct
  match:
    stream: true
    # the model
    model: [auto]


version: 1
backends:
  gpu:
    url: http://10.0.0.5:8000
    provider: vllm # speaks
    models: &m
      llama-3.1-8b-instruct: {precision: bf16, id: x}
  models:
    models: *m   # as above
    provider: vllm
    url: 'http://10.0.0.7:8000'
# foot
"""
TIDY = """\
# header
version: 1

backends:
  gpu:
    provider: vllm # speaks
    url: http://10.0.0.5:8000
    models: &m
      llama-3.1-8b-instruct: {id: x, precision: bf16}
  models:
    provider: vllm
    url: 'http://10.0.0.7:8000'
    models: *m   # as above
# foot

# routes come
routes:
  # about the name
  - name: a
    models: [llama-3.1-8b-instruct]    # eol of models
    require: {ttft: 2s, max_usd: 0.01}
    # foot of a
  # above b
  - name: b
    match:
      # the model
      model: [auto]
      stream: true
    models:
      - llama-3.1-8b-instruct

defaults:   # eol
  # about optimize
  optimize: {cost: 0.5, latency: 0.5}
  retry: {attempts: 2}
"""


def fmt(text: str, model: type[PolicyFile] | type[CaseFile] = PolicyFile) -> str:
    """A text formatted, which it must allow."""
    report = Report("test")
    found = formatted(text.encode(), model, report)
    assert found is not None, report.problems()
    return found.decode()


def meaning(text: str) -> PolicyFile:
    """The policy that a text is."""
    report = Report("test")
    shaped = shape(data(text), report)
    assert shaped is not None and not report.failed(), report.problems()
    return shaped.file


def spaced(text: str) -> str:
    """A text whose runs of blanks within a line do not count."""
    return "\n".join(f"{line[: len(line) - len(line.lstrip())]}{' '.join(line.split())}" for line in text.split("\n"))


def test_keys_and_layout_become_canonical_and_comments_go_with_what_they_are_about() -> None:
    assert spaced(fmt(UNTIDY)) == spaced(TIDY)


def test_formatting_is_idempotent_and_keeps_the_meaning() -> None:
    once = fmt(UNTIDY)
    assert fmt(once) == once
    assert meaning(once) == meaning(UNTIDY)


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.yaml")), ids=lambda file: file.name)
def test_the_policies_of_the_project_are_formatted(file: Path) -> None:
    model = CaseFile if file.name.endswith(".test.yaml") else PolicyFile
    assert fmt(file.read_text(), model) == file.read_text()


@pytest.mark.parametrize(
    "scalar",
    ["0x1F", "1_000", "12:30", "1e3", "1.10", "no", "True", "2027-03-30", "2001-12-14t21:59:43.10-05:00", "'1'", '"a"'],
)
def test_scalars_stay_as_they_are_written(scalar: str) -> None:
    assert fmt(f"version:   {scalar}\n") == f"version: {scalar}\n"


def test_single_entries_in_flow_lists_keep_their_braces() -> None:
    assert fmt("version: [ {a: 1}, {b: 2} ]\n") == "version: [{a: 1}, {b: 2}]\n"


def test_block_scalars_are_kept() -> None:
    text = "version: 1\n\nbackends:\n  a:\n    headers:\n      x-a: |\n        # no comment\n\n\n        more\n"
    assert fmt(text) == text


def test_comments_between_flow_mappings_of_a_list_are_kept() -> None:
    text = "routes:\n  # one\n  - {name: one}\n  # two\n  - {name: two, models: [a]} # eol\n"
    assert fmt(text) == text


def test_merged_mappings_stay_merged() -> None:
    text = "backends:\n  a: &a\n    url: http://a\n    provider: vllm\n  b:\n    url: http://b\n    <<: *a # as a\n"
    found = fmt(text)
    assert "    <<: *a # as a\n    url: http://b\n" in found
    assert data(found) == data(text)


def test_an_alias_never_comes_before_its_anchor() -> None:
    text = "defaults:\n  timeouts: &t {idle: 1s}\n\nbackends:\n  a: {provider: vllm, timeouts: *t}\n"
    assert data(fmt(text)) == data(text)


def test_windows_line_ends_and_a_byte_order_mark_go() -> None:
    assert fmt("\ufeffversion: 1\r\nbackends: {}\r\n") == "version: 1\n\nbackends: {}\n"


@pytest.mark.parametrize("text", ["version: 1\nbackends: {gpu: [}\n", "a: 1\na: 2\n", "", "a: !x 1\n"])
def test_what_cannot_be_read_is_refused_with_the_reason(text: str) -> None:
    report = Report("test")
    assert formatted(text.encode(), PolicyFile, report) is None
    assert report.failed()


def test_unknown_keys_come_last_and_are_kept() -> None:
    assert fmt("colour: red\nversion: 1\n") == "version: 1\n\ncolour: red\n"


POLICY: dict[str, Any] = {
    "version": "1",
    "backends": {
        "gpu": {
            "provider": "vllm",
            "url": "http://10.0.0.5:8000",
            "models": {"llama-3.1-8b-instruct": {"id": "'a: b'", "context": "8192"}},
            "limits": {"concurrency": "64"},
        },
        "url": {"provider": "ollama", "url": '"http://10.0.0.6:11434"', "models": {"llama-3.1-8b-instruct": {}}},
    },
    "routes": [
        {
            "name": "one",
            "match": {"model": ["auto", "b"], "stream": "true", "headers": {"x-a": "'#1'"}},
            "models": ["llama-3.1-8b-instruct"],
            "require": {"ttft": "2s", "max_usd": "0.01"},
        },
        {"name": "two", "models": ["llama-3.1-8b-instruct"], "timeouts": {"idle": "5s", "total": "1m"}},
    ],
    "defaults": {"optimize": {"cost": "0.5", "latency": "0.5"}, "retry": {"attempts": "2"}},
}


class Writer:
    """Writes the policy in one of the many ways there are."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.count = 0

    def comment(self) -> str:
        """A comment of its own, or none."""
        if self.draw(st.integers(0, 3)):
            return ""
        self.count += 1
        return f"# comment {self.count}"

    def flow(self, value: Any) -> str:
        """A value in a line."""
        if isinstance(value, dict):
            return f"{{{', '.join(f'{key}: {self.flow(child)}' for key, child in self.shuffled(value))}}}"
        return f"[{', '.join(map(self.flow, value))}]" if isinstance(value, list) else str(value)

    def shuffled(self, value: dict[str, Any]) -> list[tuple[str, Any]]:
        """Entries in any order."""
        return self.draw(st.permutations(list(value.items())))

    def block(self, value: Any, indent: int) -> list[str]:
        """A mapping or list in lines."""
        pad, lines = " " * indent, list[str]()
        entries = self.shuffled(value) if isinstance(value, dict) else [("-", child) for child in value]
        for key, child in entries:
            lines += [""] * self.draw(st.integers(0, 2)) + [f"{pad}{one}" for one in [self.comment()] if one]
            head = f"{pad}-" if key == "-" else f"{pad}{key}:"
            lines += self.entry(head, key, child, indent)
        return lines

    def entry(self, head: str, key: str, child: Any, indent: int) -> list[str]:
        """One entry in lines."""
        end = " " * self.draw(st.integers(1, 3)) + one if (one := self.comment()) else ""
        plain = not isinstance(child, dict | list) or not child
        if plain or self.draw(st.booleans()):
            return [f"{head} {self.flow(child)}{end}"]
        inner = self.block(child, indent + self.draw(st.integers(2, 4)))
        if key == "-" and inner[0].strip() and not inner[0].lstrip().startswith("#"):
            column = len(inner[0]) - len(inner[0].lstrip())
            return [f"{head}{' ' * (column - len(head))}{inner[0].lstrip()}", *inner[1:]]
        return [f"{head}{end}", *inner]


@st.composite
def written(draw: st.DrawFn) -> str:
    """The policy, written somehow."""
    return "\n".join(Writer(draw).block(POLICY, 0)) + "\n"


@settings(max_examples=60)
@given(text=written())
def test_however_a_policy_is_written_it_means_the_same_and_settles_at_once(text: str) -> None:
    found = fmt(text)
    assert meaning(found) == meaning(text)
    assert list(meaning(found).backends) == list(meaning(text).backends)
    assert comments(found) == comments(text)
    assert fmt(found) == found


@settings(max_examples=20)
@given(text=written())
def test_without_comments_there_is_one_way_to_write_it_but_for_flow_and_names(text: str) -> None:
    bare = "\n".join(line.split("# comment")[0].rstrip() for line in text.split("\n"))
    tops = [line for line in fmt(bare).split("\n") if line[:1].isalpha()]
    assert [line.partition(":")[0] for line in tops] == ["version", "backends", "routes", "defaults"]
