"""A corpus of broken policies: each is told by its code, its line and a sentence."""

from datetime import date
from typing import NamedTuple

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.config.problems import CODES

TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
ENV = {"FIREWORKS_API_KEY": "fw-canary-0123456789"}

HEAD = """\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    models:
      llama-3.3-70b-instruct: {id: meta-llama/Llama-3.3-70B-Instruct, precision: fp8}
"""
ROUTE = "  - name: large\n    models: [llama-3.3-70b-instruct]\n"


class Broken(NamedTuple):
    """A policy, and what must be said about it."""

    name: str
    text: str
    code: str
    line: int
    part: str
    hint: str = ""


def routes(text: str = "") -> str:
    """HEAD with one route from line 8 on, and more of it."""
    return f"{HEAD}routes:\n{ROUTE}{text}"


def backend(text: str) -> str:
    """HEAD with a second backend from line 8 on, its content in line 9."""
    return f"{HEAD}  other:\n    {text}\n"


CORPUS = [
    Broken("syntax", "version: 1\nbackends: {gpu: [}\n", "LG001", 2, "not YAML"),
    Broken("tab", "version: 1\nbackends:\n\tgpu: 1\n", "LG001", 3, "not YAML"),
    Broken("unclosed quote", 'version: 1\nbackends: "gpu\n', "LG001", 3, "not YAML"),
    Broken("unknown alias", "version: 1\nbackends: *gpu\n", "LG001", 2, "alias"),
    Broken("control character", "version: 1\nbackends: \x07\n", "LG002", 2, "U+0007"),
    Broken("empty", "", "LG003", 1, "empty"),
    Broken("only a comment", "# nothing\n", "LG003", 1, "empty"),
    Broken("deep", "a: " + "[" * 40 + "]" * 40, "LG004", 1, "nested"),
    Broken("aliases", "a: &a 1\nb: [" + "*a," * 101 + "]", "LG004", 2, "aliases"),
    Broken("large", "# " + "x" * (1 << 20), "LG004", 1, "bytes"),
    Broken("python tag", "version: 1\nbackends: !!python/object:os.system {}\n", "LG005", 2, "tag"),
    Broken("own tag", "version: !v 1\n", "LG005", 1, "`!v`"),
    Broken("duplicate key", f"{HEAD}version: 1\n", "LG006", 8, "first in line 1"),
    Broken("duplicate backend", f"{HEAD}  gpu: {{}}\n", "LG006", 8, "first in line 3"),
    Broken("key that is a list", f"{HEAD}? [a, b]\n: 1\n", "LG007", 8, "not text"),
    Broken("second document", f"{HEAD}---\nversion: 1\n", "LG007", 8, "second document"),
    Broken("not a mapping", "- version\n", "LG012", 1, "list"),
    Broken("unknown key", f"{HEAD}rotues: []\n", "LG010", 8, "`rotues`", "'routes'"),
    Broken("unknown key of a backend", backend("{provider: vllm, urls: 'http://a'}"), "LG010", 9, "`urls`", "'url'"),
    Broken("unknown key of a match", routes("    match: {modle: [a]}\n"), "LG010", 11, "`modle`", "'model'"),
    Broken("unknown key of a price", backend("models: {x: {price: {inputs: 1, output: 1}}}"), "LG010", 9, "`inputs`"),
    Broken("expression", routes('    match: {when: "request.stream"}\n'), "LG011", 11, "not supported by this version"),
    Broken("language", routes("    match: {language: [de]}\n"), "LG011", 11, "`language`"),
    Broken("burst", routes("    burst: {max_usd_per_hour: 20}\n"), "LG011", 11, "`burst`"),
    Broken("smallest adequate", routes("    size: smallest_adequate\n"), "LG011", 11, "`smallest_adequate`"),
    Broken("at least", routes("    size: {at_least: 70b}\n"), "LG011", 11, "`at_least`"),
    Broken("splice", f"{HEAD}defaults:\n  mid_stream: splice\n", "LG011", 9, "`splice`"),
    Broken("wait", f"{HEAD}defaults:\n  on_no_candidate: {{wait: 5s}}\n", "LG011", 9, "`wait`"),
    Broken("hedge", f"{HEAD}defaults:\n  hedge: {{after: p95}}\n", "LG011", 9, "`hedge`"),
    Broken("budget", f"{HEAD}defaults:\n  retry: {{attempts: 3, budget: 0.1}}\n", "LG011", 9, "`budget`"),
    Broken("semantic cache", f"{HEAD}defaults:\n  cache: {{ttl: 1h, mode: semantic}}\n", "LG011", 9, "`semantic`"),
    Broken("caller limits", f"{HEAD}callers:\n  a: {{key: {'k' * 20}, limits: {{rpm: 1}}}}\n", "LG011", 9, "`limits`"),
    Broken("no version", HEAD[11:], "LG013", 1, "`version`"),
    Broken("version of tomorrow", HEAD.replace("1", "2", 1), "LG014", 1, "version"),
    Broken("no backends", "version: 1\n", "LG013", 1, "`backends`"),
    Broken("backends empty", "version: 1\nbackends: {}\n", "LG014", 2, "backends"),
    Broken("backends without value", "version: 1\nbackends:\n", "LG012", 2, "no value"),
    Broken("no provider", backend("{url: 'http://a'}"), "LG013", 8, "`provider`"),
    Broken("text for a number", HEAD.replace("precision: fp8", "context: large"), "LG012", 7, "a whole number"),
    Broken("number for text", HEAD.replace("meta-llama/Llama-3.3-70B-Instruct", "33"), "LG012", 7, "text", '"33"'),
    Broken("text for a list", routes().replace("[llama-3.3-70b-instruct]", "llama"), "LG012", 10, "a list", "[llama]"),
    Broken("yes for true", routes("    match: {stream: yes}\n"), "LG012", 11, "true or false", "write true or false"),
    Broken("bare model", HEAD.replace(" {id", " # {id"), "LG012", 7, "no value", "{}"),
    Broken("negative price", HEAD.replace("precision: fp8", "price: {input: -1, output: 1}"), "LG014", 7, "greater"),
    Broken("word of none", routes("    optimize: speed\n"), "LG014", 11, "cost, latency, size"),
    Broken("near word", routes("    optimize: latencey\n"), "LG014", 11, "latency", "'latency'"),
    Broken("zero weights", routes("    optimize: {cost: 0, latency: 0}\n"), "LG014", 11, "above zero"),
    Broken("negative weight", routes("    optimize: {cost: -1}\n"), "LG014", 11, "greater"),
    Broken(
        "near location", routes("    require: {location: selfhosted}\n"), "LG014", 11, "self_hosted", "'self_hosted'"
    ),
    Broken("bad name", routes().replace("large", "'a b'"), "LG014", 9, "a name"),
    Broken("many attempts", f"{HEAD}defaults: {{retry: {{attempts: 99}}}}\n", "LG014", 8, "10"),
    Broken("clock time", f"{HEAD}defaults: {{timeouts: {{idle: 12:30}}}}\n", "LG015", 8, "duration", "clock"),
    Broken("no unit", f"{HEAD}defaults: {{timeouts: {{idle: 20}}}}\n", "LG015", 8, "duration", "unit: 20s"),
    Broken("size in words", f"{HEAD}models: {{acme: {{size: huge}}}}\n", "LG015", 8, "8b"),
    Broken("precision", HEAD.replace("fp8", "q9"), "LG015", 7, "precision"),
    Broken("variable", HEAD.replace("10.0.0.5", "${GPU_HOST}"), "LG020", 5, "GPU_HOST"),
    Broken("required variable", HEAD.replace("10.0.0.5", "${GPU_HOST:?ask ops}"), "LG021", 5, "ask ops"),
    Broken("malformed variable", HEAD.replace("10.0.0.5", "${GPU HOST}"), "LG022", 5, "begins no variable"),
    Broken("open variable", HEAD.replace("10.0.0.5", "${GPU"), "LG022", 5, "begins no variable"),
    Broken("litellm", backend("{provider: fireworks, api_key: os.environ/KEY}"), "LG023", 9, "${KEY}", "${KEY}"),
    Broken("bifrost", backend("{provider: fireworks, api_key: env.KEY}"), "LG023", 9, "${KEY}"),
    Broken(
        "no such file", backend("{provider: groq, api_key: 'file:/nonexistent/key'}"), "LG024", 9, "/nonexistent/key"
    ),
    Broken(
        "no such certificate",
        backend("{provider: vllm, url: 'http://a', tls: {ca: /nonexistent/ca.pem}}"),
        "LG024",
        9,
        "`tls.ca` of 'other' cannot be used: No such file",
    ),
    Broken(
        "certificate that is a directory",
        backend("{provider: vllm, url: 'http://a', tls: {cert: /, key: /}}"),
        "LG024",
        9,
        "`tls.cert`",
    ),
    Broken("unknown kind", backend("{provider: vlm, url: 'http://a'}"), "LG030", 9, "`vlm`", "'vllm'"),
    Broken("no such class", backend("{provider: 'no.such:Class', url: 'http://a'}"), "LG030", 9, "cannot be used"),
    Broken("no provider class", backend("{provider: 'json:JSONDecoder', url: 'http://a'}"), "LG030", 9, "no `kind`"),
    Broken("no url", backend("{provider: vllm}"), "LG031", 8, "no `url`"),
    Broken("scheme", backend("{provider: vllm, url: 'ftp://a'}"), "LG032", 9, "http://"),
    Broken(
        "no scheme", backend("{provider: vllm, url: '10.0.0.5:8000'}"), "LG032", 9, "http://", "http://10.0.0.5:8000"
    ),
    Broken("brackets", backend("{provider: vllm, url: 'http://[::1'}"), "LG032", 9, "http://"),
    Broken("port", backend("{provider: vllm, url: 'http://a:99999'}"), "LG032", 9, "http://"),
    Broken("letters", backend("{provider: vllm, url: 'http://bücher.example'}"), "LG032", 9, "http://"),
    Broken("query", backend("{provider: vllm, url: 'http://a/?key=1'}"), "LG032", 9, "query"),
    Broken("proxy", backend("{provider: vllm, url: 'http://a', proxy: 'a:1'}"), "LG032", 9, "`proxy`"),
    Broken("metadata", backend("{provider: vllm, url: 'http://169.254.169.254/v1'}"), "LG033", 9, "link-local"),
    Broken(
        "metadata in IPv6", backend("{provider: vllm, url: 'http://[::ffff:a9fe:a9fe]/'}"), "LG033", 9, "link-local"
    ),
    Broken("header name", backend("{provider: vllm, url: 'http://a', headers: {'a b': c}}"), "LG034", 9, "`a b`"),
    Broken(
        "header value", backend('{provider: vllm, url: "http://a", headers: {a: "b\\nc"}}'), "LG034", 9, "cannot carry"
    ),
    Broken(
        "header of ours", backend("{provider: vllm, url: 'http://a', headers: {Host: b}}"), "LG034", 9, "own to set"
    ),
    Broken("unused backend", backend("{provider: vllm, url: 'http://a'}"), "LG035", 8, "never used"),
    Broken(
        "unknown model",
        HEAD.replace("llama-3.3-70b-instruct: {id", "llama-3.3-70b: {context: 1} # "),
        "LG040",
        7,
        "not in the catalogue",
        "'llama-3.3-70b-instruct'",
    ),
    Broken("undeclared model", HEAD.replace("  llama-3.3-70b-instruct:", "  acme-8b:"), "LG041", 7, "size is unknown"),
    Broken(
        "unknown base",
        f"{HEAD}models: {{acme: {{base: llama-3.3-70b}}}}\n",
        "LG042",
        8,
        "base",
        "'llama-3.3-70b-instruct'",
    ),
    Broken("no id", backend("{provider: groq, api_key: x, models: {llama-3.2-1b-instruct: {}}}"), "LG043", 9, "no id"),
    Broken(
        "no price",
        backend("{provider: openai_compatible, url: 'http://a', models: {llama-3.1-8b-instruct: {}}}"),
        "LG044",
        9,
        "unknown",
    ),
    Broken(
        "retired",
        backend("{provider: groq, api_key: x, models: {llama-3.1-8b-instruct: {}}}"),
        "LG045",
        9,
        "2026-08-16",
    ),
    Broken(
        "route's model",
        routes().replace("[llama-3.3-70b-instruct]", "[llama-3.3-70b-instruct, llama-3.3-70b]"),
        "LG050",
        10,
        "`llama-3.3-70b`",
        "'llama-3.3-70b-instruct'",
    ),
    Broken(
        "nobody's model", routes().replace("[llama", "[llama-3.1-8b-instruct, llama"), "LG051", 10, "No backend serves"
    ),
    Broken(
        "no deployment", routes().replace("[llama-3.3-70b-instruct]", "[llama-3.1-8b-instruct]"), "LG052", 10, "'large'"
    ),
    Broken(
        "same name", routes(ROUTE.replace("    models", "    match: {stream: true}\n    models")), "LG053", 11, "line 9"
    ),
    Broken("name of the implicit", routes().replace("large", "default"), "LG053", 9, "implicit"),
    Broken("unreachable", routes(ROUTE.replace("large", "other")), "LG054", 11, "'large'"),
    Broken("prefer", routes("    prefer: [gpu, laptop]\n"), "LG055", 11, "`laptop`"),
    Broken("prefer, near", routes("    prefer: self-hosted\n"), "LG055", 11, "`self-hosted`", "'self_hosted'"),
    Broken("too strict", routes("    require: {location: hosted}\n"), "LG056", 11, "excludes every deployment"),
    Broken("too exact", routes("    require: {min_precision: bf16}\n"), "LG056", 11, "precision fp8"),
    Broken("too far", routes("    require: {regions: [eu]}\n"), "LG056", 11, "no known region"),
    Broken("too able", routes("    require: {capabilities: [vision]}\n"), "LG056", 11, "vision"),
    Broken("range", routes("    match: {input_tokens: {min: 9, max: 1}}\n"), "LG058", 11, "above its end"),
    Broken("short key", f"{HEAD}callers:\n  a: {{key: hunter2}}\n", "LG060", 9, "less than 16"),
    Broken(
        "route of a caller",
        f"{routes()}callers:\n  a: {{key: {'k' * 20}, routes: [larg]}}\n",
        "LG061",
        12,
        "`larg`",
        "'large'",
    ),
    Broken(
        "one key for two", f"{HEAD}callers:\n  a: {{key: {'k' * 20}}}\n  b: {{key: {'k' * 20}}}\n", "LG062", 10, "'a'"
    ),
]


