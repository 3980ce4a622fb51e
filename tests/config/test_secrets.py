"""A credential is never in a problem, wherever and however it is written."""

from datetime import date
from itertools import pairwise

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import read

CATALOGUE = Catalogue.load()
CANARY = "sk-canary-4f9a1c77"
ENV = {"KEY": CANARY, "URL": f"ftp://{CANARY}", "BAD": f"{CANARY}\n"}

GOOD = f"""\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    api_key: {CANARY}
    proxy: http://user:{CANARY}@proxy:3128
    headers:
      x-key: {CANARY}
      authorization: "Bearer {CANARY}"
    models:
      llama-3.1-8b-instruct: {{}}
routes:
  - name: a
    match: {{headers: {{x-token: {CANARY}}}}}
    models: [llama-3.1-8b-instruct]
callers:
  team: {{key: "{CANARY}"}}
"""

TEXTS = [
    GOOD,
    GOOD.replace("api_key:", "api_kee:"),
    GOOD.replace("api_key:", "token:"),
    GOOD.replace("api_key:", "zzz:"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: [{CANARY}]"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: {{{CANARY}: 1}}"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: {{a: {CANARY}}}"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: >\n      {CANARY}\n      {CANARY}"),
    GOOD.replace(f"api_key: {CANARY}", f'api_key: "{CANARY}'),
    GOOD.replace(f"api_key: {CANARY}", f"api_key:\n  {CANARY}"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key {CANARY}"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: {CANARY}: x"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: !secret {CANARY}"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: ${{{CANARY}}}"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: ${{KEY:-{CANARY}"),
    GOOD.replace(f"api_key: {CANARY}", f"api_key: a\n    api_key: {CANARY}"),
    GOOD.replace(f"api_key: {CANARY}", "api_key: ${KEY}\n    colour: red"),
    GOOD.replace(f"api_key: {CANARY}", "api_key: ${BAD}"),
    GOOD.replace("http://10.0.0.5:8000", "${URL}"),
    GOOD.replace("http://10.0.0.5:8000", f"http://user:{CANARY}@gpu"),
    GOOD.replace("provider: vllm", "provider: ${KEY}"),
    GOOD.replace("name: a", "name: '${KEY} x'"),
    GOOD.replace("x-key: ", "x key: "),
    GOOD.replace(f"http://user:{CANARY}@proxy:3128", f"socks5://{CANARY}"),
    GOOD.replace(f'{{key: "{CANARY}"}}', CANARY),
    GOOD.replace(f'{{key: "{CANARY}"}}', f"{{keys: {CANARY}}}"),
    GOOD.replace("callers:", f"other: {{key: '{CANARY}'}}\ncallers:"),
    GOOD + f"  twin: {{key: {CANARY}}}\n",
    GOOD + f"  twin: {{key: {CANARY}\n",
    f"version: 1\nbackends: {{gpu: {{provider: vllm, api_key: {CANARY}, url: [}}}}\n",
    f"version: 1\nbackends: {{gpu: {{provider: vllm, api_key: {CANARY}, url: 1, timeout: 2}}}}\n",
    f"version: 1\nbackends:\n  - api_key: {CANARY}\n  - {CANARY}\n",
    f"version: 1\nbackends:\n  gpu: {CANARY}\n",
    f"version: 1\napi_key: {CANARY}\nbackends: {{}}\n",
    GOOD.replace(f"api_key: {CANARY}", "api_key: other\n    api_key: twin-canary-1"),
    GOOD + "backends: {a: {api_key: twin-canary-2}}\nbackends: {b: {api_key: twin-canary-3}}\n",
    GOOD.replace(f"api_key: {CANARY}", "? [a, twin-canary-4]\n    : twin-canary-5"),
    GOOD.replace("http://10.0.0.5:8000", "http://user:p@twin-canary-6@gpu"),
    GOOD.replace("http://10.0.0.5:8000", "http://user:p/twin-canary-7@gpu"),
    GOOD.replace("http://10.0.0.5:8000", "http://gpu:80/v1?token=twin-canary-8"),
    f"x: &k {CANARY}\nversion: 1\nbackends:\n  gpu: {{provider: vllm, api_key: *k, headers: {{x: *k}}, x: *k}}\n",
]


def shown(text: str, expand: bool) -> str:
    loaded = read(text.encode(), "p.yaml", ENV, CATALOGUE, date(2026, 11, 24), expand)
    return "\n".join(f"{problem.message}\n{problem.excerpt}\n{problem.hint}" for problem in loaded.problems)


@pytest.mark.parametrize("expand", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_no_problem_shows_a_credential(text: str, expand: bool) -> None:
    assert CANARY not in shown(text, expand)
    assert "canary" not in shown(text, expand)


def test_a_file_cut_off_anywhere_shows_no_credential() -> None:
    for end in range(len(GOOD)):
        assert "canary" not in shown(GOOD[:end], True)


def test_a_file_with_any_line_lost_or_broken_shows_no_credential() -> None:
    lines = GOOD.splitlines(keepends=True)
    for number, line in enumerate(lines):
        for instead in ("", "]" + line, "  " + line, line.replace(":", "", 1), line.replace('"', "", 1)):
            text = "".join([*lines[:number], instead, *lines[number + 1 :]])
            assert "canary" not in shown(text, True), text


def test_two_lines_swapped_show_no_credential() -> None:
    lines = GOOD.splitlines(keepends=True)
    for first, _ in pairwise(range(len(lines))):
        swapped = [*lines[:first], lines[first + 1], lines[first], *lines[first + 2 :]]
        assert "canary" not in shown("".join(swapped), True), swapped


def test_a_reference_is_shown_since_it_is_no_secret() -> None:
    text = GOOD.replace(f"api_key: {CANARY}", "api_key: ${KEY_OF_GPU:?ask}")
    assert "${KEY_OF_GPU:?ask}" in shown(text, True)


def test_the_caret_stays_below_its_word_when_the_line_is_masked() -> None:
    text = "version: 1\nbackends: {gpu: {api_key: sk-a-long-secret-value, colour: red}}\n"
    loaded = read(text.encode(), "p.yaml", {}, CATALOGUE, date(2026, 11, 24))
    source, caret = next(one.excerpt for one in loaded.problems if one.code == "LG010").split("\n")
    assert source[caret.index("^") :].startswith("colour")
    assert "api_key: ***," in source


def test_a_day_is_shown_since_it_is_no_secret() -> None:
    assert "retires: 2026-12-01" in shown(GOOD.replace("instruct: {}", "instruct: {retires: 2026-12-01}"), True)
