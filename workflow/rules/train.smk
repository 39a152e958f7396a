rule train:
    input:
        PLAN.block_data,
    output:
        PLAN.block_stamp("{dataset}/{backbone}/{part}"),
    log:
        PLAN.logs / "{dataset}/{backbone}/{part}.log",
    benchmark:
        PLAN.benchmarks / "{dataset}/{backbone}/{part}.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.block_threads
    resources:
        mem_mb=PLAN.block_megabytes,
        runtime=PLAN.block_minutes,
        gpu=PLAN.block_gpus,
    params:
        config=PLAN.layout.config,
    message:
        "Train {wildcards.backbone} on {wildcards.dataset}, runs of {wildcards.part}"
    shell:
        "python -m stprune train-block {wildcards.dataset}/{wildcards.backbone}/{wildcards.part}"
        " --config {params.config:q} 2>&1 | tee -i {log:q} >&2"


# Alone on the machine: it takes all cores that this Snakemake may use, or a whole node.
rule time:
    input:
        PLAN.timing_data,
    output:
        PLAN.timing("{dataset}", "{backbone}"),
    log:
        PLAN.logs / "{dataset}/{backbone}/timing.log",
    conda:
        "../../environment.yml"
    threads: workflow._cores or PLAN.block_threads
    resources:
        mem_mb=PLAN.block_megabytes,
        runtime=PLAN.timing_minutes,
        gpu=PLAN.block_gpus,
        slurm_extra="--exclusive",
    params:
        config=PLAN.layout.config,
    message:
        "Time {wildcards.backbone} on {wildcards.dataset}"
    shell:
        "python -m stprune time {wildcards.dataset}/{wildcards.backbone}"
        " --config {params.config:q} 2>&1 | tee -i {log:q} >&2"
