"""`llama-gateway schema`: what editors need to complete and underline a policy."""

import sys
from typing import Annotated

from cyclopts import Parameter

from gateway.policytools.schema import policy_schema, schema_bytes, schema_of_tests


def schema(
    *, tests: Annotated[bool, Parameter(help="The schema of *.test.yaml files instead.", negative="")] = False
) -> int:
    """The verb `schema`; its exit code."""
    sys.stdout.buffer.write(schema_bytes(schema_of_tests() if tests else policy_schema()))
    return 0
