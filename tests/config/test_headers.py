"""The headers that a policy looks at, and no others."""

from gateway.config.headers import looked_at
from gateway.config.schema import RouteSpec


def route(**match: object) -> RouteSpec:
    return RouteSpec.model_validate({"name": "r", "models": ["llama-3.1-8b-instruct"], "match": match})


def test_headers_of_a_match_and_of_an_expression_are_looked_at() -> None:
    routes = [
        route(headers={"X-Team": "search"}),
        route(when="'x-class' in request.headers && request.headers['x-class'] == \"secret\""),
        route(when="has(request.headers.tenant)"),
        route(when="request.model == 'x-not-a-header'"),
    ]
    assert looked_at(routes) >= {"x-team", "x-class", "tenant"}
    assert "x-not-a-header" not in looked_at(routes)
    assert looked_at([]) == frozenset()


def test_credentials_are_never_looked_at() -> None:
    assert looked_at([route(headers={"Authorization": "Bearer x", "x-api-key": "x", "cookie": "x"})]) == frozenset()
