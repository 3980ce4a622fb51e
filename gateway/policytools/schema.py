"""The JSON Schema of the policy file and of its tests, for editors that complete and underline."""

import re
from collections.abc import Iterator

import orjson
from pydantic import BaseModel

from gateway.config.schema import PolicyFile
from gateway.config.units import precisions
from gateway.policytools.cases import CaseFile
from gateway.providers.registry import KINDS
from gateway.types import Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:llama-gateway:schema:{name}:1"  # a name, since where it is published is the reader's affair
VARIABLE = {"$ref": "#/$defs/Variable"}
VARIABLE_SHAPE = {
    "title": "Variable",
    "description": "${VAR}, ${VAR:-default}, ${VAR:?message} or file:/path: filled in when the policy is read.",
    "type": "string",
    "pattern": r"\$\{[^{}]*\}|^file:/",
}
ABOUT = ("title", "description", "examples", "default", "markdownDescription")  # say something and allow nothing
LIMITS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
CLASS = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def policy_schema() -> Json:
    """The schema of a policy file: a value that is no free text may also come from a variable."""
    schema = prepared(PolicyFile, "policy")
    schema["$defs"]["BackendSpec"]["properties"]["provider"] |= {
        "anyOf": [{"enum": list(KINDS)}, {"type": "string", "pattern": CLASS}, VARIABLE],
        "examples": list(KINDS),
    }
    return variables_allowed(schema) | {"$defs": variables_allowed(schema["$defs"]) | {"Variable": VARIABLE_SHAPE}}


def schema_of_tests() -> Json:
    """The schema of a file of tests."""
    return prepared(CaseFile, "tests")


def schema_bytes(schema: Json) -> bytes:
    """A schema as it is written to a file."""
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def prepared(model: type[BaseModel], name: str) -> Json:
    """What pydantic says of a model, in terms that editors understand."""
    schema = model.model_json_schema()
    for node in shapes(schema):
        tidy(node)
    return {"$schema": DIALECT, "$id": ID.format(name=name), **schema}


def shapes(node: object) -> Iterator[Json]:
    """Every schema within a schema."""
    if isinstance(node, dict):
        for key, child in node.items():
            named = child.values() if key in ("properties", "patternProperties", "$defs") else [child]
            for inner in named if key not in ("examples", "default", "enum", "required") else ():
                yield from shapes(inner)
        yield node
    elif isinstance(node, list):
        for child in node:
            yield from shapes(child)


def tidy(node: Json) -> None:
    """Bounds under their names, closed mappings, anchored patterns, and a text for the editor's hover."""
    for ours, theirs in LIMITS.items():
        if ours in node:
            node[theirs] = node.pop(ours)
    if "patternProperties" in node:
        node["additionalProperties"] = False
    if "pattern" in node and not node["pattern"].startswith("^"):
        node["pattern"] = f"^(?:{node['pattern']})$"
    if node.get("default", ...) is None:
        del node["default"]
    if node.get("title", "").endswith("Spec"):
        node["title"] = node["title"].removesuffix("Spec")
    if node.get("format") == "date":
        node["pattern"] = r"^\d{4}-\d\d-\d\d$"  # many validators read `format` as a comment
    if node.get("examples") == precisions():
        node["pattern"] = any_case(precisions())
    if "description" in node and "examples" in node:
        node["markdownDescription"] = f"{node['description']}\n\nExample: {shown(node['examples'])}"


def any_case(words: list[str]) -> str:
    """A pattern for words whose case does not matter, as ECMAScript can read it."""
    return f"^(?:{'|'.join(re.sub('[a-z]', lambda found: f'[{found[0]}{found[0].upper()}]', word) for word in words)})$"


def shown(examples: list[object]) -> str:
    """Examples as code."""
    return ", ".join(f"`{text if isinstance(text, str) else orjson.dumps(text).decode()}`" for text in examples[:6])


def variables_allowed(node: Json) -> Json:
    """The same schema, where each value that is no free text may be a variable instead."""
    return {key: rewritten(child) for key, child in node.items()}


def rewritten(node: object) -> object:
    """A part of a schema with variables allowed."""
    if isinstance(node, list):
        return [rewritten(child) for child in node]
    if not isinstance(node, dict):
        return node
    branches = node.get("anyOf")
    if branches is not None:
        inner = [variables_allowed(branch) for branch in branches]
        extra = [VARIABLE] if any(limited(branch) for branch in branches) and VARIABLE not in branches else []
        return {**variables_allowed(node), "anyOf": [*inner, *extra]}
    if not limited(node):
        return variables_allowed(node)
    about = {key: value for key, value in node.items() if key in ABOUT}
    rules = {key: value for key, value in node.items() if key not in ABOUT}
    return {**about, "anyOf": [rules, VARIABLE]}


def limited(node: Json) -> bool:
    """Whether a schema takes a single value that is not any text."""
    if "enum" in node:
        return True
    kind = node.get("type")
    if kind == "string":
        return "pattern" in node or "format" in node
    return kind in ("boolean", "number", "integer") and "const" not in node
