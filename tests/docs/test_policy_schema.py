"""The schemas beside the policies are those of the code."""

from pathlib import Path

from gateway.policytools.schema import policy_schema, schema_bytes, schema_of_tests

POLICIES = Path(__file__).parents[2] / "policies"


def test_the_schema_of_policies_is_in_step_with_the_code() -> None:
    found = POLICIES.joinpath("policy.schema.json").read_bytes()
    assert found == schema_bytes(policy_schema()), "llama-gateway schema > policies/policy.schema.json"


def test_the_schema_of_tests_is_in_step_with_the_code() -> None:
    found = POLICIES.joinpath("policy.test.schema.json").read_bytes()
    assert found == schema_bytes(schema_of_tests()), "llama-gateway schema --tests > policies/policy.test.schema.json"


def test_every_policy_has_tests_beside_it() -> None:
    policies = [file for file in POLICIES.glob("*.yaml") if not file.name.endswith(".test.yaml")]
    assert policies
    assert all(file.with_name(f"{file.stem}.test.yaml").is_file() for file in policies)
