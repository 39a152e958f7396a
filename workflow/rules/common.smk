"""The validated configuration, and what rules share."""

import shlex
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

from stprune.base.errors import StpruneError
from stprune.workflow.plan import WorkflowPlan

# Commands run in the environment of this Snakemake, whether it is activated or not; with
# `--software-deployment-method conda` they run in the environment that the rules name.
if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    environment = f"export PYTHONPATH={shlex.quote(str(workflow.basedir))}; "
else:
    environment = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "
shell.prefix("set -euo pipefail; " + environment)


def checked_plan(values):
    """The plan, or the user's mistake in one line."""
    try:
        return WorkflowPlan(values)
    except StpruneError as error:
        # Not an exception of Snakemake's own, which would add where in this file it arose.
        sys.exit(f"Error: {error}")


def begin():
    """Keep a second Snakemake out, and write the configuration that the commands read."""
    try:
        PLAN.claim()
        PLAN.write_config()
    except StpruneError as error:
        sys.exit(f"Error: {error}")


def announce_products():
    """Say where the results are; a target such as `paper` or a single file makes others."""
    for path in filter(Path.exists, PLAN.layout.headline):
        print(path, file=sys.stderr)


PLAN = checked_plan(config)
if workflow.local_exec and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", PLAN.local_gpus)


wildcard_constraints:
    dataset=r"[A-Za-z0-9_\-]+",
    backbone=r"[A-Za-z0-9_\-]+",
    part=r"s[0-9]+(-s[0-9]+)?(_[0-9]+)?",