def check(text: str, env: dict[str, str] | None = None) -> Loaded:
    """The text, read with the test's environment."""
    return read(text.encode(), "p.yaml", ENV if env is None else env, CATALOGUE, TODAY)


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)
def test_a_broken_policy_is_told_by_code_line_and_sentence(broken: Broken) -> None:
    loaded = check(broken.text)
    found = [problem for problem in loaded.problems if problem.code == broken.code]
    assert found, [(problem.code, problem.line, problem.message) for problem in loaded.problems]
    assert any(
        problem.line == broken.line and broken.part in problem.message and broken.hint in problem.hint
        for problem in found
    ), found


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)
def test_an_error_leaves_no_policy_and_a_warning_does(broken: Broken) -> None:
    loaded = check(broken.text)
    assert (loaded.policy is None) == any(problem.severity == "error" for problem in loaded.problems)
    assert (CODES[broken.code][0] == "error") <= (loaded.policy is None)


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)
def test_a_problem_has_a_caret_below_its_line(broken: Broken) -> None:
    for problem in check(broken.text).problems:
        if problem.excerpt:
            source, caret = problem.excerpt.split("\n")
            assert caret.strip() == "^"
            assert len(caret) <= len(source) + 1


def test_one_mistake_is_told_once() -> None:
    errors = [[problem for problem in check(broken.text).problems if problem.severity == "error"] for broken in CORPUS]
    assert sum(len(found) <= 1 for found in errors) > 0.9 * len(CORPUS)


