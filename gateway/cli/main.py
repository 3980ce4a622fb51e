"""The command line: one file a verb, imported when it is called."""

import os
import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

HELP = """One endpoint in front of every place a team runs Llama models, routed by a policy file.

Start with `llama-gateway up`: it finds the servers of this machine and the keys in the environment, or starts a demo.
"""
VERBS = {
    "up": """Find the servers of this machine and the keys in the environment, and serve them; else start a demo.

Examples: `llama-gateway up`, `llama-gateway up --write policies/mine.yaml`""",
    "serve": """Serve a policy file; it is read again when it changes.

SIGHUP and POST /admin/policy/reload read it at once; a file with a mistake never replaces a good one.

Example: `llama-gateway serve --policy policies/default.yaml --port 4080`""",
    "check": """Every error and warning of policy files; exit code 0 clean, 1 warnings with --strict, 2 errors.

Files of tests (`*.test.yaml`) are run; a test that fails is an error.

Example: `llama-gateway check policies/*.yaml --strict`""",
    "test": """The unit tests of policies: for a request the route, the first deployment, who is out, cost or error.

Tests stand beside their policy: `policies/x.test.yaml`. They need no keys: every backend counts as switched on, unless
`env` in the file empties its variable. Exit code 0 all passed, 1 some failed, 2 a file that cannot be run.

Examples: `llama-gateway test policies/*.test.yaml`, `llama-gateway test policies/default.yaml --format github`""",
    "diff": """What a change of a policy does: routes, backends, deployments, and who may now leave the house.

With the requests of a log, each is planned by both: whose route, model, backend, cost, latency or privacy changes.
Exit code 0 no difference, 1 some, 2 a file that cannot be read.

Examples: `llama-gateway diff policies/default.yaml new.yaml`,
`llama-gateway diff policies/default.yaml new.yaml --requests requests.jsonl`
and `llama-gateway diff <(git show HEAD:policies/default.yaml) policies/default.yaml --format json`""",
    "fmt": """Policy files in canonical order and layout, their comments kept and their meaning unchanged.

Exit code 0 done (or nothing to do), 1 with --check when a file would change, 2 a file that is not YAML.

Examples: `llama-gateway fmt policies/*.yaml`, `llama-gateway fmt --check --diff policies/*.yaml`""",
    "schema": """The JSON Schema of the policy file, for editors: with it they complete keys and underline mistakes.

A policy's first line tells an editor where it is: `# yaml-language-server: $schema=./policy.schema.json`.

Examples: `llama-gateway schema > policies/policy.schema.json`, `llama-gateway schema --tests`""",
    "explain": """The plan of one request: whom to try in which order, every score, and why the others are out.

Examples: `llama-gateway explain --policy policies/default.yaml --model auto --prompt "What is a llama?"`
and `llama-gateway explain --id req_...`""",
    "keys": """Keys of callers: create, list, rotate, revoke. They are kept in GATEWAY_STATE_DIR.

A gateway that runs follows within a second; a key is shown once, when it is made.

Examples: `llama-gateway keys create team-search --rpm 600 --usd-per-day 20`, `llama-gateway keys list`,
`llama-gateway keys rotate team-search --grace 2` and `llama-gateway keys revoke team-search`""",
    "models": """The catalogue: canonical name, size, context, where each model is served, price, retirement, licence.

Examples: `llama-gateway models`, `llama-gateway models llama3.3 --licences`""",
    "doctor": """What is wrong with keys, clock, network, models and licences, and what to do about it.

Exit code 0 fine, 1 warnings, 2 errors.

Examples: `llama-gateway doctor`, `llama-gateway doctor --policy policies/default.yaml`""",
}


def app() -> App:
    """The command line's tree."""
    root = App(name="llama-gateway", help=HELP, version=version("llama-gateway"), help_format="markdown")
    for verb, help in VERBS.items():
        root.command(f"gateway.cli.{verb}:{verb}", name=verb, help=help)
    return root


def main() -> None:
    """The entry point; exit code 2 for wrong usage, and what the verb returns otherwise."""
    try:
        sys.exit(app()(result_action="return_value", exit_on_error=False) or 0)
    except CycloptsError:  # which has been printed
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough: `... | head`
        sys.exit(0)
