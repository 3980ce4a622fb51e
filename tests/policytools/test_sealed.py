"""What a policy does can be asked without its credentials."""

from datetime import date

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.policytools.sealed import STAND_IN, sealed

CATALOGUE = Catalogue.load()
TEXT = b"""\
version: 1
backends:
  written: {provider: together, api_key: "${OUR_KEY}", models: {llama-3.3-70b-instruct: {}}}
  usual: {provider: groq, models: {llama-3.3-70b-instruct: {}}}
  mounted: {provider: fireworks, api_key: file:/run/secrets/fireworks, models: {llama-3.3-70b-instruct: {}}}
  own: {provider: vllm, url: "${URL:-http://10.0.0.5:8000}", models: {llama-3.3-70b-instruct: {}}}
callers:
  search: {key: "file:/run/secrets/search"}
  batch: {key: "${BATCH_KEY:?give it}"}
"""


def loaded(env: dict[str, str]) -> Loaded:
    text, filled = sealed(TEXT, env)
    return read(text, "test", filled, CATALOGUE, date(2026, 11, 24))


def test_without_any_credential_every_backend_is_on_and_nothing_is_wrong() -> None:
    found = loaded({})
    assert {problem.code for problem in found.problems} <= {"LG044", "LG045", "LG046"}  # prices and retirement
    assert found.policy is not None
    assert set(found.policy.backends) == {"written", "usual", "mounted", "own"}
    assert {caller.name for caller in found.policy.callers.values()} == {"search", "batch"}


def test_what_the_environment_says_stands_and_an_empty_variable_switches_off() -> None:
    policy = loaded({"OUR_KEY": "", "GROQ_API_KEY": "real-0123456789", "URL": "http://10.0.0.6:8000"}).policy
    assert policy is not None
    assert "written" not in policy.backends
    assert policy.backends["usual"].api_key == "real-0123456789"
    assert policy.backends["own"].url == "http://10.0.0.6:8000"


def test_the_same_file_has_the_same_stand_in_whatever_else_there_is() -> None:
    text, _ = sealed(TEXT, {})
    alone, _ = sealed(TEXT.replace(b"file:/run/secrets/fireworks", b"other"), {})
    stand_in = text.split(b"search: {key: ")[1].split(b"}")[0]
    assert STAND_IN.encode() in stand_in and stand_in in alone


def test_what_cannot_be_read_comes_back_as_it_is() -> None:
    assert sealed(b"a: [", {"A": "b"}) == (b"a: [", {"A": "b"})