def test_the_head_of_the_corpus_is_clean() -> None:
    assert check(HEAD).problems == ()
    assert check(routes()).problems == ()


@pytest.mark.parametrize("key", ["ca", "cert", "key"])
def test_a_path_that_no_file_can_have_is_told_and_crashes_nothing(key: str) -> None:
    loaded = check(backend('{provider: vllm, url: "http://a", tls: {KEY: "a\\0b"}}'.replace("KEY", key)))
    assert "LG024" in [problem.code for problem in loaded.problems]


def test_everything_wrong_is_told_at_once() -> None:
    text = (
        routes("    optimize: speed\n    prefer: laptop\n    colour: red\n") + "callers: {a: {key: k, routes: [b]}}\n"
    )
    assert [problem.code for problem in check(text).problems] == ["LG014", "LG055", "LG010", "LG060", "LG061"]


def test_a_value_that_could_not_be_read_is_told_once() -> None:
    text = f"{HEAD}callers:\n  a: {{key: 'file:/nonexistent'}}\n"
    assert [problem.code for problem in check(text).problems] == ["LG024"]


def test_every_code_is_in_the_corpus_or_tested_elsewhere() -> None:
    elsewhere = {"LG025", "LG026", "LG027", "LG046", "LG057", "LG063"}
    assert set(CODES) - {broken.code for broken in CORPUS} == elsewhere
