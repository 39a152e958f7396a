"""The benchmark from raw data to paper: `snakemake --cores all`."""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

# A configuration given on the command line stands alone: merged with another one, lists would
# be replaced but keys that it does not name would stay.
if not workflow.configfiles:

    configfile: Path(workflow.basedir) / "config" / "demo.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/paper.smk"


rule all:
    default_target: True
    input:
        PLAN.products,


onstart:
    begin()


onsuccess:
    announce_products()
